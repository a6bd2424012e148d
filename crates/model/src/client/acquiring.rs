//! Taking the lock at the OSD: the steps of the protocol's machine, as librbd's `owner::effects::lock_ops` performs them.

use errno::Errno;
use rbd_protocol::acquire::{self, AcquireRequest, Outcome, Step};
use rbd_protocol::break_lock;
use rbd_protocol::lock;
use rbd_protocol::locker::LockInfo;

use super::{Client, Then, op_result};
use crate::ask::{Answer, Ask};
use crate::scenario::Scenario;

/// An acquire that is under way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Acquiring {
    handle: u64,
    /// `None`: it waits until the OSD has taken this client's announcements.
    request: Option<AcquireRequest>,
    /// The first of two answers.
    locker: Option<Result<LockInfo, Errno>>,
    step: Option<Step>,
}

impl Acquiring {
    /// Both answers to the first step are still to come.
    pub(super) fn expects_two(&self) -> bool {
        matches!(self.step, Some(Step::Lock { .. })) && self.locker.is_none()
    }
}

impl Client {
    pub(super) fn acquire(&mut self, handle: u64) {
        self.acquiring = Some(Acquiring { handle, request: None, locker: None, step: None });
    }

    /// Once all announcements are taken.
    pub(super) fn acquire_begins(&mut self, scenario: &Scenario) -> bool {
        let Some(acquiring) = &mut self.acquiring else { return false };
        if acquiring.request.is_some() || !self.announcing.is_empty() {
            return false;
        }
        let mut request = AcquireRequest::new(self.gid, acquiring.handle, scenario.blocklist);
        let step = request.start();
        acquiring.request = Some(request);
        self.acquire_step(step);
        true
    }

    pub(super) fn acquire_goes_on(&mut self, answer: Answer) {
        let Some(acquiring) = &mut self.acquiring else { return };
        let result = op_result(&answer);
        let event = match (&acquiring.step, answer) {
            (Some(Step::Lock { .. }), answer) => {
                let Some(locker) = acquiring.locker.take() else {
                    acquiring.locker = Some(locker(answer));
                    return;
                };
                if let Answer::Header { has_parent } = answer {
                    self.acquired = Some(has_parent);
                }
                acquire::Event::Locked { locker, locked: result }
            }
            (Some(Step::Break(break_lock::Step::GetWatchers)), Answer::Watchers(watchers)) => {
                acquire::Event::Break(break_lock::Event::Watchers(Ok(watchers)))
            }
            (Some(Step::Break(break_lock::Step::GetWatchers)), _) => {
                acquire::Event::Break(break_lock::Event::Watchers(Err(result.err().unwrap_or(Errno::EIO))))
            }
            (Some(Step::Break(break_lock::Step::GetLocker)), answer) => {
                acquire::Event::Break(break_lock::Event::Locker(locker(answer)))
            }
            (Some(Step::Break(break_lock::Step::Blocklist { .. })), _) => {
                acquire::Event::Break(break_lock::Event::Blocklisted(result))
            }
            _ => acquire::Event::Break(break_lock::Event::Broken(result)),
        };
        let Some(request) = &mut acquiring.request else { return };
        let step = request.step(event);
        self.acquire_step(step);
    }

    fn acquire_step(&mut self, step: Step) {
        let Some(acquiring) = &mut self.acquiring else { return };
        acquiring.step = Some(step.clone());
        let handle = acquiring.handle;
        match step {
            Step::Lock { cookie } => {
                self.ask(Ask::Locker, Then::Acquire);
                self.ask(Ask::Lock { cookie }, Then::Acquire);
            }
            Step::Break(step) => {
                let ask = match step {
                    break_lock::Step::GetWatchers => Ask::Watchers,
                    break_lock::Step::GetLocker => Ask::Locker,
                    break_lock::Step::Blocklist { gid, unless_watching } => {
                        Ask::Fence { gid, unless_watching }
                    }
                    break_lock::Step::BreakLock { gid, cookie } => Ask::Break { gid, cookie },
                    break_lock::Step::Finished(_) => return,
                };
                self.ask(ask, Then::Acquire);
            }
            Step::Finished(outcome) => {
                self.acquiring = None;
                if matches!(outcome, Outcome::Failed(errno) if errno != Errno::EAGAIN) {
                    self.ask(Ask::Unlock { handle }, Then::GiveBack(outcome));
                } else {
                    self.queue_lock(lock::Event::AcquireEnded(outcome));
                }
            }
        }
    }

    /// A cookie that was to be changed may have been, if only the answer went wrong.
    pub(super) fn unlocked(&mut self, ask: &Ask, answer: &Answer, is_newest: bool) {
        let newest = self.cookie;
        let result = op_result(answer);
        let is_other = !is_newest && *ask != Ask::Unlock { handle: newest };
        if result == Err(Errno::ENOENT) && is_other {
            self.ask(Ask::Unlock { handle: newest }, Then::Unlocked { is_newest: true });
        } else {
            self.queue_lock(lock::Event::Unlocked(result));
        }
    }
}

fn locker(answer: Answer) -> Result<LockInfo, Errno> {
    match answer {
        Answer::Locker(info) => Ok(info),
        Answer::Failed(errno, _) => Err(errno),
        _ => Err(Errno::EIO),
    }
}
