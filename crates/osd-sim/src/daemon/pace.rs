//! The OSD's time: it stands while the OSD stands.

use std::time::Duration;

use clock::Clock;
use osd::Millis;
use tokio::time::Instant;

use crate::config::whole_millis;

/// How often the time is looked at, at the least, if it passes by itself.
pub(super) const PULSE: Duration = Duration::from_millis(50);

/// Time in which it was not looked at for so long has not passed: the process was stopped, or busy with one step.
const STALL_MIN: Duration = Duration::from_millis(150);

/// How long the time still stands then: what has arrived meanwhile waits in the sockets, and is read first.
const SETTLE: Duration = Duration::from_millis(200);

/// Whatever is due goes by what had arrived. A watch does not expire because the OSD stood still while the pings were on
/// their way: what the OSD has not lived through is not counted.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    started: Instant,
    looked: Instant,
    /// What is not counted.
    stood: Duration,
    /// The time stands until then.
    settles: Option<Instant>,
}

impl Pace {
    pub(super) fn new(clock: Clock) -> Self {
        let started = clock.now();
        Self { clock, started, looked: started, stood: Duration::ZERO, settles: None }
    }

    /// Takes note of what time it is; how long the time has stood since the last look. A manual clock never stands while it is
    /// made to pass.
    pub(super) fn look(&mut self) -> Duration {
        let now = self.clock.now();
        match self.clock {
            Clock::Real => self.look_at(now),
            Clock::Manual(_) => {
                self.looked = now;
                Duration::ZERO
            }
        }
    }

    fn look_at(&mut self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.looked);
        self.looked = now;
        if gap >= STALL_MIN {
            self.settles = Some(now + SETTLE);
        } else if self.settles.is_some_and(|until| now >= until) {
            self.settles = None;
        }
        let stood = if self.settles.is_some() { gap } else { Duration::ZERO };
        self.stood += stood;
        stood
    }

    /// What has passed until the last look.
    pub(super) fn passed(&self) -> Millis {
        whole_millis(self.looked.saturating_duration_since(self.started + self.stood))
    }

    /// When the time is `deadline`, if it does not stand meanwhile.
    pub(super) fn reaches(&self, deadline: Millis) -> Instant {
        self.started + self.stood + Duration::from_millis(deadline.0.min(u64::from(u32::MAX) * 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at the time every 50 ms.
    fn run(pace: &mut Pace, from: Instant, span: u64) -> Instant {
        for at in (50..=span).step_by(50) {
            pace.look_at(from + Duration::from_millis(at));
        }
        from + Duration::from_millis(span)
    }

    #[test]
    fn time_in_which_the_osd_stood_still_has_not_passed() {
        let mut pace = Pace::new(Clock::Real);
        let started = pace.started;
        let stopped = run(&mut pace, started, 1000);
        assert_eq!(pace.passed(), Millis(1000));
        let continued = stopped + Duration::from_secs(60);
        assert_eq!(pace.look_at(continued), Duration::from_secs(60));
        assert_eq!(pace.passed(), Millis(1000));
        run(&mut pace, continued, 150);
        assert_eq!(pace.passed(), Millis(1000), "what waits in the sockets is read first");
        run(&mut pace, continued + Duration::from_millis(150), 1050);
        assert_eq!(pace.passed(), Millis(2050));
    }

    #[test]
    fn a_late_look_is_no_standstill() {
        let mut pace = Pace::new(Clock::Real);
        let started = pace.started;
        pace.look_at(started + Duration::from_millis(149));
        assert_eq!(pace.passed(), Millis(149));
    }
}
