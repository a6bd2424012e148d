//! Taking the exclusive lock at the OSD (facts 3.3).

use errno::Errno;

use crate::break_lock::{self, BreakRequest};
use crate::ids::ClientId;
use crate::locker::{LockInfo, Locker, encode_cookie, get_locker};

/// What is done next for an acquire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `lock.get_info`; answer with [`Event::Locker`].
    GetLocker,
    /// One op vector: `lock.lock` (exclusive, [`LOCK_NAME`](crate::locker::LOCK_NAME), [`LOCK_TAG`](crate::locker::LOCK_TAG),
    /// may_renew) and the reads of the header. The driver keeps what was read for
    /// [`lock::Effect::PostAcquire`](crate::lock::Effect::PostAcquire); answer with [`Event::Locked`].
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// End of [`Step::GetLocker`].
    Locker(Result<LockInfo, Errno>),
    /// End of [`Step::Lock`].
    Locked(Result<(), Errno>),
    /// End of [`Step::Break`].
    Break(break_lock::Event),
}

/// How an acquire ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
/// | state      | result                     | next                    |
/// |------------|----------------------------|-------------------------|
/// | GET_LOCKER | an owner, or nobody        | LOCK                    |
/// |            | EBUSY: foreign lock        | finish Foreign          |
/// |            | other error                | finish with it          |
/// | LOCK       | Ok                         | finish Locked           |
/// |            | EBUSY, nobody was seen     | GET_LOCKER              |
/// |            | EBUSY, the owner is this client instance (another open of the image) | finish OwnerAlive |
/// |            | EBUSY, an owner was seen   | BREAK                   |
/// |            | other error                | finish with it          |
/// | BREAK      | Broken                     | LOCK, nobody is known   |
/// |            | the owner lives or changed | finish OwnerAlive       |
/// |            | error                      | finish with it          |
///
/// The owner is read before the own attempt to lock, so that the one that may be broken was there before. After a break
/// nobody is known: a third client that was faster is read first and judged for itself.
///
/// An owner within the own client instance lives by definition and is never fenced.
#[derive(Clone, Debug)]
pub struct AcquireRequest {
    options: break_lock::Options,
    handle: u64,
    rounds: u32,
    locker: Option<Locker>,
    state: State,
}

/// Rounds of GET_LOCKER and LOCK that find the lock changing hands before the acquire says so and leaves the waiting to the
/// lock's back-off.
const ROUNDS_MAX: u32 = 8;

#[derive(Clone, Debug)]
enum State {
    Start,
    GetLocker,
    Lock,
    /// Of this owner's lock.
    Break(ClientId, BreakRequest, break_lock::Step),
    Finished(Outcome),
}

impl AcquireRequest {
    /// For the client `gid` under its watch `handle`; `blocklist_on_break_lock` as in [`break_lock::Options`].
    pub fn new(gid: u64, handle: u64, blocklist_on_break_lock: bool) -> Self {
        let options = break_lock::Options { gid, blocklist_on_break_lock, forced: false };
        Self { options, handle, rounds: 0, locker: None, state: State::Start }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        self.enter(State::GetLocker)
    }

    /// The step after this end of the last one. An event that the last step did not ask for repeats the step.
    pub fn step(&mut self, event: Event) -> Step {
        let state = std::mem::replace(&mut self.state, State::Start);
        let next = match (state, event) {
            (State::GetLocker, Event::Locker(info)) => self.judge_locker(info),
            (State::Lock, Event::Locked(result)) => self.judge_lock(result),
            (State::Break(locker, mut request, _), Event::Break(event)) => {
                let step = request.step(event);
                self.judge_break(locker, request, step)
            }
            (State::Start, _) => State::GetLocker,
            (state, _) => state,
        };
        self.enter(next)
    }

    fn enter(&mut self, state: State) -> Step {
        let step = match &state {
            State::Start | State::GetLocker => Step::GetLocker,
            State::Lock => Step::Lock { cookie: encode_cookie(self.handle) },
            State::Break(.., step) => Step::Break(step.clone()),
            State::Finished(outcome) => Step::Finished(*outcome),
        };
        self.state = state;
        step
    }

    fn judge_locker(&mut self, info: Result<LockInfo, Errno>) -> State {
        self.locker = match info.and_then(|info| get_locker(&info)) {
            Ok(locker) => Some(locker),
            Err(Errno::ENOENT) => None,
            Err(Errno::EBUSY) => return State::Finished(Outcome::Foreign),
            Err(errno) => return State::Finished(Outcome::Failed(errno)),
        };
        State::Lock
    }

    fn judge_lock(&mut self, result: Result<(), Errno>) -> State {
        match (result, self.locker.clone()) {
            (Ok(()), _) => State::Finished(Outcome::Locked),
            (Err(Errno::EBUSY), None) => self.look_again(),
            (Err(Errno::EBUSY), Some(locker)) if locker.client.gid == self.options.gid => {
                State::Finished(Outcome::OwnerAlive(locker.client))
            }
            (Err(Errno::EBUSY), Some(locker)) => {
                let owner = locker.client;
                let mut request = BreakRequest::new(self.options, locker);
                let step = request.start();
                self.judge_break(owner, request, step)
            }
            (Err(errno), _) => State::Finished(Outcome::Failed(errno)),
        }
    }

    fn look_again(&mut self) -> State {
        self.rounds += 1;
        if self.rounds < ROUNDS_MAX {
            State::GetLocker
        } else {
            State::Finished(Outcome::Failed(Errno::EAGAIN))
        }
    }

    fn judge_break(&mut self, locker: ClientId, request: BreakRequest, step: break_lock::Step) -> State {
        let break_lock::Step::Finished(outcome) = step else { return State::Break(locker, request, step) };
        match outcome {
            break_lock::Outcome::Broken => {
                self.locker = None;
                State::Lock
            }
            break_lock::Outcome::Failed(errno) => State::Finished(Outcome::Failed(errno)),
            break_lock::Outcome::OwnerAlive
            | break_lock::Outcome::OwnerChanged
            | break_lock::Outcome::OwnerIsSelf => State::Finished(Outcome::OwnerAlive(locker)),
        }
    }
}
