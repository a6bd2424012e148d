//! The in-process gate that block writes pass; the distributed lock is another thing (`owner`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use errno::Errno;
use tokio::sync::{oneshot, watch};

use crate::Error;

/// Why the gate is closed. Each reason counts; the gate is open when no reason is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The image uses the exclusive lock and this client does not own it.
    NotOwner,
    /// A snapshot is being created.
    Snapshot,
    /// The size is being changed.
    Resize,
    /// The parent is being detached.
    Flatten,
    /// The image is being rolled back to a snapshot.
    Rollback,
}

/// Ops that wait at the gate at one time.
const WAITING_MAX: usize = 4096;

/// Lets block writes through while nothing closes it. Whoever waits is let in in the order of arrival, at the very moment
/// the gate opens: a hand-over of the lock can never overtake a write that waited for the lock.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Read by those that drain.
    permits: watch::Sender<Permits>,
}

#[derive(Debug, Default)]
struct Permits {
    /// Number of the latest.
    given: u64,
    /// Those that are out.
    out: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct State {
    closed: BTreeMap<Reason, usize>,
    /// In the order of their numbers.
    waiting: VecDeque<Waiter>,
    /// Number of the latest that has waited; the first one's is 1.
    newest_waiter: u64,
    /// Set once, when the image is dead or closed: everybody who waits or comes is told.
    failed: Option<Error>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    admit: oneshot::Sender<Result<Permit, Error>>,
}

/// Allows one op to write. It belongs to the op, not to its caller: it ends when the op has ended.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    number: u64,
}

/// What an op finds when it arrives at the gate.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is inside.
    Inside(Permit),
    /// It is in the queue.
    Waiting(Waiting),
}

/// A place in the gate's queue; given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiting(oneshot::Receiver<Result<Permit, Error>>);

impl Waiting {
    /// Waits until the gate opens. The error is the one that ended the wait.
    pub(crate) async fn admitted(self) -> Result<Permit, Error> {
        // The gate is shared with whoever waits, and it answers everybody whom it takes out of its queue.
        self.0.await.expect("the gate answers everybody in its queue")
    }
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        let shared = Shared { state: Mutex::default(), permits: watch::Sender::new(Permits::default()) };
        Self { shared: Arc::new(shared) }
    }

    /// Goes in, or takes a place in the queue. The error is the one the gate was failed with; EAGAIN when the queue is full.
    pub(crate) fn arrive(&self) -> Result<Arrival, Error> {
        self.arrive_behind(WAITING_MAX)
    }

    /// Like [`Gate::arrive`], however full the queue is.
    pub(crate) fn arrive_beyond_limit(&self) -> Result<Arrival, Error> {
        self.arrive_behind(usize::MAX)
    }

    fn arrive_behind(&self, waiting_max: usize) -> Result<Arrival, Error> {
        let mut state = self.shared.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        if state.closed.is_empty() {
            return Ok(Arrival::Inside(Permit::new(&self.shared)));
        }
        if state.waiting.len() >= waiting_max {
            state.waiting.retain(|waiter| !waiter.admit.is_closed());
        }
        if state.waiting.len() >= waiting_max {
            let text = format!("{waiting_max} writes wait for the gate already, which is the limit");
            return Err(Error::refused(Errno::EAGAIN, text));
        }
        let (admit, admitted) = oneshot::channel();
        state.newest_waiter += 1;
        let number = state.newest_waiter;
        state.waiting.push_back(Waiter { number, admit });
        Ok(Arrival::Waiting(Waiting(admitted)))
    }

    /// Closes the gate to new ops for one more reason. Ops that are inside go on: see [`Gate::drained`].
    pub(crate) fn close(&self, reason: Reason) {
        *self.shared.lock().closed.entry(reason).or_default() += 1;
    }

    /// Like [`Gate::close`], unless `reason` closes the gate already.
    pub(crate) fn close_once(&self, reason: Reason) {
        self.shared.lock().closed.entry(reason).or_insert(1);
    }

    /// Takes one count of `reason` back; if it was the last, everybody who waits is let in.
    pub(crate) fn open(&self, reason: Reason) {
        let mut state = self.shared.lock();
        if let Some(count) = state.closed.get_mut(&reason) {
            *count -= 1;
            if *count == 0 {
                state.closed.remove(&reason);
            }
        }
        if state.closed.is_empty() {
            let waiting = std::mem::take(&mut state.waiting);
            let admitted: Vec<_> =
                waiting.into_iter().map(|waiter| (waiter, Permit::new(&self.shared))).collect();
            drop(state);
            for (waiter, permit) in admitted {
                // A waiter that went away gives its permit back here.
                let _gone = waiter.admit.send(Ok(permit));
            }
        }
    }

    /// Ends everybody who waits, and everybody who comes later, with `error`. Only the first failure counts.
    pub(crate) fn fail(&self, error: &Error) {
        let mut state = self.shared.lock();
        let error = state.failed.get_or_insert_with(|| error.clone()).clone();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        tell_all(waiting, &error);
    }

    /// Ends everybody who waits and came no later than number `newest` with `error`; the gate stays as it is for all others.
    pub(crate) fn turn_away(&self, newest: u64, error: &Error) {
        let mut state = self.shared.lock();
        let later = state.waiting.partition_point(|waiter| waiter.number <= newest);
        let later = state.waiting.split_off(later);
        let waiting = std::mem::replace(&mut state.waiting, later);
        drop(state);
        tell_all(waiting, error);
    }

    /// Whether `reason` closes the gate now.
    pub(crate) fn is_closed_by(&self, reason: Reason) -> bool {
        self.shared.lock().closed.contains_key(&reason)
    }

    /// Number of the newest op that waits for the gate and still wants to.
    pub(crate) fn newest_waiting(&self) -> Option<u64> {
        let state = self.shared.lock();
        state.waiting.iter().rev().find(|waiter| !waiter.admit.is_closed()).map(|waiter| waiter.number)
    }

    /// Waits until no permit is out. Meaningful while the gate is closed.
    pub(crate) async fn drained(&self) {
        let mut permits = self.shared.permits.subscribe();
        // The sender lives in `self.shared`.
        let _open = permits.wait_for(|permits| permits.out.is_empty()).await;
    }

    /// Waits until every op that is inside now has ended.
    pub(crate) async fn passed(&self) {
        let mut permits = self.shared.permits.subscribe();
        let latest = permits.borrow().given;
        let _open =
            permits.wait_for(|permits| permits.out.first().is_none_or(|oldest| *oldest > latest)).await;
    }

    /// Closes the gate for `reason`, waits until it is drained, and opens it when the returned value goes.
    pub(crate) async fn closed_and_drained(&self, reason: Reason) -> Closed {
        self.close(reason);
        let closed = Closed { gate: self.clone(), reason };
        self.drained().await;
        closed
    }
}

impl Shared {
    /// No code panics while it holds the state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut number = 0;
        shared.permits.send_modify(|permits| {
            permits.given += 1;
            permits.out.insert(permits.given);
            number = permits.given;
        });
        Self { shared: Arc::clone(shared), number }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.permits.send_modify(|permits| {
            permits.out.remove(&self.number);
        });
    }
}

fn tell_all(waiting: VecDeque<Waiter>, error: &Error) {
    for waiter in waiting {
        let _gone = waiter.admit.send(Err(error.clone()));
    }
}

/// Keeps the gate closed for one reason.
#[derive(Debug)]
pub(crate) struct Closed {
    gate: Gate,
    reason: Reason,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.gate.open(self.reason);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    impl Gate {
        async fn enter(&self) -> Result<Permit, Error> {
            match self.arrive()? {
                Arrival::Inside(permit) => Ok(permit),
                Arrival::Waiting(waiting) => waiting.admitted().await,
            }
        }
    }

    #[tokio::test]
    async fn an_open_gate_lets_in_at_once() {
        assert!(Gate::new().enter().now_or_never().expect("open").is_ok());
    }

    #[tokio::test]
    async fn a_closed_gate_lets_in_when_its_last_reason_goes() {
        let gate = Gate::new();
        gate.close(Reason::NotOwner);
        gate.close(Reason::Snapshot);
        gate.close(Reason::Snapshot);
        let mut entering = Box::pin(gate.enter());
        assert!(entering.as_mut().now_or_never().is_none());
        gate.open(Reason::NotOwner);
        gate.open(Reason::Snapshot);
        assert!(entering.as_mut().now_or_never().is_none(), "one snapshot is still being created");
        gate.open(Reason::Snapshot);
        assert!(entering.now_or_never().expect("open").is_ok());
    }

    #[tokio::test]
    async fn a_waiting_op_is_inside_at_the_moment_of_opening_even_if_the_gate_closes_at_once() {
        let gate = Gate::new();
        gate.close(Reason::NotOwner);
        let mut entering = Box::pin(gate.enter());
        assert!(entering.as_mut().now_or_never().is_none());
        gate.open(Reason::NotOwner);
        gate.close(Reason::NotOwner);
        assert!(gate.drained().now_or_never().is_none(), "its permit is out before it has run");
        let permit = entering.now_or_never().expect("admitted").expect("not failed");
        drop(permit);
        gate.drained().now_or_never().expect("drained");
    }

    #[tokio::test]
    async fn an_op_that_goes_away_while_it_waits_holds_nothing() {
        let gate = Gate::new();
        gate.close(Reason::Resize);
        {
            let mut entering = Box::pin(gate.enter());
            assert!(entering.as_mut().now_or_never().is_none());
        }
        assert_eq!(gate.newest_waiting(), None);
        gate.open(Reason::Resize);
        gate.drained().now_or_never().expect("nobody is inside");
    }

    #[tokio::test]
    async fn the_queue_has_a_limit_and_those_who_went_away_do_not_count() {
        let gate = Gate::new();
        gate.close(Reason::NotOwner);
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| gate.arrive().expect("there is room")).collect();
        assert_eq!(gate.arrive().expect_err("full").errno(), Errno::EAGAIN);
        assert!(matches!(gate.arrive_beyond_limit(), Ok(Arrival::Waiting(_))), "an operation's step");
        waiting.pop();
        assert!(matches!(gate.arrive(), Ok(Arrival::Waiting(_))));
    }

    #[tokio::test]
    async fn a_failed_gate_tells_those_who_wait_and_those_who_come() {
        let gate = Gate::new();
        gate.close(Reason::NotOwner);
        let mut entering = Box::pin(gate.enter());
        assert!(entering.as_mut().now_or_never().is_none());
        gate.fail(&Error::refused(Errno::EBLOCKLISTED, "fenced"));
        assert_eq!(entering.await.expect_err("failed").errno(), Errno::EBLOCKLISTED);
        assert_eq!(gate.enter().await.expect_err("failed").errno(), Errno::EBLOCKLISTED);
    }

    #[tokio::test]
    async fn only_those_who_came_in_time_are_turned_away() {
        let gate = Gate::new();
        gate.close(Reason::NotOwner);
        let mut earlier = Box::pin(gate.enter());
        assert!(earlier.as_mut().now_or_never().is_none());
        let newest = gate.newest_waiting().expect("one waits");
        let mut later = Box::pin(gate.enter());
        assert!(later.as_mut().now_or_never().is_none());
        gate.turn_away(newest, &Error::refused(Errno::EROFS, "the owner keeps the lock"));
        assert_eq!(earlier.await.expect_err("turned away").errno(), Errno::EROFS);
        assert!(later.as_mut().now_or_never().is_none());
        gate.open(Reason::NotOwner);
        assert!(later.await.is_ok());
    }

    #[tokio::test]
    async fn passing_waits_for_earlier_ops_only() {
        let gate = Gate::new();
        let earlier = gate.enter().await.expect("open");
        let mut passing = Box::pin(gate.passed());
        assert!(passing.as_mut().now_or_never().is_none());
        let _later = gate.enter().await.expect("open");
        drop(earlier);
        passing.now_or_never().expect("the later op does not count");
    }

    #[tokio::test]
    async fn draining_waits_for_the_ops_inside() {
        let gate = Gate::new();
        let permit = gate.enter().await.expect("open");
        let mut draining = Box::pin(gate.closed_and_drained(Reason::Snapshot));
        assert!(draining.as_mut().now_or_never().is_none());
        drop(permit);
        let closed = draining.now_or_never().expect("drained");
        assert!(gate.is_closed_by(Reason::Snapshot));
        drop(closed);
        assert!(!gate.is_closed_by(Reason::Snapshot));
    }
}
