//! The way to ownership: acquire, wait, install, reacquire.

use errno::Errno;
use marks::Mark;

use crate::acquire::Outcome;
use crate::ids::{Millis, Token};
use crate::lock::machine::{complete, configured_policy, ends_automatic_policy};
use crate::lock::queue::{Action, Kind, Waiter};
use crate::lock::{Effect, ExclusiveLock, Policy, Purpose, State};
use crate::outcome::{Failure, OpResult, RpcOutcome};

/// What a waiting state waits for, and how long at most.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Wait {
    pub(crate) deadline: Millis,
    foreign: bool,
    /// The RequestLock whose answer counts.
    send: Option<Token>,
}

impl ExclusiveLock {
    pub(super) fn request_acquire(&mut self, now: Millis, waiter: Waiter, effects: &mut Vec<Effect>) {
        let explicit = waiter.purpose == Some(Purpose::Explicit);
        let refused = if self.is_shutting_down() { Some(Errno::ESHUTDOWN) } else { self.dead };
        if let Some(errno) = refused {
            marks::hit(if self.is_shutting_down() { Mark::LockAskedTooLate } else { Mark::LockAskedDead });
            return effects.push(Effect::Complete { token: waiter.token, result: Err(errno) });
        }
        if explicit && self.state == State::Locked && self.promised.is_some() {
            // The peer that was promised the lock gets it first.
            self.queue.push(Kind::Release, None);
        }
        match &self.wait {
            Some(wait) if waiter.purpose.is_none() && !wait.foreign => {
                effects.push(Effect::Complete { token: waiter.token, result: Ok(()) });
            }
            // A foreign lock may have been removed without a word: whoever does not wait for it gets a fresh answer.
            Some(wait) if wait.foreign && waiter.purpose != Some(Purpose::Io) => {
                self.queue.push(Kind::Acquire, Some(waiter));
                self.begin_acquire(now, effects);
            }
            _ => self.queue.push(Kind::Acquire, Some(waiter)),
        }
    }

    pub(super) fn start_acquire(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        match self.state {
            State::Locked => {
                let waiters = self.queue.finish_active();
                self.acquired(waiters, effects);
            }
            // A release that was asked for in the meantime ended the lock's own wish.
            State::Unlocked if !self.is_wanted(State::Acquiring) => self.finish(self.state, Ok(()), effects),
            State::Unlocked => self.ask_or_acquire(now, effects),
            _ => self.finish(self.state, Err(Errno::ESHUTDOWN), effects),
        }
    }

    pub(super) fn peer_changed(&mut self, now: Millis, acquired: bool, effects: &mut Vec<Effect>) {
        self.yielding = None;
        // An owner believes itself.
        self.peer_owns = acquired && !self.is_owner();
        if self.state == State::WaitingForLock {
            marks::hit(if acquired { Mark::LockPeerAcquired } else { Mark::LockPeerReleased });
            self.ask_or_acquire(now, effects);
        }
    }

    /// Asks a known owner when somebody is ready to wait for it, else looks at the lock.
    fn ask_or_acquire(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let waits = |action: &Action| action.waiters.iter().any(|waiter| waiter.purpose.is_some());
        let usable = self.dead.is_none() && self.handle != 0;
        if usable && self.peer_owns && self.queue.active().is_some_and(waits) {
            marks::hit(Mark::LockAsksKnownOwner);
            self.peer_owns = false;
            self.held = self.handle;
            self.ask_owner(now + self.config.retry_delay, effects);
        } else {
            self.begin_acquire(now, effects);
        }
    }

    /// The server part, from UNLOCKED or a waiting state.
    pub(super) fn begin_acquire(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if let Some(errno) = self.dead {
            self.finish(State::Unlocked, Err(errno), effects);
        } else if self.handle == 0 {
            marks::hit(Mark::LockWithoutWatch);
            self.settle(|waiter| waiter.purpose.is_none().then_some(Ok(())), effects);
            self.wait_or_stop(State::WaitingForRegister, now + self.config.retry_delay, false, effects);
        } else if let Some(until) = self.yielding.filter(|until| now < *until) {
            marks::hit(Mark::LockYields);
            self.settle(|waiter| waiter.purpose.is_none().then_some(Ok(())), effects);
            self.wait_or_stop(State::WaitingForLock, until, false, effects);
        } else {
            marks::hit(Mark::LockAcquires);
            self.yielding = None;
            // The cookie is made from the newest handle.
            self.queue.take(Kind::Reacquire);
            self.held = self.handle;
            self.enter(State::Acquiring, effects);
            self.ask(Effect::Acquire { handle: self.held }, effects);
        }
    }

    /// For everybody who waits now; only the answer to the latest question counts.
    fn ask(&mut self, question: Effect, effects: &mut Vec<Effect>) {
        if let Some(action) = self.queue.active_mut() {
            action.waiters.iter_mut().for_each(|waiter| waiter.is_asked_for = true);
        }
        effects.push(question);
    }

    pub(super) fn acquire_ended(&mut self, now: Millis, outcome: Outcome, effects: &mut Vec<Effect>) {
        if self.state != State::Acquiring {
            return;
        }
        match (outcome, self.dead) {
            (_, Some(errno)) => {
                marks::hit(Mark::LockAcquiredDead);
                self.finish(State::Unlocked, Err(errno), effects);
            }
            (Outcome::Locked, None) => {
                marks::hit(Mark::LockTaken);
                self.enter(State::PostAcquiring, effects);
                effects.push(Effect::PostAcquire);
            }
            (Outcome::OwnerAlive(_) | Outcome::Failed(Errno::EAGAIN), None) => {
                marks::hit(Mark::InsideOwnerLives);
                self.ask_owner(now + self.config.client_notify_timeout, effects);
            }
            (Outcome::Foreign, None) => self.foreign(now, effects),
            (Outcome::Failed(errno), None) => {
                marks::hit(Mark::LockAcquireFailed);
                self.fail(errno, effects);
            }
        }
    }

    /// Fails everybody who waits; a fence is remembered.
    fn fail(&mut self, errno: Errno, effects: &mut Vec<Effect>) {
        self.finish(State::Unlocked, Err(errno), effects);
        if errno == Errno::EBLOCKLISTED {
            self.die(errno, effects);
        }
    }

    /// Asks for the lock; looks at it again at `deadline` unless something is heard before.
    fn ask_owner(&mut self, deadline: Millis, effects: &mut Vec<Effect>) {
        self.settle(|waiter| waiter.purpose.is_none().then_some(Ok(())), effects);
        self.wait_or_stop(State::WaitingForLock, deadline, false, effects);
        let from = self.me();
        if let Some(wait) = &mut self.wait {
            marks::hit(Mark::LockAsksOwner);
            let send = Token(self.sends.count());
            wait.send = Some(send);
            self.ask(Effect::SendRequestLock { send, from }, effects);
        }
    }

    /// Fails those for whom the question was asked, and with them the lock's own wish; looks at the lock again for the others.
    fn refuse(&mut self, now: Millis, errno: Errno, effects: &mut Vec<Effect>) {
        let Some(action) = self.queue.active_mut() else { return };
        if action.waiters.iter().all(|waiter| waiter.is_asked_for) {
            return self.finish(State::Unlocked, Err(errno), effects);
        }
        marks::hit(Mark::LockRefusedButJoined);
        action.own_wish = false;
        self.settle(|waiter| waiter.is_asked_for.then_some(Err(errno)), effects);
        self.begin_acquire(now, effects);
    }

    /// Nobody answers for a manual lock: no RequestLock, a look after each `retry_delay`, or at once for whoever does not wait
    /// for it and came too late for this look.
    fn foreign(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let refusal = |waiter: &Waiter| match waiter.purpose {
            None => Some(Err(Errno::EBUSY)),
            Some(Purpose::Operation | Purpose::Explicit) => Some(Err(Errno::EROFS)),
            Some(Purpose::Io) => None,
        };
        self.settle(|waiter| refusal(waiter).filter(|_| waiter.is_asked_for), effects);
        let came_late = |action: &Action| action.waiters.iter().any(|waiter| refusal(waiter).is_some());
        if self.queue.active().is_some_and(came_late) && !self.is_shutting_down() {
            marks::hit(Mark::LockForeignJoined);
            return self.begin_acquire(now, effects);
        }
        self.wait_or_stop(State::WaitingForLock, now + self.config.retry_delay, true, effects);
        marks::hit(if self.wait.is_some() { Mark::LockForeignWaits } else { Mark::LockForeign });
    }

    /// Completes the waiters of the active acquire that are not ready to wait.
    fn settle(&mut self, judge: impl Fn(&Waiter) -> Option<OpResult>, effects: &mut Vec<Effect>) {
        let Some(action) = self.queue.active_mut() else { return };
        action.waiters.retain(|waiter| match judge(waiter) {
            Some(result) => {
                effects.push(Effect::Complete { token: waiter.token, result });
                false
            }
            None => true,
        });
    }

    /// Waits when anybody wants it; a waiting state lets nothing stand behind it in the queue.
    fn wait_or_stop(&mut self, state: State, deadline: Millis, foreign: bool, effects: &mut Vec<Effect>) {
        if self.is_shutting_down() {
            marks::hit(Mark::LockClosesInstead);
            return self.finish(State::Unlocked, Err(Errno::ESHUTDOWN), effects);
        }
        if !self.is_wanted(state) {
            marks::hit(Mark::LockTriedInVain);
            return self.finish(State::Unlocked, Ok(()), effects);
        }
        let releases = self.queue.take(Kind::Release);
        if !releases.is_empty() {
            self.policy = configured_policy(&self.config);
        }
        complete(releases, Ok(()), effects);
        self.queue.take(Kind::Reacquire);
        self.enter(state, effects);
        self.wait = Some(Wait { deadline, foreign, send: None });
    }

    /// In this state. The lock's own wish to be owner again waits for a watch, but takes the lock from a peer only under the
    /// standard policy.
    pub(super) fn is_wanted(&self, state: State) -> bool {
        self.queue.active().is_some_and(|action| {
            let patient = state != State::WaitingForLock || self.policy == Policy::Standard;
            !action.waiters.is_empty() || (action.own_wish && patient)
        })
    }

    pub(super) fn request_lock_ended(
        &mut self,
        now: Millis,
        send: Token,
        outcome: &RpcOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(wait) = self.wait.as_mut().filter(|wait| wait.send == Some(send)) else { return };
        wait.send = None;
        if !matches!(outcome, RpcOutcome::NoOwner) {
            self.no_owner = 0;
            self.backoff.reset();
        }
        // A hand-over while the notify is out can look so once (facts 4.3): the second time it is true.
        let again = std::mem::replace(&mut self.two_owners, matches!(outcome, RpcOutcome::TwoOwners { .. }));
        match outcome {
            RpcOutcome::Accepted { .. } => {
                marks::hit(Mark::LockPromised);
                wait.deadline = now + self.config.client_notify_timeout;
            }
            RpcOutcome::NoOwner if self.no_owner == 0 => {
                marks::hit(Mark::LockNoOwner);
                self.no_owner = 1;
                self.begin_acquire(now, effects);
            }
            RpcOutcome::NoOwner => {
                marks::hit(Mark::LockNoOwnerAgain);
                wait.deadline = now + self.backoff.next_delay();
            }
            RpcOutcome::Refused(Failure { errno: Errno::EROFS, .. }) => {
                marks::hit(Mark::LockRefused);
                self.refuse(now, Errno::EROFS, effects);
            }
            RpcOutcome::TwoOwners { .. } if again => {
                marks::hit(Mark::LockTwoOwners);
                self.refuse(now, Errno::EIO, effects);
            }
            RpcOutcome::NotifyFailed(Errno::EBLOCKLISTED) => self.fail(Errno::EBLOCKLISTED, effects),
            RpcOutcome::TwoOwners { .. }
            | RpcOutcome::Undecodable
            | RpcOutcome::NotSupported
            | RpcOutcome::Refused(_)
            | RpcOutcome::NotifyFailed(_) => {
                marks::hit(Mark::LockUnclear);
                wait.deadline = now + self.config.retry_delay;
            }
        }
    }

    pub(super) fn post_acquired(&mut self, result: OpResult, effects: &mut Vec<Effect>) {
        if self.state != State::PostAcquiring {
            return;
        }
        match (result, self.dead) {
            (_, Some(errno)) => {
                marks::hit(Mark::LockAcquiredDead);
                self.finish(State::Unlocked, Err(errno), effects);
            }
            (Err(errno), None) => {
                marks::hit(Mark::LockReverted);
                self.revert = Some(errno);
                self.enter(State::Releasing, effects);
                effects.push(Effect::Unlock { handle: self.held });
            }
            (Ok(()), None) => {
                marks::hit(Mark::LockInstalled);
                self.peer_owns = false;
                self.no_owner = 0;
                self.two_owners = false;
                self.backoff.reset();
                self.enter(State::Locked, effects);
                self.announce_acquired(effects);
                effects.push(Effect::OpenGate);
                let waiters = self.queue.finish_active();
                self.acquired(waiters, effects);
            }
        }
    }

    fn acquired(&mut self, waiters: Vec<Waiter>, effects: &mut Vec<Effect>) {
        if ends_automatic_policy(&waiters) {
            self.policy = Policy::Standard;
        }
        complete(waiters, Ok(()), effects);
    }

    pub(super) fn start_reacquire(&mut self, effects: &mut Vec<Effect>) {
        self.queue.finish_active();
        if self.state != State::Locked || self.dead.is_some() {
            return;
        }
        if self.handle == 0 {
            marks::hit(Mark::LockReacquiresWithoutWatch);
            self.release_then_acquire();
        } else if self.handle == self.held && self.config.blocklist_on_break_lock {
            // Peers forgot the owner when its watch was lost.
            marks::hit(Mark::LockAnnouncesAgain);
            self.announce_acquired(effects);
        } else {
            marks::hit(Mark::LockReacquires);
            self.queue.push_front(Kind::Reacquire, true);
            self.reacquiring = self.handle;
            self.enter(State::Reacquiring, effects);
            effects.push(Effect::SetCookie { old: self.held, new: self.reacquiring });
        }
    }

    pub(super) fn cookie_set(&mut self, result: OpResult, effects: &mut Vec<Effect>) {
        if self.state != State::Reacquiring {
            return;
        }
        let again = self.handle != self.reacquiring;
        self.queue.finish_active();
        self.enter(State::Locked, effects);
        match result {
            Ok(()) => {
                marks::hit(Mark::LockCookieSet);
                self.held = self.reacquiring;
                self.announce_acquired(effects);
                if again {
                    self.queue.push_front(Kind::Reacquire, true);
                }
            }
            Err(Errno::EBLOCKLISTED) => self.die(Errno::EBLOCKLISTED, effects),
            Err(_) => {
                marks::hit(Mark::LockCookieRefused);
                self.release_then_acquire();
            }
        }
    }

    /// Without a lock in between another client may have broken it: only a fresh acquire proves ownership. Whoever asked
    /// for the release or the end gets just that.
    fn release_then_acquire(&mut self) {
        if !self.queue.has(Kind::Release) && !self.is_shutting_down() {
            self.queue.push_front(Kind::Acquire, true);
        }
        self.queue.push_front(Kind::Release, false);
    }
}
