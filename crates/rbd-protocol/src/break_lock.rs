//! Breaking the lock of a dead owner (facts 3.4).

use errno::Errno;

use crate::ids::ClientId;
use crate::locker::{LockInfo, Locker, get_locker};

/// What is done next for a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// List the header's watchers; answer with [`Event::Watchers`].
    GetWatchers,
    /// `lock.get_info`; answer with [`Event::Locker`].
    GetLocker,
    /// Fence this client instance; answer with [`Event::Blocklisted`] when the OSD has confirmed it.
    Blocklist {
        /// The instance.
        gid: u64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The lock is broken, or somebody was faster.
    Broken,
    /// The owner has its watch. Ceph: EAGAIN.
    OwnerAlive,
    /// Another client owns it by now, or a foreign lock stands. Ceph: EAGAIN.
    OwnerChanged,
    /// The owner is this client instance, which does not fence itself. Ceph: EINVAL.
    OwnerIsSelf,
    /// Anything else.
    Failed(Errno),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Own client instance: never fenced.
    pub gid: u64,
    /// `rbd_blocklist_on_break_lock`: fence before the lock is broken.
    pub blocklist_on_break_lock: bool,
    /// Break although the owner has a watch (`lock break`, asked for by name).
    pub forced: bool,
}

/// Breaks the lock of one known owner, unless that owner lives.
///
/// | state        | result                                       | next                                  |
/// |--------------|----------------------------------------------|---------------------------------------|
/// | (start)      | the owner is me, and is to be fenced         | finish OwnerIsSelf                    |
/// | GET_WATCHERS | error                                        | finish with it                        |
/// |              | a watcher has the owner's gid and handle     | finish OwnerAlive, unless forced      |
/// |              | else                                         | GET_LOCKER                            |
/// | GET_LOCKER   | nobody                                       | finish Broken: somebody was faster    |
/// |              | foreign, or another than the one to break    | finish OwnerChanged                   |
/// |              | other error                                  | finish with it                        |
/// |              | the same                                     | BLOCKLIST, or BREAK_LOCK without fence |
/// | BLOCKLIST    | error                                        | finish with it, nothing is broken     |
/// |              | Ok                                           | BREAK_LOCK                            |
/// | BREAK_LOCK   | Ok or ENOENT                                 | finish Broken                         |
/// |              | other error                                  | finish with it                        |
///
/// There is no WAIT_FOR_OSD_MAP: there is one OSD, and its answer to the blocklist request means that the entry is in
/// force for every op that it applies from then on.
#[derive(Clone, Debug)]
pub struct BreakRequest {
    options: Options,
    locker: Locker,
    expected: Option<Step>,
}

impl BreakRequest {
    /// For the owner that was read before the own attempt to lock.
    pub fn new(options: Options, locker: Locker) -> Self {
        Self { options, locker, expected: None }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        let is_self = self.locker.client.gid == self.options.gid;
        let fences_itself = is_self && self.options.blocklist_on_break_lock;
        self.enter(if fences_itself { Step::Finished(Outcome::OwnerIsSelf) } else { Step::GetWatchers })
    }

    /// The step after this end of the last one. An event that the last step did not ask for repeats the step.
    pub fn step(&mut self, event: Event) -> Step {
        let next = match (self.expected.clone(), event) {
            (Some(Step::GetWatchers), Event::Watchers(watchers)) => self.judge_watchers(watchers),
            (Some(Step::GetLocker), Event::Locker(info)) => self.judge_locker(info),
            (Some(Step::Blocklist { .. }), Event::Blocklisted(Ok(()))) => self.break_lock(),
            (Some(Step::Blocklist { .. }), Event::Blocklisted(Err(errno))) => failed(errno),
            (Some(Step::BreakLock { .. }), Event::Broken(Ok(()) | Err(Errno::ENOENT))) => {
                Step::Finished(Outcome::Broken)
            }
            (Some(Step::BreakLock { .. }), Event::Broken(Err(errno))) => failed(errno),
            (Some(step), _) => step,
            (None, _) => return self.start(),
        };
        self.enter(next)
    }

    fn enter(&mut self, step: Step) -> Step {
        self.expected = Some(step.clone());
        step
    }

    fn judge_watchers(&self, watchers: Result<Vec<ClientId>, Errno>) -> Step {
        match watchers {
            Err(errno) => failed(errno),
            Ok(watchers) if watchers.contains(&self.locker.client) && !self.options.forced => {
                Step::Finished(Outcome::OwnerAlive)
            }
            Ok(_) => Step::GetLocker,
        }
    }

    /// The window between "no watcher" and the fence: the owner may have registered its watch anew and changed its cookie.
    fn judge_locker(&self, info: Result<LockInfo, Errno>) -> Step {
        match info.and_then(|info| get_locker(&info)) {
            Ok(locker) if locker != self.locker => Step::Finished(Outcome::OwnerChanged),
            Ok(_) if self.options.blocklist_on_break_lock => Step::Blocklist { gid: self.locker.client.gid },
            Ok(_) => self.break_lock(),
            Err(Errno::ENOENT) => Step::Finished(Outcome::Broken),
            Err(Errno::EBUSY) => Step::Finished(Outcome::OwnerChanged),
            Err(errno) => failed(errno),
        }
    }

    fn break_lock(&self) -> Step {
        Step::BreakLock { gid: self.locker.client.gid, cookie: self.locker.cookie.clone() }
    }
}

fn failed(errno: Errno) -> Step {
    Step::Finished(Outcome::Failed(errno))
}
