//! The way out of ownership: drain, unlock, announce; and the end.

use marks::Mark;

use crate::ids::Millis;
use crate::lock::{Effect, ExclusiveLock, State};

impl ExclusiveLock {
    pub(super) fn start_release(&mut self, effects: &mut Vec<Effect>) {
        if self.state != State::Locked {
            marks::hit(Mark::LockNothingToRelease);
            return self.finish(self.state, Ok(()), effects);
        }
        marks::hit(Mark::LockReleases);
        self.enter(State::PreReleasing, effects);
        effects.push(Effect::PreRelease);
    }

    pub(super) fn start_shut_down(&mut self, effects: &mut Vec<Effect>) {
        if self.state == State::Locked {
            marks::hit(Mark::LockShutDownOwned);
            self.enter(State::PreShuttingDown, effects);
            effects.push(Effect::PreRelease);
        } else {
            marks::hit(Mark::LockShutDown);
            self.finish(State::Shutdown, Ok(()), effects);
        }
    }

    /// A lock that was lost meanwhile is not unlocked.
    pub(super) fn pre_released(&mut self, effects: &mut Vec<Effect>) {
        let (unlocking, stable) = match self.state {
            State::PreReleasing => (State::Releasing, State::Unlocked),
            State::PreShuttingDown => (State::ShuttingDown, State::Shutdown),
            _ => return,
        };
        let is_closing = stable == State::Shutdown;
        if self.dead.is_some() {
            marks::hit(if is_closing { Mark::LockClosingDead } else { Mark::LockDrainedDead });
            return self.finish(stable, Ok(()), effects);
        }
        marks::hit(if is_closing { Mark::LockClosingDrained } else { Mark::LockDrained });
        self.enter(unlocking, effects);
        effects.push(Effect::Unlock { handle: self.held });
    }

    /// The active action is the release, the shut-down, or the acquire that is being reverted.
    pub(super) fn unlocked(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let stable = match self.state {
            State::Releasing => State::Unlocked,
            State::ShuttingDown => State::Shutdown,
            _ => return,
        };
        marks::hit(if stable == State::Shutdown { Mark::LockClosingUnlocked } else { Mark::LockUnlocked });
        self.yielding = self.promised.map(|_| now + self.config.retry_delay);
        let result = self.revert.take().map_or(Ok(()), Err);
        self.enter(stable, effects);
        self.announce_released(effects);
        self.finish(stable, result, effects);
    }
}
