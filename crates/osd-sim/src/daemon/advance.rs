//! Time that is made to pass.

use std::time::Duration;

use clock::{ADVANCE_STEPS_MAX, Advance, Clock, Manual, StepLimit};
use errno::Errno;
use osd::{OpError, SilentWatch};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Daemon;

/// Pings that a live client sends in the time of its watch, as Ceph's.
const STEPS_PER_WATCH_TIMEOUT: u32 = 6;

const MILLISECOND: Duration = Duration::from_millis(1);

impl Daemon {
    /// EPERM unless the clock is manual.
    pub(crate) fn manual_clock(&self) -> Result<&Manual, OpError> {
        match &self.clock {
            Clock::Manual(manual) => Ok(manual),
            Clock::Real => Err(refusal(Errno::EPERM, "the clock is real: start osd-sim with --clock manual")),
        }
    }

    /// How large a step of time may be now.
    pub(crate) fn step_limit(&self) -> StepLimit {
        let shortest = Duration::from_millis(self.look(osd::Osd::shortest_watch_timeout).0);
        // A watch of 1 ms is one that nobody can keep.
        let below = shortest.max(MILLISECOND * 2);
        let default = (below / STEPS_PER_WATCH_TIMEOUT).max(MILLISECOND);
        StepLimit { rule: "the shortest watch timeout", below, default }
    }

    /// Lets time pass: at each step what is due happens, and every watch stream is asked for a ping. The watches that were
    /// silent after the last step.
    ///
    /// EPERM unless the clock is manual; EINVAL names the rule that `by_ms` and the others break; EAGAIN when a watch that
    /// came meanwhile makes too many steps of it. A caller that goes away stops the time within a step.
    pub(crate) async fn advance(
        &self,
        by_ms: u64,
        step_ms: u64,
        patience_ms: u64,
    ) -> Result<Vec<SilentWatch>, OpError> {
        let manual = self.manual_clock()?;
        let _alone = self.advancing.lock().await;
        let advance = Advance::new(by_ms, step_ms, patience_ms, self.step_limit());
        let Advance { by, step, patience } =
            advance.map_err(|rule| refusal(Errno::EINVAL, rule.to_string()))?;
        let mut left = by;
        for _ in 0..=ADVANCE_STEPS_MAX {
            // Watches with a shorter timeout may have come meanwhile.
            let span = left.min(step).min(self.step_limit().below - MILLISECOND);
            if span.is_zero() {
                return Ok(self.look(osd::Osd::silent_watches));
            }
            manual.advance(span).await;
            self.step(|osd, now| ((), osd.tick(now)));
            self.hear_watches(patience).await;
            left -= span;
        }
        let rule =
            format!("{left:?} are left after ADVANCE_STEPS_MAX = {ADVANCE_STEPS_MAX} steps: advance again");
        Err(refusal(Errno::EAGAIN, rule))
    }

    /// Asks the watch streams for a ping, and waits for the answers; in real time.
    async fn hear_watches(&self, patience: Duration) {
        let (heard, answers) = oneshot::channel();
        self.step_and(osd::Osd::ask_watches, |state, asked| state.awaited = Some((asked, heard)));
        // Who has not answered by then is silent.
        let _ = timeout(patience, answers).await;
    }
}

fn refusal(errno: Errno, rule: impl Into<String>) -> OpError {
    OpError { errno, failed_op: None, text: rule.into() }
}
