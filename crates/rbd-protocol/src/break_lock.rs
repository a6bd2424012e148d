//! Breaking the lock of a dead owner (facts 3.4).

use errno::Errno;
use marks::Mark;

use crate::ids::ClientId;
use crate::locker::{LockInfo, Locker, get_locker};

/// What is done next for a break.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// List the header's watchers, at once: what is done next depends on who watches now. Answer with [`Event::Watchers`].
    GetWatchers,
    /// `lock.get_info`; answer with [`Event::Locker`].
    GetLocker,
    /// Fence this client instance; answer with [`Event::Blocklisted`] when the OSD has confirmed it.
    Blocklist {
        /// The instance.
        gid: u64,
        /// Only if it has no watch on the header when the OSD fences it: EBUSY otherwise.
        unless_watching: bool,
    },
    /// `lock.break_lock`; answer with [`Event::Broken`].
    BreakLock {
        /// The locker's instance.
        gid: u64,
        /// The locker's cookie.
        cookie: String,
    },
    /// Over.
    Finished(Outcome),
}

/// How a break ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The lock is broken, or somebody was faster.
    Broken,
    /// The owner's instance watches the image. Ceph: EAGAIN, if it is the watch of the cookie.
    OwnerAlive,
    /// Another client owns it by now, or a foreign lock stands. Ceph: EAGAIN.
    OwnerChanged,
    /// The owner is this client instance, which does not fence itself. Ceph: EINVAL.
    OwnerIsSelf,
    /// Anything else.
    Failed(Errno),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// End of [`Step::GetWatchers`].
    Watchers(Result<Vec<ClientId>, Errno>),
    /// End of [`Step::GetLocker`].
    Locker(Result<LockInfo, Errno>),
    /// End of [`Step::Blocklist`].
    Blocklisted(Result<(), Errno>),
    /// End of [`Step::BreakLock`].
    Broken(Result<(), Errno>),
}

/// Settings of a break.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Options {
    /// Own client instance: never fenced.
    pub gid: u64,
    /// `rbd_blocklist_on_break_lock`: fence before the lock is broken.
    pub blocklist_on_break_lock: bool,
    /// Break although the owner lives (`lock break`, `lock rm`: asked for by name).
    pub forced: bool,
}

/// Breaks the lock of one known owner, unless that owner lives.
///
/// | state        | result                                       | next                                  |
/// |--------------|----------------------------------------------|---------------------------------------|
/// | (start)      | the owner is me, and is to be fenced         | finish OwnerIsSelf                    |
/// |              | forced                                       | GET_LOCKER                            |
/// |              | else                                         | LOOK                                  |
/// | LOOK         | error                                        | finish with it                        |
/// |              | the owner's instance watches                 | finish OwnerAlive                     |
/// |              | else                                         | GET_LOCKER                            |
/// | GET_LOCKER   | nobody                                       | finish Broken: somebody was faster    |
/// |              | foreign, or another than the one to break    | finish OwnerChanged                   |
/// |              | other error                                  | finish with it                        |
/// |              | the same                                     | LOOK_AGAIN; forced: as if nobody watches |
/// | LOOK_AGAIN   | error                                        | finish with it                        |
/// |              | the owner's instance watches                 | finish OwnerAlive                     |
/// |              | else                                         | BLOCKLIST, or BREAK_LOCK without fence |
/// | BLOCKLIST    | EBUSY, not forced: it watches after all      | finish OwnerAlive                     |
/// |              | other error                                  | finish with it, nothing is broken     |
/// |              | Ok                                           | BREAK_LOCK                            |
/// | BREAK_LOCK   | Ok or ENOENT                                 | finish Broken                         |
/// |              | other error                                  | finish with it                        |
///
/// Any watch of the owner's instance on the header means that it lives, whatever handle its cookie names: a watch that was
/// registered anew has another one until the cookie is changed, also when the lock was being taken meanwhile. The watch may
/// be that of another open of the image; then RequestLock decides, and a lock whose open has gone is given back by its
/// session. Both looks are needed: the first one keeps a live owner's lock from being read in vain, the second one is for a
/// breaker that stood still in between. For one that stood still after the second look the OSD looks once more, in the step
/// of the fence; a lock that is broken without a fence has only the second look.
///
/// There is no WAIT_FOR_OSD_MAP: there is one OSD, and its answer to the blocklist request means that the entry is in
/// force for every op that it applies from then on.
#[derive(Clone, Debug, Hash)]
pub struct BreakRequest {
    options: Options,
    locker: Locker,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Start,
    Look,
    GetLocker,
    LookAgain,
    Blocklist,
    BreakLock,
    Finished(Outcome),
}

impl BreakRequest {
    /// For the owner that was read before the own attempt to lock.
    pub fn new(options: Options, locker: Locker) -> Self {
        Self { options, locker, state: State::Start }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        let is_self = self.locker.client.gid == self.options.gid;
        let (mark, next) = if is_self && self.options.blocklist_on_break_lock {
            (Mark::BreakSelf, State::Finished(Outcome::OwnerIsSelf))
        } else if self.options.forced {
            (Mark::BreakForced, State::GetLocker)
        } else {
            (Mark::BreakLooks, State::Look)
        };
        marks::hit(mark);
        self.enter(next)
    }

    /// The step after this end of the last one. An event that the last step did not ask for repeats the step.
    pub fn step(&mut self, event: Event) -> Step {
        let next = match (self.state, event) {
            (State::Start, _) => return self.start(),
            (State::Look, Event::Watchers(watchers)) => self.judge_watchers(watchers, State::GetLocker),
            (State::GetLocker, Event::Locker(info)) => self.judge_locker(info),
            (State::LookAgain, Event::Watchers(watchers)) => self.judge_watchers(watchers, self.first_blow()),
            (State::Blocklist, Event::Blocklisted(Ok(()))) => {
                marks::hit(Mark::BreakFenced);
                State::BreakLock
            }
            (State::Blocklist, Event::Blocklisted(Err(Errno::EBUSY))) if self.spares_watchers() => {
                marks::hit(Mark::BreakSpared);
                State::Finished(Outcome::OwnerAlive)
            }
            (State::Blocklist, Event::Blocklisted(Err(errno))) => {
                marks::hit(Mark::BreakFenceFailed);
                failed(errno)
            }
            (State::BreakLock, Event::Broken(broken @ (Ok(()) | Err(Errno::ENOENT)))) => {
                marks::hit(if broken.is_ok() { Mark::BreakDone } else { Mark::BreakDoneBefore });
                State::Finished(Outcome::Broken)
            }
            (State::BreakLock, Event::Broken(Err(errno))) => {
                marks::hit(Mark::BreakFailed);
                failed(errno)
            }
            (state, _) => state,
        };
        self.enter(next)
    }

    fn enter(&mut self, state: State) -> Step {
        self.state = state;
        let gid = self.locker.client.gid;
        match state {
            State::Start | State::Look | State::LookAgain => Step::GetWatchers,
            State::GetLocker => Step::GetLocker,
            State::Blocklist => Step::Blocklist { gid, unless_watching: self.spares_watchers() },
            State::BreakLock => Step::BreakLock { gid, cookie: self.locker.cookie.clone() },
            State::Finished(outcome) => Step::Finished(outcome),
        }
    }

    fn judge_watchers(&self, watchers: Result<Vec<ClientId>, Errno>, nobody: State) -> State {
        let is_first = self.state == State::Look;
        match watchers {
            Err(errno) => {
                marks::hit(if is_first { Mark::BreakLookFailed } else { Mark::BreakSecondLookFailed });
                failed(errno)
            }
            Ok(watchers) if watchers.iter().any(|watcher| self.is_owners(watcher)) => {
                marks::hit(if is_first { Mark::BreakOwnerWatches } else { Mark::BreakOwnerWatchesAgain });
                State::Finished(Outcome::OwnerAlive)
            }
            Ok(_) => {
                marks::hit(match nobody {
                    State::GetLocker => Mark::BreakNobodyWatches,
                    State::BreakLock => Mark::BreakWithoutFence,
                    _ => Mark::BreakFences,
                });
                nobody
            }
        }
    }

    fn is_owners(&self, watcher: &ClientId) -> bool {
        if planted::is(planted::Mistake::FenceByCookie) {
            return *watcher == self.locker.client;
        }
        watcher.gid == self.locker.client.gid
    }

    /// The owner may have given the lock away, or changed its cookie, since it was read.
    fn judge_locker(&self, info: Result<LockInfo, Errno>) -> State {
        match info.and_then(|info| get_locker(&info)) {
            Ok(locker) if locker != self.locker => {
                marks::hit(Mark::BreakOwnerChanged);
                State::Finished(Outcome::OwnerChanged)
            }
            Ok(_) if self.options.forced => self.first_blow(),
            Ok(_) => {
                marks::hit(Mark::BreakSameOwner);
                State::LookAgain
            }
            Err(Errno::ENOENT) => {
                marks::hit(Mark::BreakNobodyLocks);
                State::Finished(Outcome::Broken)
            }
            Err(Errno::EBUSY) => {
                marks::hit(Mark::BreakForeign);
                State::Finished(Outcome::OwnerChanged)
            }
            Err(errno) => {
                marks::hit(Mark::BreakOwnerUnread);
                failed(errno)
            }
        }
    }

    fn spares_watchers(&self) -> bool {
        !self.options.forced && !planted::is(planted::Mistake::FenceByCookie)
    }

    fn first_blow(&self) -> State {
        let fences = self.options.blocklist_on_break_lock && !planted::is(planted::Mistake::SkipFence);
        if fences { State::Blocklist } else { State::BreakLock }
    }
}

fn failed(errno: Errno) -> State {
    State::Finished(Outcome::Failed(errno))
}
