//! Taking the exclusive lock at the OSD (facts 3.3).

use errno::Errno;
use marks::Mark;

use crate::break_lock::{self, BreakRequest};
use crate::ids::ClientId;
use crate::locker::{LockInfo, encode_cookie, get_locker};

/// What is done next for an acquire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Two op vectors, sent together and applied in this order: `lock.get_info`; then `lock.lock` (exclusive,
    /// [`LOCK_NAME`](crate::locker::LOCK_NAME), [`LOCK_TAG`](crate::locker::LOCK_TAG), may_renew) with the reads of the
    /// header. The driver keeps what was read for [`lock::Effect::PostAcquire`](crate::lock::Effect::PostAcquire); answer
    /// with [`Event::Locked`].
    Lock {
        /// Under this cookie.
        cookie: String,
    },
    /// A step of breaking a dead owner's lock; its [`Finished`](break_lock::Step::Finished) never appears here. Answer with
    /// [`Event::Break`].
    Break(break_lock::Step),
    /// Over.
    Finished(Outcome),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// End of [`Step::Lock`].
    Locked {
        /// Who held the lock just before.
        locker: Result<LockInfo, Errno>,
        /// Whether it was taken.
        locked: Result<(), Errno>,
    },
    /// End of [`Step::Break`].
    Break(break_lock::Event),
}

/// How an acquire ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The lock is held.
    Locked,
    /// A live client owns it, or owns it by now. Ceph: EAGAIN.
    OwnerAlive(ClientId),
    /// A lock that is not the exclusive lock's (a manual one) stands. Ceph: EBUSY.
    Foreign,
    /// Anything else.
    Failed(Errno),
}

/// Takes the lock, breaking that of a dead owner.
///
/// | state | result                                   | next               |
/// |-------|------------------------------------------|--------------------|
/// | LOCK  | Ok                                       | finish Locked      |
/// |       | EBUSY, a foreign lock was seen           | finish Foreign     |
/// |       | EBUSY, an error instead of the owner     | finish with it     |
/// |       | EBUSY, nobody was seen                   | LOCK               |
/// |       | EBUSY, the owner is this client instance (another open of the image) | finish OwnerAlive |
/// |       | EBUSY, an owner was seen                 | BREAK              |
/// |       | other error                              | finish with it     |
/// | BREAK | Broken                                   | LOCK               |
/// |       | the owner lives or changed               | finish OwnerAlive  |
/// |       | error                                    | finish with it     |
///
/// Ceph's GET_LOCKER and LOCK are one state, because both are sent at once. The owner is read before the own attempt to lock,
/// each time, so that the one that may be broken was there before; a third client that is faster than the own break is judged
/// for itself.
///
/// An owner within the own client instance lives by definition and is never fenced.
#[derive(Clone, Debug, Hash)]
pub struct AcquireRequest {
    options: break_lock::Options,
    handle: u64,
    rounds: u32,
    state: State,
}

/// Rounds of LOCK that find the lock changing hands before the acquire says so and leaves the waiting to the
/// lock's back-off.
const ROUNDS_MAX: u32 = 8;

#[derive(Clone, Debug, Hash)]
enum State {
    Start,
    Lock,
    /// Of this owner's lock.
    Break(ClientId, BreakRequest, break_lock::Step),
    Finished(Outcome),
}

impl AcquireRequest {
    /// For the client `gid` under its watch `handle`; `blocklist_on_break_lock` as in [`break_lock::Options`].
    pub fn new(gid: u64, handle: u64, blocklist_on_break_lock: bool) -> Self {
        let options = break_lock::Options { gid, blocklist_on_break_lock, forced: false };
        Self { options, handle, rounds: 0, state: State::Start }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        self.enter(State::Lock)
    }

    /// The step after this end of the last one. An event that the last step did not ask for repeats the step.
    pub fn step(&mut self, event: Event) -> Step {
        let state = std::mem::replace(&mut self.state, State::Start);
        let next = match (state, event) {
            (State::Lock, Event::Locked { locker, locked }) => self.judge_lock(locker, locked),
            (State::Break(locker, mut request, _), Event::Break(event)) => {
                let step = request.step(event);
                self.judge_break(locker, request, step)
            }
            (State::Start, _) => State::Lock,
            (state, _) => state,
        };
        self.enter(next)
    }

    fn enter(&mut self, state: State) -> Step {
        let step = match &state {
            State::Start | State::Lock => Step::Lock { cookie: encode_cookie(self.handle) },
            State::Break(.., step) => Step::Break(step.clone()),
            State::Finished(outcome) => Step::Finished(*outcome),
        };
        self.state = state;
        step
    }

    fn judge_lock(&mut self, locker: Result<LockInfo, Errno>, locked: Result<(), Errno>) -> State {
        match locked {
            Ok(()) => {
                marks::hit(Mark::AcquireLocked);
                State::Finished(Outcome::Locked)
            }
            Err(Errno::EBUSY) => self.judge_locker(locker),
            Err(errno) => {
                marks::hit(Mark::AcquireFailed);
                State::Finished(Outcome::Failed(errno))
            }
        }
    }

    fn judge_locker(&mut self, info: Result<LockInfo, Errno>) -> State {
        let locker = match info.and_then(|info| get_locker(&info)) {
            Ok(locker) => locker,
            Err(Errno::ENOENT) => {
                marks::hit(Mark::AcquireNobodySeen);
                return self.look_again();
            }
            Err(Errno::EBUSY) => {
                marks::hit(Mark::AcquireForeign);
                return State::Finished(Outcome::Foreign);
            }
            Err(errno) => {
                marks::hit(Mark::AcquireOwnerUnread);
                return State::Finished(Outcome::Failed(errno));
            }
        };
        if locker.client.gid == self.options.gid {
            marks::hit(Mark::AcquireOwnInstance);
            return State::Finished(Outcome::OwnerAlive(locker.client));
        }
        marks::hit(Mark::AcquireBreaks);
        let owner = locker.client;
        let mut request = BreakRequest::new(self.options, locker);
        let step = request.start();
        self.judge_break(owner, request, step)
    }

    fn look_again(&mut self) -> State {
        self.rounds += 1;
        if self.rounds < ROUNDS_MAX {
            return State::Lock;
        }
        marks::hit(Mark::AcquireRoundsOver);
        State::Finished(Outcome::Failed(Errno::EAGAIN))
    }

    fn judge_break(&mut self, owner: ClientId, request: BreakRequest, step: break_lock::Step) -> State {
        let break_lock::Step::Finished(outcome) = step else { return State::Break(owner, request, step) };
        match outcome {
            break_lock::Outcome::Broken => {
                marks::hit(Mark::AcquireBroken);
                self.look_again()
            }
            break_lock::Outcome::Failed(errno) => {
                marks::hit(Mark::AcquireBreakFailed);
                State::Finished(Outcome::Failed(errno))
            }
            break_lock::Outcome::OwnerAlive
            | break_lock::Outcome::OwnerChanged
            | break_lock::Outcome::OwnerIsSelf => {
                marks::hit(Mark::AcquireOwnerLives);
                State::Finished(Outcome::OwnerAlive(owner))
            }
        }
    }
}
