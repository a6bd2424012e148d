//! An operation as the lock owner runs it: librbd's `operations`, one at a time, objects one after the other.

use errno::Errno;
use planted::Mistake;
use rbd_protocol::lock::{self, State};
use rbd_protocol::locker::encode_cookie;
use rbd_protocol::{Ended, Failure, Message, OpResult, Operation, RequestId, Token, watcher};

use super::io::{What, Whose};
use super::{Client, Then};
use crate::ask::{Answer, Ask, Change, OBJECTS};

/// Whose operation it is.
#[derive(Clone, Debug, Hash)]
pub(super) struct Origin {
    pub(super) id: RequestId,
    pub(super) attempt: u32,
    /// The own call; `None`: another client's request.
    pub(super) call: Option<usize>,
    /// Its end leaves a record.
    pub(super) is_recorded: bool,
    pub(super) operation: Operation,
}

/// One that runs.
#[derive(Clone, Debug, Hash)]
pub(super) struct Run {
    origin: Origin,
    token: Token,
    /// Read between objects.
    pub(super) is_cancelled: bool,
    at: At,
}

#[derive(Clone, Debug, Hash)]
enum At {
    /// Reading the record of an earlier run.
    Record,
    /// Reading the header.
    Header,
    Object(u64),
    /// Waiting until no block I/O is under way, and the cookie is not being changed.
    Quiet,
    /// Reading the record that the commit must not have.
    RecordAgain(Change, Ended),
    Commit(Change, Ended),
    /// The child goes from its parent's list, before or behind the commit.
    Index {
        is_committed: bool,
    },
    /// Telling everybody that the header changed.
    Telling,
}

impl Client {
    /// The next operation, once none runs.
    pub(super) fn runs_begin(&mut self) -> bool {
        if self.run.is_some() {
            return false;
        }
        let Some(origin) = self.to_run.pop_front() else { return false };
        if !self.lock.may_accept_requests() || self.dead.is_some() {
            self.tell_end(&origin, Err(self.dead.unwrap_or(Errno::ERESTART).into()));
            return true;
        }
        let token = self.next_token();
        let attempt = origin.attempt;
        self.queue_lock(lock::Event::OperationStarted { operation: token, attempt });
        let (id, is_first) = (origin.id, attempt == 1 && origin.call.is_some());
        self.run = Some(Run { origin, token, is_cancelled: false, at: At::Record });
        if is_first {
            self.run_looks();
        } else {
            self.ask(Ask::LookUp(id), Then::Run);
        }
        true
    }

    fn at(&mut self, at: At) {
        if let Some(run) = &mut self.run {
            run.at = at;
        }
    }

    fn run_looks(&mut self) {
        self.at(At::Header);
        self.ask(Ask::Header, Then::Run);
    }

    pub(super) fn run_goes_on(&mut self, answer: &Answer) {
        let Some(run) = &self.run else { return };
        let (id, is_own) = (run.origin.id, run.origin.call.is_some());
        match (run.at.clone(), answer) {
            (At::Record, Answer::Known { ended, requester_lives }) => {
                match known(ended.clone(), id, is_own || *requester_lives) {
                    None => self.run_looks(),
                    Some(Ok(())) => self.tell_header_changed(),
                    Some(Err(failure)) => self.end_run(Err(failure)),
                }
            }
            (At::Header, Answer::Header { has_parent }) => {
                self.install(*has_parent);
                self.objects_begin(*has_parent);
            }
            (At::RecordAgain(change, ended), Answer::Known { ended: found, .. }) => match (&ended, found) {
                (Ok(()), Some(Err(failure))) => self.end_run(Err(failure.clone())),
                // A commit whose answer was lost, or what its caller was told: it stands.
                (_, Some(_)) => self.commit(change, ended, false),
                (_, None) => self.commit(change, ended, true),
            },
            (At::Commit(change, ended), Answer::Header { has_parent }) => {
                self.install(*has_parent);
                self.committed(&change, ended);
            }
            (At::Commit(..), Answer::Failed(Errno::EBUSY, Some(0))) => self.lock_refused(),
            (At::Commit(change, ended), Answer::Failed(Errno::ECANCELED, _)) => {
                self.record_and_commit(change, ended);
            }
            // Flattened already: only the result remains to be recorded.
            (At::Commit(Change::DetachParent, ended), Answer::Failed(Errno::ENOENT, Some(1))) => {
                self.record_and_commit(Change::Nothing, ended);
            }
            // The failure could not be recorded, which its caller need not know.
            (At::Commit(_, Err(failure)), Answer::Failed(..)) => self.end_run(Err(failure)),
            (At::Index { is_committed: false }, _) => self.record_and_commit(Change::DetachParent, Ok(())),
            (At::Index { is_committed: true }, _) => self.tell_header_changed(),
            (At::Telling, _) => self.end_run(Ok(())),
            (_, Answer::Failed(errno, _)) => self.fail_run(*errno),
            _ => self.fail_run(Errno::EIO),
        }
    }

    fn objects_begin(&mut self, has_parent: bool) {
        match self.run.as_ref().map(|run| &run.origin.operation) {
            Some(Operation::Flatten) if !has_parent => self.fail_run(Errno::EINVAL),
            Some(Operation::Flatten) => self.flatten_object(0),
            _ => self.at(At::Quiet),
        }
    }

    fn flatten_object(&mut self, object: u64) {
        let is_cancelled = self.run.as_ref().is_none_or(|run| run.is_cancelled);
        let objects = OBJECTS - u64::from(planted::is(Mistake::FlattenTooShort)) * OBJECTS;
        if is_cancelled {
            self.end_run(Err(Errno::ERESTART.into()));
        } else if object < objects {
            self.at(At::Object(object));
            self.begin_io(object, What::Flatten, Whose::Run);
        } else {
            self.at(At::Quiet);
        }
    }

    pub(super) fn object_flattened(&mut self, object: u64, result: OpResult) {
        match result {
            Ok(()) => self.flatten_object(object + 1),
            Err(errno) => self.fail_run(errno),
        }
    }

    /// Once no block I/O is under way: the gate is closed until the commit has ended.
    pub(super) fn commit_begins(&mut self) -> bool {
        let Some(Run { at: At::Quiet, origin, .. }) = &self.run else { return false };
        let is_flatten = origin.operation == Operation::Flatten;
        let change = match &origin.operation {
            Operation::SnapCreate { name } => Change::AddSnapshot(name.clone()),
            _ => Change::DetachParent,
        };
        let waits = !(planted::is(Mistake::CommitUnderIo) && is_flatten);
        self.gate.commit = waits;
        if (waits && !self.is_quiet()) || self.lock.state() == State::Reacquiring {
            return false;
        }
        if is_flatten && planted::is(Mistake::DetachIndexFirst) {
            self.at(At::Index { is_committed: false });
            self.ask(Ask::DetachChild, Then::Run);
        } else {
            self.record_and_commit(change, Ok(()));
        }
        true
    }

    fn record_and_commit(&mut self, change: Change, ended: Ended) {
        let Some(run) = &self.run else { return };
        if run.origin.is_recorded && !planted::is(Mistake::CommitUnrecorded) {
            let id = run.origin.id;
            self.at(At::RecordAgain(change, ended));
            self.ask(Ask::LookUp(id), Then::Run);
        } else {
            self.commit(change, ended, false);
        }
    }

    fn commit(&mut self, change: Change, ended: Ended, is_recorded: bool) {
        let Some(run) = &self.run else { return };
        let id = run.origin.id;
        let Some(handle) = self.lock.held_handle() else {
            return self.end_run(Err(Errno::ERESTART.into()));
        };
        let record = is_recorded.then(|| ended.clone());
        self.at(At::Commit(change.clone(), ended));
        self.ask(Ask::Commit { cookie: encode_cookie(handle), id, change, record }, Then::Run);
    }

    /// A cookie that changed meanwhile is no loss of the lock.
    fn lock_refused(&mut self) {
        let is_changing = self.lock.state() == State::Reacquiring;
        match self.run.as_ref().map(|run| run.at.clone()) {
            Some(At::Commit(..)) if is_changing => self.at(At::Quiet),
            _ => self.end_run(Err(Errno::ERESTART.into())),
        }
    }

    fn committed(&mut self, change: &Change, ended: Ended) {
        if let Err(failure) = ended {
            return self.end_run(Err(failure));
        }
        self.gate.commit = false;
        let is_flatten = self.run.as_ref().is_some_and(|run| run.origin.operation == Operation::Flatten);
        let is_listed = !planted::is(Mistake::ChildLeftInList);
        if is_flatten && is_listed && *change != Change::Nothing {
            self.at(At::Index { is_committed: true });
            self.ask(Ask::DetachChild, Then::Run);
        } else {
            self.tell_header_changed();
        }
    }

    fn tell_header_changed(&mut self) {
        self.at(At::Telling);
        self.ask(Ask::Notify(Message::HeaderUpdate), Then::Run);
    }

    /// An error that is final is recorded, or the next owner decides.
    fn fail_run(&mut self, errno: Errno) {
        let is_recorded = self.run.as_ref().is_some_and(|run| run.origin.is_recorded);
        if !is_recorded || matches!(errno, Errno::ERESTART | Errno::EBLOCKLISTED | Errno::ESHUTDOWN) {
            return self.end_run(Err(errno.into()));
        }
        self.record_and_commit(Change::Nothing, Err(errno.into()));
    }

    fn end_run(&mut self, ended: Ended) {
        let Some(run) = self.run.take() else { return };
        self.gate.commit = false;
        self.tell_end(&run.origin, ended);
        self.queue_lock(lock::Event::OperationEnded { operation: run.token });
    }

    fn tell_end(&mut self, origin: &Origin, result: Ended) {
        match origin.call {
            Some(call) => self.local_run_ended(call, result),
            None => self.queue_watcher(watcher::Event::OperationEnded { id: origin.id, result }),
        }
    }
}

/// How a request has ended at a former owner; `None`: it is to be run.
pub(super) fn known(ended: Option<Ended>, id: RequestId, requester_lives: bool) -> Option<Ended> {
    let forgotten = || Some(Err(Failure::from(Errno::ESTALE)));
    let mark = 1 + u64::from(planted::is(Mistake::WatermarkOffByOne));
    match ended {
        Some(_) if planted::is(Mistake::ForgetCommitted) => None,
        Some(ended) => Some(ended),
        None if id.number < mark => forgotten(),
        None if requester_lives => None,
        None => forgotten(),
    }
}
