//! The way out of ownership: drain, unlock, announce; and the end.

use errno::Errno;

use crate::lock::{Effect, ExclusiveLock, State};
use crate::outcome::OpResult;

impl ExclusiveLock {
    pub(super) fn start_release(&mut self, effects: &mut Vec<Effect>) {
        if self.state != State::Locked {
            return self.finish(self.state, Ok(()), effects);
        }
        self.promised = None;
        self.enter(State::PreReleasing, effects);
        effects.push(Effect::PreRelease);
    }

    pub(super) fn start_shut_down(&mut self, effects: &mut Vec<Effect>) {
        if self.state == State::Locked {
            self.promised = None;
            self.enter(State::PreShuttingDown, effects);
            effects.push(Effect::PreRelease);
        } else {
            self.finish(State::Shutdown, Ok(()), effects);
        }
    }

    pub(super) fn pre_released(&mut self, result: OpResult, effects: &mut Vec<Effect>) {
        let stable = match self.state {
            State::PreReleasing => State::Unlocked,
            State::PreShuttingDown => State::Shutdown,
            _ => return,
        };
        let closing = stable == State::Shutdown;
        match result {
            Err(errno @ (Errno::EBLOCKLISTED | Errno::ENOENT)) => {
                self.finish(stable, Ok(()), effects);
                if errno == Errno::EBLOCKLISTED {
                    self.die(errno, effects);
                }
            }
            Err(errno) if !closing && self.dead.is_none() => {
                self.finish(State::Locked, Err(errno), effects);
                effects.push(Effect::OpenGate);
            }
            _ if self.dead.is_some() => self.finish(stable, Ok(()), effects),
            result => {
                self.revert = result.err();
                self.enter(if closing { State::ShuttingDown } else { State::Releasing }, effects);
                effects.push(Effect::Unlock { handle: self.held });
            }
        }
    }

    /// The active action is the release, the shut-down, or the acquire that is being reverted.
    pub(super) fn unlocked(&mut self, effects: &mut Vec<Effect>) {
        let stable = match self.state {
            State::Releasing => State::Unlocked,
            State::ShuttingDown => State::Shutdown,
            _ => return,
        };
        let result = self.revert.take().map_or(Ok(()), Err);
        self.enter(stable, effects);
        self.announce_released(effects);
        self.finish(stable, result, effects);
    }
}
