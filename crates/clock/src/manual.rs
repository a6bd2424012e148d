use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How long, in real time, the clock waits for tasks to take note that their time has come. One that takes longer finds
/// that it is later than it thought, as on a busy machine.
const NOTICE_MAX: Duration = Duration::from_secs(1);

/// A clock that stands still until [`Manual::advance`].
#[derive(Clone)]
pub struct Manual(Arc<Shared>);

struct Shared {
    /// When the clock was made: what its times are counted from.
    origin: Instant,
    state: Mutex<State>,
    /// The last sleeper whose time had come has noticed.
    noticed: Notify,
}

#[derive(Default)]
struct State {
    /// Since the origin.
    passed: Duration,
    /// Who sleeps until when, since the origin. A sleeper leaves when it has noticed that its time has come.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    newest_sleeper: u64,
}

impl Manual {
    pub(crate) fn new() -> Self {
        let shared = Shared { origin: Instant::now(), state: Mutex::default(), noticed: Notify::new() };
        Self(Arc::new(shared))
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        self.0.origin + self.passed()
    }

    /// What has passed since the clock was made.
    pub fn passed(&self) -> Duration {
        self.0.state().passed
    }

    /// When the next sleeper's time comes, counted as [`Manual::passed`]; `None` = nobody sleeps.
    pub fn next_sleeper(&self) -> Option<Duration> {
        self.0.state().next_deadline()
    }

    /// Lets the time be `time`, for whoever runs the sleepers himself: they are woken, and nobody waits for them to notice.
    pub fn set_passed(&self, time: Duration) {
        self.0.state().pass_until(time);
    }

    /// Lets time pass. No deadline on the way is jumped over: the clock stops at each until its sleepers have noticed.
    /// What they do then is theirs, and takes real time.
    pub async fn advance(&self, by: Duration) {
        let end = self.passed() + by;
        while let Some(deadline) = self.next_deadline_before(end) {
            self.set(deadline).await;
        }
        self.set(end).await;
    }

    /// Ends when `span` has passed.
    pub(crate) fn sleep(&self, span: Duration) -> Sleep {
        self.sleep_until_passed(self.passed().saturating_add(span))
    }

    /// Ends when the time is `deadline`.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        self.sleep_until_passed(deadline.saturating_duration_since(self.0.origin))
    }

    fn sleep_until_passed(&self, deadline: Duration) -> Sleep {
        let mut state = self.0.state();
        state.newest_sleeper += 1;
        Sleep { clock: self.0.clone(), key: (whole_millis(deadline), state.newest_sleeper) }
    }

    fn next_deadline_before(&self, end: Duration) -> Option<Duration> {
        self.0.state().next_deadline().filter(|deadline| *deadline < end)
    }

    async fn set(&self, time: Duration) {
        self.0.state().pass_until(time);
        // Who does not look in time looks later.
        let _ = timeout(NOTICE_MAX, self.0.everybody_noticed()).await;
    }
}

impl Shared {
    async fn everybody_noticed(&self) {
        loop {
            let noticed = self.noticed.notified();
            if !self.state().has_due() {
                return;
            }
            noticed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next one in the future. Earlier ones wait for their sleepers to notice.
    fn next_deadline(&self) -> Option<Duration> {
        self.sleepers.range((self.passed, u64::MAX)..).next().map(|(&(deadline, _), _)| deadline)
    }

    fn pass_until(&mut self, time: Duration) {
        self.passed = self.passed.max(time);
        self.sleepers.range(..=(self.passed, u64::MAX)).for_each(|(_, waker)| waker.wake_by_ref());
    }

    fn has_due(&self) -> bool {
        self.sleepers.first_key_value().is_some_and(|(&(deadline, _), _)| deadline <= self.passed)
    }
}

/// tokio's timers count whole milliseconds too; it bounds the number of stops on the way.
fn whole_millis(deadline: Duration) -> Duration {
    Duration::from_millis(u64::try_from(deadline.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// Ends when its time has come.
pub(crate) struct Sleep {
    clock: Arc<Shared>,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if self.key.0 > state.passed {
            state.sleepers.insert(self.key, context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.leave();
        Poll::Ready(())
    }
}

impl Sleep {
    fn leave(&self) {
        let mut state = self.clock.state();
        let was_due = state.sleepers.remove(&self.key).is_some() && self.key.0 <= state.passed;
        if was_due && !state.has_due() {
            self.clock.noticed.notify_waiters();
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}

/// One clock, not one time.
impl PartialEq for Manual {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Manual {}

impl fmt::Debug for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manual").field("passed", &self.passed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{Clock, Elapsed};

    const SECOND: Duration = Duration::from_secs(1);

    fn manual() -> (Manual, Clock) {
        let manual = Manual::new();
        (manual.clone(), Clock::Manual(manual))
    }

    #[tokio::test]
    async fn time_stands_still_until_it_is_advanced() {
        let (manual, clock) = manual();
        let begin = clock.now();
        assert!(clock.sleep(SECOND).now_or_never().is_none());
        assert_eq!(clock.now(), begin);
        manual.advance(SECOND).await;
        assert_eq!(clock.now() - begin, SECOND);
        assert!(clock.sleep_until(begin + SECOND).now_or_never().is_some(), "that is now");
    }

    #[tokio::test]
    async fn a_sleeper_is_woken_at_its_deadline_and_not_at_the_end_of_the_step() {
        let (manual, clock) = manual();
        let begin = clock.now();
        let sleeper = |span| {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep(span).await;
                clock.now() - begin
            })
        };
        let sleepers = [sleeper(SECOND * 2), sleeper(SECOND), sleeper(SECOND * 9)];
        tokio::task::yield_now().await;
        manual.advance(SECOND * 10).await;
        for (sleeper, expected) in sleepers.into_iter().zip([2, 1, 9]) {
            assert_eq!(sleeper.await.expect("it does not panic"), SECOND * expected);
        }
    }

    #[tokio::test]
    async fn what_a_sleeper_sleeps_again_is_a_stop_on_the_way_too() {
        let (manual, clock) = manual();
        let ticks = tokio::spawn(async move {
            for tick in 1..=5 {
                clock.sleep(SECOND).await;
                let Clock::Manual(manual) = &clock else { unreachable!("it is manual") };
                assert_eq!(manual.passed(), SECOND * tick);
            }
        });
        tokio::task::yield_now().await;
        manual.advance(SECOND * 5).await;
        ticks.await.expect("every tick came at its time");
    }

    #[tokio::test]
    async fn a_time_limit_is_met_by_work_that_ends_with_it() {
        let (manual, clock) = manual();
        let in_time = clock.timeout(SECOND, clock.sleep(SECOND));
        let late = clock.timeout(SECOND, clock.sleep(SECOND * 2));
        let (in_time, late, ()) = tokio::join!(in_time, late, manual.advance(SECOND));
        assert_eq!((in_time, late), (Ok(()), Err(Elapsed)));
    }

    #[tokio::test]
    async fn a_span_beyond_all_time_is_for_ever() {
        let (manual, clock) = manual();
        let (waited, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_millis(1), clock.sleep(Duration::MAX)),
            manual.advance(SECOND)
        );
        assert!(waited.is_err());
    }

    /// Who is not polled cannot hold the time up for ever. tokio's time is paused and goes on by itself here.
    #[tokio::test(start_paused = true)]
    async fn a_sleeper_that_nobody_looks_at_delays_an_advance_by_a_bound() {
        let (manual, clock) = manual();
        let mut forgotten = Box::pin(clock.sleep(SECOND));
        assert!(forgotten.as_mut().now_or_never().is_none());
        let begin = Instant::now();
        manual.advance(SECOND * 3).await;
        assert_eq!(manual.passed(), SECOND * 3);
        assert_eq!(begin.elapsed(), NOTICE_MAX * 2, "at its deadline, and at the end");
        forgotten.await;
    }

    #[test]
    fn clones_are_one_clock_and_two_clocks_are_not() {
        let (one, other) = (Clock::manual(), Clock::manual());
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
        assert_ne!(one, Clock::Real);
    }
}
