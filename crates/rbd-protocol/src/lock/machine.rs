//! The machine: its table, its events, its queue. The ways in and out of ownership are `acquiring` and `releasing`.

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;

use crate::ids::{ClientId, Counter, Millis, Token};
use crate::lock::acquiring::Wait;
use crate::lock::queue::{Kind, Queue, Waiter};
use crate::lock::{Config, Effect, Event, Ownership, Policy, Purpose, State};
use crate::message::Message;
use crate::outcome::OpResult;
use crate::retry::Backoff;

/// The exclusive lock of one open image.
///
/// | state                 | event                                | next                  | effects                              |
/// |-----------------------|--------------------------------------|-----------------------|--------------------------------------|
/// | UNINITIALIZED         | Init                                 | INITIALIZING          | CloseGate                            |
/// | INITIALIZING          | Initialized                          | UNLOCKED              |                                      |
/// | UNLOCKED              | TryAcquire, Acquire, with a handle   | ACQUIRING             | Acquire                              |
/// |                       | the same, without                    | WAITING_FOR_REGISTER  | timer; TryAcquire completes Ok       |
/// |                       | the same, within retry_delay of giving the lock to a peer | WAITING_FOR_LOCK | timer; TryAcquire completes Ok |
/// |                       | Acquire, an owner announced itself   | WAITING_FOR_LOCK      | SendRequestLock, timer (retry_delay) |
/// |                       | Release                              | -                     | completes Ok                         |
/// | ACQUIRING             | Locked                               | POST_ACQUIRING        | PostAcquire                          |
/// |                       | OwnerAlive, only TryAcquire waits    | UNLOCKED              | completes Ok, without ownership      |
/// |                       | OwnerAlive                           | WAITING_FOR_LOCK      | SendRequestLock, timer               |
/// |                       | Foreign, others than I/O joined since it began | ACQUIRING   | Acquire; before: Try: EBUSY, others: EROFS |
/// |                       | Foreign, I/O waits                   | WAITING_FOR_LOCK      | timer; Try: EBUSY, others: EROFS     |
/// |                       | Foreign                              | UNLOCKED              | Try: EBUSY, others: EROFS            |
/// |                       | Failed                               | UNLOCKED              | completes with the error             |
/// | POST_ACQUIRING        | Ok                                   | LOCKED                | Announce, OpenGate, completes Ok     |
/// |                       | error                                | RELEASING             | Unlock; completes with the error     |
/// | WAITING_FOR_REGISTER  | WatchRegistered                      | ACQUIRING             | Acquire                              |
/// | WAITING_FOR_LOCK      | PeerReleased, WatchRegistered, timer | ACQUIRING             | Acquire                              |
/// |                       | PeerAcquired                         | -                     | SendRequestLock, timer (retry_delay) |
/// |                       | answer 0                             | -                     | timer (client_notify_timeout)        |
/// |                       | answer: no owner                     | ACQUIRING or -        | first at once, then after a back-off |
/// |                       | answer EROFS / two owners once more  | UNLOCKED              | completes EROFS / EIO                |
/// |                       | the same, somebody joined since the question | ACQUIRING     | Acquire; before: completes EROFS / EIO |
/// |                       | other answer                         | -                     | timer (retry_delay)                  |
/// | WAITING_*             | ShutDown                             | SHUTDOWN              | completes ESHUTDOWN                  |
/// |                       | Dead                                 | UNLOCKED              | completes with the errno             |
/// |                       | Release                              | -                     | completes Ok: there is nothing to give |
/// |                       | the same, only the lock's own wish waits | UNLOCKED          | completes Ok                         |
/// | LOCKED                | WatchRegistered, handle as before, fencing on | -            | Announce again                       |
/// |                       | WatchRegistered                      | REACQUIRING           | SetCookie                            |
/// |                       | reacquire without a handle           | PRE_RELEASING         | PreRelease, then acquire             |
/// |                       | RequestLock, nothing runs, automatic | PRE_RELEASING         | Ack 0, PreRelease                    |
/// |                       | RequestLock, operations run          | -                     | Ack 0; PreRelease when they have ended or the hold is over |
/// |                       | RequestLock, standard policy, also when about to begin | -   | Ack EROFS                            |
/// |                       | Release, Dead                        | PRE_RELEASING         | PreRelease                           |
/// | REACQUIRING           | Ok                                   | LOCKED                | Announce                             |
/// |                       | error                                | PRE_RELEASING         | PreRelease, then acquire             |
/// | PRE_RELEASING         | PreReleased                          | RELEASING             | Unlock                               |
/// |                       | PreReleased after Dead               | UNLOCKED              | the lock is lost: no Unlock          |
/// |                       | RequestLock                          | -                     | Ack 0                                |
/// | RELEASING             | Unlocked, whatever the result        | UNLOCKED              | Announce ReleasedLock                |
/// | any stable            | ShutDown, owner                      | PRE_SHUTTING_DOWN     | PreRelease                           |
/// |                       | ShutDown, not owner                  | SHUTDOWN              |                                      |
/// | PRE_SHUTTING_DOWN     | PreReleased                          | SHUTTING_DOWN         | Unlock                               |
/// |                       | PreReleased after Dead               | SHUTDOWN              |                                      |
/// | SHUTTING_DOWN         | Unlocked                             | SHUTDOWN              | Announce ReleasedLock                |
/// | SHUTDOWN              | TryAcquire, Acquire                  | -                     | completes ESHUTDOWN                  |
///
/// Other events find the lock in a transition and are queued (acquire, reacquire, release, shut down; one of each, all
/// waiters of one complete together), or are late and ignored. Both waiting states always have a timer armed.
///
/// A refusal is for those who waited when the question was asked: the peer that gave it, or the foreign lock that was seen,
/// may be gone since. Whoever joined later gets a look of its own.
///
/// An owner that announced itself is asked at once, without an attempt to take the lock first. That it lives is known when it
/// answers: a wrong belief costs one RequestLock that nobody answers, for at most `retry_delay`. A belief is spent by the
/// RequestLock that it leads to.
///
/// A lock that was promised to a peer is left to it until something is heard of a new owner, but not longer than
/// `retry_delay`: however many writes wait here, the peer is not overtaken by them. A Release that somebody asked for ends the
/// standard policy, unless that was configured, and in every state the lock's own wish to be owner again.
#[derive(Clone, Debug, Hash)]
pub struct ExclusiveLock {
    pub(super) config: Config,
    pub(super) state: State,
    pub(super) policy: Policy,
    /// Of the watch now; 0 = none.
    pub(super) handle: u64,
    /// In the cookie of the lock that is held or being taken.
    pub(super) held: u64,
    /// In the cookie that is being set.
    pub(super) reacquiring: u64,
    pub(super) dead: Option<Errno>,
    pub(super) queue: Queue,
    pub(super) wait: Option<Wait>,
    pub(super) sends: Counter,
    /// Answers "no owner" since something else was heard.
    pub(super) no_owner: u32,
    pub(super) backoff: Backoff,
    /// Running operations and their attempts.
    pub(super) operations: BTreeMap<Token, u32>,
    /// A RequestLock was accepted; the release is due at the latest then. Kept until the lock is unlocked.
    pub(super) promised: Option<Millis>,
    /// The lock was given to a peer, which has until then to take it. Ends when a peer is heard of.
    pub(super) yielding: Option<Millis>,
    /// A peer announced that it acquired the lock; it has not been asked for it yet.
    pub(super) peer_owns: bool,
    /// The last RequestLock was answered by two owners.
    pub(super) two_owners: bool,
    /// Why the lock that was just taken is being given back.
    pub(super) revert: Option<Errno>,
}

/// The hold is doubled at most this many times (facts give no limit; 1 s becomes 64 s).
const HOLD_DOUBLINGS_MAX: u32 = 6;

impl ExclusiveLock {
    /// UNINITIALIZED.
    pub fn new(config: Config) -> Self {
        let policy = configured_policy(&config);
        let backoff = Backoff::new(Millis(config.retry_delay.0 / 10), config.retry_delay, config.seed);
        Self {
            config,
            state: State::Uninitialized,
            policy,
            handle: 0,
            held: 0,
            reacquiring: 0,
            dead: None,
            queue: Queue::default(),
            wait: None,
            sends: Counter::default(),
            no_owner: 0,
            backoff,
            operations: BTreeMap::new(),
            promised: None,
            yielding: None,
            peer_owns: false,
            two_owners: false,
            revert: None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the lock is given away on request.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Watch handle in the cookie of the lock that is held; None: not owner.
    pub fn held_handle(&self) -> Option<u64> {
        self.is_owner().then_some(self.held)
    }

    /// Watch handles in the cookies under which the OSD may have the lock for this client, in whatever state; 0 = none.
    pub fn handles(&self) -> [u64; 2] {
        [self.held, self.reacquiring]
    }

    /// Whether this client may write and run operations, as far as it knows; only the OSD can confirm it.
    pub fn is_owner(&self) -> bool {
        self.state.is_owner() && self.dead.is_none()
    }

    /// Whether a new forwarded request is taken: LOCKED, alive, and the lock is not promised to anybody.
    pub fn may_accept_requests(&self) -> bool {
        self.state == State::Locked && self.dead.is_none() && self.promised.is_none()
    }

    /// For the image watcher.
    pub fn ownership(&self) -> Ownership {
        match (self.is_owner(), self.may_accept_requests()) {
            (false, _) => Ownership::NotOwner,
            (true, false) => Ownership::Leaving,
            (true, true) => Ownership::Accepting,
        }
    }

    /// When [`Event::Timer`] is wanted.
    pub fn next_deadline(&self) -> Option<Millis> {
        match &self.wait {
            Some(wait) => Some(wait.deadline),
            None if self.state == State::Locked => self.promised,
            None => None,
        }
    }

    /// Moves time 0 to `origin`, which is not in the future: for whoever compares states at different moments.
    pub fn move_origin(&mut self, origin: Millis) {
        let moments = [&mut self.promised, &mut self.yielding].into_iter().flatten();
        let deadline = self.wait.iter_mut().map(|wait| &mut wait.deadline);
        moments.chain(deadline).for_each(|moment| *moment = moment.since_origin(origin));
    }

    /// Applies one event.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.apply(now, event, &mut effects);
        self.advance(now, &mut effects);
        effects
    }

    fn apply(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Init if self.state == State::Uninitialized => {
                marks::hit(Mark::LockInit);
                self.enter(State::Initializing, effects);
                effects.push(Effect::CloseGate);
            }
            Event::Initialized if self.state == State::Initializing => {
                marks::hit(Mark::LockInitialized);
                self.enter(State::Unlocked, effects);
            }
            Event::Init | Event::Initialized => {}
            Event::TryAcquire { token } => {
                self.request_acquire(now, Waiter::new(token, None), effects);
            }
            Event::Acquire { token, purpose } => {
                self.request_acquire(now, Waiter::new(token, Some(purpose)), effects);
            }
            Event::Release { token } => self.request_release(token, effects),
            Event::ShutDown { token } => self.request_shut_down(token, effects),
            Event::WatchRegistered { handle } => self.watch_registered(now, handle, effects),
            Event::WatchUnregistered => {
                self.handle = 0;
                self.peer_owns = false;
            }
            Event::Dead(errno) => self.die(errno, effects),
            Event::AcquireEnded(outcome) => self.acquire_ended(now, outcome, effects),
            Event::PostAcquired(result) => self.post_acquired(result, effects),
            Event::CookieSet(result) => self.cookie_set(result, effects),
            Event::PreReleased => self.pre_released(effects),
            Event::Unlocked(_) => self.unlocked(now, effects),
            Event::RequestLockEnded { send, outcome } => {
                self.request_lock_ended(now, send, &outcome, effects);
            }
            Event::PeerAcquired => self.peer_changed(now, true, effects),
            Event::PeerReleased => self.peer_changed(now, false, effects),
            Event::RequestLock { ack } => self.request_lock(now, ack, effects),
            Event::OperationStarted { operation, attempt } => {
                self.operations.insert(operation, attempt);
            }
            Event::OperationEnded { operation } => {
                self.operations.remove(&operation);
            }
            Event::Timer => {
                if self.wait.as_ref().is_some_and(|wait| wait.deadline <= now) {
                    marks::hit(Mark::LockLooksAgain);
                    self.begin_acquire(now, effects);
                }
            }
        }
    }

    /// Starts what is queued as far as the state is stable, and keeps the promise of a release.
    fn advance(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.release_if_due(now);
        while let Some(kind) = self.startable() {
            match kind {
                Kind::Acquire => self.start_acquire(now, effects),
                Kind::Reacquire => self.start_reacquire(effects),
                Kind::Release => self.start_release(effects),
                Kind::ShutDown => self.start_shut_down(effects),
            }
            self.release_if_due(now);
        }
    }

    fn startable(&self) -> Option<Kind> {
        let kind = self.queue.active()?.kind;
        let unused = self.state == State::Uninitialized && self.queue.has(Kind::ShutDown);
        (self.state.is_stable() || unused).then_some(kind)
    }

    /// The one place where the state changes.
    pub(super) fn enter(&mut self, state: State, effects: &mut Vec<Effect>) {
        if self.state != state {
            self.state = state;
            effects.push(Effect::StateChanged(state));
        }
        if !state.is_waiting() {
            self.wait = None;
        }
        if matches!(state, State::Unlocked | State::Shutdown) {
            self.promised = None;
        }
    }

    /// Ends the active action in a stable state.
    pub(super) fn finish(&mut self, state: State, result: OpResult, effects: &mut Vec<Effect>) {
        self.enter(state, effects);
        let release = self.queue.active().is_some_and(|action| action.kind == Kind::Release);
        let waiters = self.queue.finish_active();
        if release && result.is_ok() && !waiters.is_empty() {
            self.policy = configured_policy(&self.config);
        }
        complete(waiters, result, effects);
    }

    pub(super) fn me(&self) -> ClientId {
        ClientId { gid: self.config.gid, handle: self.held }
    }

    pub(super) fn announce_acquired(&self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Announce(Message::AcquiredLock(self.me())));
    }

    pub(super) fn announce_released(&self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Announce(Message::ReleasedLock(Some(self.me()))));
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.state == State::Shutdown || self.queue.has(Kind::ShutDown)
    }

    fn is_acquire_active(&self) -> bool {
        let unused = matches!(self.state, State::Uninitialized | State::Initializing);
        let first = self.queue.active().is_some_and(|action| action.kind == Kind::Acquire);
        first && !unused && !self.state.is_stable()
    }

    /// Its user does not want the lock any more, whatever the lock itself wanted.
    fn request_release(&mut self, token: Token, effects: &mut Vec<Effect>) {
        self.queue.end_own_wish();
        if self.state.is_waiting() {
            self.policy = configured_policy(&self.config);
            if self.is_wanted(self.state) {
                marks::hit(Mark::LockWaitingRelease);
            } else {
                marks::hit(Mark::LockWishReleased);
                self.finish(State::Unlocked, Ok(()), effects);
            }
            return effects.push(Effect::Complete { token, result: Ok(()) });
        }
        self.queue.push(Kind::Release, Some(Waiter::new(token, None)));
    }

    fn request_shut_down(&mut self, token: Token, effects: &mut Vec<Effect>) {
        if self.state.is_waiting() {
            marks::hit(Mark::LockWaitingShutDown);
            self.finish(State::Unlocked, Err(Errno::ESHUTDOWN), effects);
        } else if !self.is_acquire_active() {
            complete(self.queue.take(Kind::Acquire), Err(Errno::ESHUTDOWN), effects);
        }
        self.queue.push(Kind::ShutDown, Some(Waiter::new(token, None)));
    }

    /// Everybody who waits for the lock fails; an owner gives up what it had.
    pub(super) fn die(&mut self, errno: Errno, effects: &mut Vec<Effect>) {
        self.dead.get_or_insert(errno);
        self.handle = 0;
        if self.state.is_waiting() {
            marks::hit(Mark::LockWaitingDead);
            self.finish(State::Unlocked, Err(errno), effects);
        } else if !self.is_acquire_active() {
            complete(self.queue.take(Kind::Acquire), Err(errno), effects);
        }
        if self.state.is_owner() && self.state != State::PostAcquiring {
            marks::hit(Mark::LockDied);
            self.queue.push(Kind::Release, None);
        }
    }

    fn watch_registered(&mut self, now: Millis, handle: u64, effects: &mut Vec<Effect>) {
        self.handle = handle;
        match self.state {
            State::WaitingForRegister => {
                marks::hit(Mark::LockWatchCame);
                self.begin_acquire(now, effects);
            }
            State::WaitingForLock => {
                marks::hit(Mark::LockWatchRenewed);
                self.begin_acquire(now, effects);
            }
            State::Locked
            | State::Acquiring
            | State::PostAcquiring
            | State::Reacquiring
            | State::PreReleasing => self.queue.push(Kind::Reacquire, None),
            _ => {}
        }
    }

    fn request_lock(&mut self, now: Millis, ack: Token, effects: &mut Vec<Effect>) {
        let answer = if !self.is_owner() || self.is_shutting_down() {
            None
        } else if self.state == State::PreReleasing {
            marks::hit(Mark::LockAskedWhileReleasing);
            self.promised.get_or_insert(now);
            Some(Ok(()))
        } else if self.keeps_the_lock() {
            marks::hit(Mark::LockKept);
            Some(Err(Errno::EROFS))
        } else {
            marks::hit(if self.operations.is_empty() { Mark::LockGivesAway } else { Mark::LockHolds });
            self.promise_release(now);
            Some(Ok(()))
        };
        effects.push(Effect::Ack { ack, answer });
    }

    /// The standard policy, also when it is about to begin.
    fn keeps_the_lock(&self) -> bool {
        let acquiring = self.queue.active().filter(|_| self.state == State::PostAcquiring);
        let explicit = acquiring.is_some_and(|action| ends_automatic_policy(&action.waiters));
        explicit || self.policy == Policy::Standard
    }

    /// The release waits for running operations, but not longer than their hold. A promise is not prolonged.
    fn promise_release(&mut self, now: Millis) {
        if self.promised.is_some() {
            return;
        }
        let hold = self.operations.values().max().map_or(Millis(0), |attempt| {
            let doublings = attempt.saturating_sub(1).min(HOLD_DOUBLINGS_MAX);
            Millis(self.config.lock_hold_max.0.saturating_mul(1 << doublings))
        });
        self.promised = Some(now + hold);
    }

    fn release_if_due(&mut self, now: Millis) {
        let due = self.promised.is_some_and(|deadline| deadline <= now || self.operations.is_empty());
        if due && self.state == State::Locked && !self.queue.has(Kind::Release) {
            let is_held = !self.operations.is_empty();
            marks::hit(if is_held { Mark::LockHoldOver } else { Mark::LockHeldToTheEnd });
            self.queue.push_front(Kind::Release, false);
        }
    }
}

/// Before an explicit acquire and after an explicit release.
pub(super) fn configured_policy(config: &Config) -> Policy {
    if config.automatic_until_manual_request { Policy::Automatic } else { Policy::Standard }
}

/// Whether success of an acquire for this purpose ends the automatic policy.
pub(super) fn ends_automatic_policy(waiters: &[Waiter]) -> bool {
    waiters.iter().any(|waiter| waiter.purpose == Some(Purpose::Explicit))
}

pub(super) fn complete(waiters: Vec<Waiter>, result: OpResult, effects: &mut Vec<Effect>) {
    effects.extend(waiters.into_iter().map(|waiter| Effect::Complete { token: waiter.token, result }));
}
