//! What the user of a client wants of it: writes, discards, and librbd's `invoke` for operations.

use errno::Errno;
use planted::Mistake;
use rbd_protocol::invoke::{Decision, Place, Rounds, Seen, is_reached, place};
use rbd_protocol::lock::{self, Purpose};
use rbd_protocol::retry::Backoff;
use rbd_protocol::{Ended, OpOutcome, OpResult, Operation, Request, RequestId, RpcOutcome, Token, watcher};

use super::run::{Origin, known};
use super::{Client, DELAY, Then};
use crate::ask::{Answer, Ask};
use crate::scenario::Deed;

/// One call.
#[derive(Clone, Debug, Hash)]
pub struct Call {
    /// What it is to do.
    pub deed: Deed,
    /// How far it is.
    pub phase: Phase,
    attempt: u32,
    asks_for_lock: bool,
    was_forwarded: bool,
    /// An owner has said that it is done.
    is_done: bool,
    rounds: Rounds,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its user has not made it yet.
    Idle,
    /// At the gate, as the so many-th.
    Waiting(u64),
    /// Its change is under way.
    Changing,
    /// Reading the header: an image without a parent cannot be flattened.
    Start,
    /// Asking for the lock.
    Placing(Token),
    /// The operation runs here.
    Local,
    /// It was sent to the owner.
    Remote(Token),
    /// Before the next round.
    Pausing,
    /// It has failed so; reading the record of its request.
    LookingUp(Errno),
    /// Withdrawing it.
    Withdrawing(Errno),
    /// Reading the header: perhaps somebody else did it.
    LookingAtImage(Errno),
    /// Its user knows.
    Ended(OpResult),
}

impl Call {
    pub(super) fn new(deed: Deed) -> Self {
        let rounds = Rounds::new(Backoff::new(DELAY, DELAY, 0));
        let (attempt, asks_for_lock, was_forwarded, is_done) = (0, false, false, false);
        Self { deed, phase: Phase::Idle, attempt, asks_for_lock, was_forwarded, is_done, rounds }
    }

    pub(super) fn waits_at_gate(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn goes_through(&mut self) {
        self.phase = Phase::Changing;
    }

    pub(super) fn end(&mut self, result: OpResult) {
        self.phase = Phase::Ended(result);
    }

    /// What its user, who is gone with the client, was told of it.
    pub(super) fn of_dead(self) -> Self {
        let phase = if self.is_under_way() { Phase::Idle } else { self.phase };
        Self { phase, ..Self::new(self.deed) }
    }

    /// Its user waits for it.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Ended(_))
    }

    fn operation(&self, gid: u64) -> Operation {
        match self.deed {
            Deed::Snapshot => Operation::SnapCreate { name: format!("of-{gid}") },
            _ => Operation::Flatten,
        }
    }
}

/// The request of a client's call.
pub fn request_id(gid: u64, call: usize) -> RequestId {
    RequestId { gid, open: 1, number: call as u64 + 1 }
}

/// It says nothing of what becomes of the operation.
pub fn ends_the_wait(errno: Errno) -> bool {
    matches!(errno, Errno::ETIMEDOUT | Errno::ERESTART)
}

impl Client {
    pub(super) fn begin_call(&mut self, call: usize) {
        if let Some(errno) = self.dead {
            return self.calls[call].end(Err(errno));
        }
        match self.calls[call].deed {
            Deed::Write { .. } | Deed::Discard => {
                self.waiters += 1;
                self.calls[call].phase = Phase::Waiting(self.waiters);
            }
            Deed::Flatten => {
                self.calls[call].phase = Phase::Start;
                self.ask(Ask::Header, Then::Call(call));
            }
            Deed::Snapshot => self.round(call),
        }
    }

    pub(super) fn waiting_calls(&self) -> impl Iterator<Item = usize> {
        let waits = |(_, call): &(usize, &Call)| call.waits_at_gate().is_some();
        self.calls.iter().enumerate().filter(waits).map(|(call, _)| call)
    }

    pub(super) fn turn_writes_away(&mut self, newest: u64, errno: Errno) {
        for call in &mut self.calls {
            if call.waits_at_gate().is_some_and(|number| number <= newest) {
                call.end(Err(errno));
            }
        }
    }

    pub(super) fn request_is_done(&mut self, id: RequestId) {
        for (index, call) in self.calls.iter_mut().enumerate() {
            call.is_done |= request_id(self.gid, index) == id;
        }
    }

    /// After a pause.
    pub fn resume(&mut self, scenario: &crate::scenario::Scenario, call: usize) {
        self.round(call);
        self.settle(scenario);
    }

    fn round(&mut self, call: usize) {
        if self.calls[call].is_done {
            return self.calls[call].end(Ok(()));
        }
        if let Some(errno) = self.dead {
            return self.calls[call].end(Err(errno));
        }
        let token = self.next_token();
        // Further ones differ only in how long a lock is held for them.
        self.calls[call].attempt = (self.calls[call].attempt + 1).min(2);
        self.calls[call].phase = Phase::Placing(token);
        self.queue_lock(match self.calls[call].asks_for_lock {
            true => lock::Event::Acquire { token, purpose: Purpose::Operation },
            false => lock::Event::TryAcquire { token },
        });
    }

    /// The lock's answer to whom it concerns.
    pub(super) fn placed(&mut self, token: Token, result: OpResult) {
        let Some(call) = self.calls.iter().position(|call| call.phase == Phase::Placing(token)) else {
            return;
        };
        let id = request_id(self.gid, call);
        let Call { attempt, was_forwarded, .. } = self.calls[call];
        let operation = self.calls[call].operation(self.gid);
        match place(result, self.lock.is_owner()) {
            Place::Local => {
                let is_recorded = attempt > 1 && was_forwarded;
                self.calls[call].phase = Phase::Local;
                self.to_run.push_back(Origin { id, attempt, call: Some(call), is_recorded, operation });
            }
            Place::Remote => {
                let token = self.next_token();
                self.calls[call].was_forwarded = true;
                self.calls[call].phase = Phase::Remote(token);
                let request = Request { id, handle: 0, attempt, low_water_mark: 1, operation };
                self.queue_watcher(watcher::Event::SendRequest { token, request });
            }
            Place::Nowhere(errno) => self.unless_done(call, errno),
        }
    }

    pub(super) fn forward_ended(&mut self, token: Token, outcome: &OpOutcome) {
        let Some(call) = self.calls.iter().position(|call| call.phase == Phase::Remote(token)) else {
            return;
        };
        let decision = self.calls[call].rounds.decide(outcome);
        self.decided(call, decision, errno_of(outcome));
    }

    pub(super) fn local_run_ended(&mut self, call: usize, ended: Ended) {
        match ended {
            Ok(()) => self.calls[call].end(Ok(())),
            Err(failure) => {
                let decision = self.calls[call].rounds.decide_local(Err(failure.errno));
                self.decided(call, decision, failure.errno);
            }
        }
    }

    fn decided(&mut self, call: usize, decision: Decision, errno: Errno) {
        match decision {
            Decision::Done => self.calls[call].end(Ok(())),
            Decision::GiveUp => self.unless_done(call, errno),
            Decision::AskForLock => {
                self.calls[call].asks_for_lock = true;
                self.calls[call].phase = Phase::Pausing;
            }
            Decision::RestartAfter(_) => self.calls[call].phase = Phase::Pausing,
        }
    }

    /// The end of a call that came to nothing, unless it happened all the same.
    fn unless_done(&mut self, index: usize, errno: Errno) {
        let call = &mut self.calls[index];
        if planted::is(Mistake::SecondFlattenFails) {
            return call.end(Err(errno));
        }
        if call.is_done {
            return call.end(Ok(()));
        }
        if let Some(errno) = self.dead {
            return call.end(Err(errno));
        }
        if call.was_forwarded {
            call.phase = Phase::LookingUp(errno);
            self.ask(Ask::LookUp(request_id(self.gid, index)), Then::Call(index));
        } else {
            self.look_at_image(index, errno);
        }
    }

    fn look_at_image(&mut self, call: usize, errno: Errno) {
        self.calls[call].phase = Phase::LookingAtImage(errno);
        self.ask(Ask::Header, Then::Call(call));
    }

    pub(super) fn call_goes_on(&mut self, index: usize, answer: &Answer) {
        let id = request_id(self.gid, index);
        match (self.calls[index].phase, answer) {
            (Phase::Start, Answer::Header { has_parent: true }) => self.round(index),
            (Phase::Start, Answer::Header { .. }) => self.calls[index].end(Err(Errno::EINVAL)),
            (Phase::LookingUp(errno), Answer::Known { ended, .. }) => match known(ended.clone(), id, true) {
                Some(Ok(())) => self.calls[index].end(Ok(())),
                Some(Err(failure)) => self.look_at_image(index, failure.errno),
                None if ends_the_wait(errno) || planted::is(Mistake::RefuseUnwithdrawn) => {
                    self.look_at_image(index, errno);
                }
                None => {
                    self.calls[index].phase = Phase::Withdrawing(errno);
                    self.ask(Ask::Withdraw { id, errno }, Then::Call(index));
                }
            },
            // An owner was faster.
            (Phase::Withdrawing(errno), Answer::Failed(Errno::ECANCELED, _)) => {
                self.calls[index].phase = Phase::LookingUp(errno);
                self.ask(Ask::LookUp(id), Then::Call(index));
            }
            (Phase::Withdrawing(errno), Answer::Done) => self.look_at_image(index, errno),
            (Phase::LookingAtImage(errno), Answer::Header { has_parent }) => {
                self.install(*has_parent);
                let operation = self.calls[index].operation(self.gid);
                let seen = Seen { has_parent: *has_parent, size: 0 };
                let is_done = is_reached(&operation, seen);
                self.calls[index].end(if is_done { Ok(()) } else { Err(errno) });
            }
            (_, Answer::Failed(errno, _)) => self.calls[index].end(Err(*errno)),
            _ => self.calls[index].end(Err(Errno::EIO)),
        }
    }
}

/// As the caller would see it.
fn errno_of(outcome: &OpOutcome) -> Errno {
    match outcome {
        OpOutcome::Failed(failure) | OpOutcome::NotPlaced(RpcOutcome::Refused(failure)) => failure.errno,
        OpOutcome::Dead(errno) | OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(errno)) => *errno,
        OpOutcome::NotPlaced(RpcOutcome::TwoOwners { .. }) => Errno::EIO,
        OpOutcome::NotPlaced(RpcOutcome::NoOwner) => Errno::ETIMEDOUT,
        OpOutcome::NotPlaced(RpcOutcome::NotSupported) => Errno::EOPNOTSUPP,
        OpOutcome::NotPlaced(RpcOutcome::Undecodable) => Errno::EBADMSG,
        OpOutcome::Closed => Errno::ESHUTDOWN,
        _ => Errno::ERESTART,
    }
}
