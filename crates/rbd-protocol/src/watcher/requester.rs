//! Requests of this client that are out at the owner (facts 4.4).

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;

use crate::ids::{ClientId, Millis, RequestId, Token};
use crate::outcome::{Ended, Failure, OpOutcome, RpcOutcome};
use crate::watcher::Effect;

#[derive(Clone, Debug, Hash)]
struct Entry {
    /// The caller.
    token: Token,
    /// The notify that carries the request.
    send: Token,
    /// Client instance that accepted the request, once it is known.
    owner: Option<u64>,
    deadline: Millis,
    /// Highest offset of this attempt that the caller was told.
    offset: Option<u64>,
    /// Errors that came while the owner was unknown, by the client instance that sent them, which the OSD vouches for. One may
    /// be a former owner's, late; the ack says whose counts.
    early_errors: BTreeMap<u64, Failure>,
}

impl Entry {
    /// As far as it is known.
    fn is_run_by(&self, gid: u64) -> bool {
        self.owner.is_none_or(|owner| owner == gid)
    }
}

/// Who removes an entry completes it: a second completion is impossible.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Requester {
    timeout: Millis,
    entries: BTreeMap<RequestId, Entry>,
}

impl Requester {
    pub(crate) fn new(timeout: Millis) -> Self {
        Self { timeout, entries: BTreeMap::new() }
    }

    /// Before the request is sent: its completion may come before its ack.
    pub(crate) fn register(
        &mut self,
        now: Millis,
        id: RequestId,
        token: Token,
        send: Token,
        effects: &mut Vec<Effect>,
    ) {
        let entry = Entry {
            token,
            send,
            owner: None,
            deadline: now + self.timeout,
            offset: None,
            early_errors: BTreeMap::new(),
        };
        if let Some(replaced) = self.entries.insert(id, entry) {
            effects.push(Effect::Complete { token: replaced.token, outcome: OpOutcome::Interrupted });
        }
    }

    pub(crate) fn forget(&mut self, token: Token) {
        self.entries.retain(|_, entry| entry.token != token);
    }

    /// The owner's ack. Some: an entry waited for it, and this is its owner.
    pub(crate) fn answered(
        &mut self,
        id: RequestId,
        send: Token,
        outcome: RpcOutcome,
        effects: &mut Vec<Effect>,
    ) -> Option<ClientId> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.send == send)?;
        let token = entry.token;
        let outcome = match outcome {
            RpcOutcome::Accepted { owner } => {
                entry.owner = Some(owner.gid);
                let early_error = entry.early_errors.remove(&owner.gid);
                effects.push(Effect::Placed { token, owner });
                if let Some(failure) = early_error {
                    marks::hit(Mark::WatcherFailedEarlyCounts);
                    self.end(id, Err(failure), effects);
                }
                return Some(owner);
            }
            RpcOutcome::Refused(Failure { errno: Errno::ERESTART, .. }) => {
                marks::hit(Mark::InsideOwnerIsMe);
                OpOutcome::Interrupted
            }
            other => OpOutcome::NotPlaced(other),
        };
        self.entries.remove(&id);
        effects.push(Effect::Complete { token, outcome });
        None
    }

    pub(crate) fn progress(
        &mut self,
        now: Millis,
        id: RequestId,
        notifier: u64,
        (offset, total): (u64, u64),
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_run_by(notifier)) else { return };
        entry.deadline = now + self.timeout;
        let is_further = entry.offset.is_none_or(|before| offset > before);
        marks::hit(if is_further { Mark::WatcherProgress } else { Mark::WatcherProgressAgain });
        if is_further {
            entry.offset = Some(offset);
            effects.push(Effect::Progress { token: entry.token, offset, total });
        }
    }

    /// AsyncComplete. While the owner is unknown success counts, whoever sent it: it has happened. An error may be that of an
    /// earlier attempt elsewhere: it is kept until the ack names the owner, and ends with the entry.
    pub(crate) fn completed(
        &mut self,
        id: RequestId,
        notifier: u64,
        result: Ended,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_run_by(notifier)) else { return };
        marks::hit(match (&result, entry.owner) {
            (Err(_), None) => Mark::WatcherFailedEarly,
            (Ok(()), None) => Mark::WatcherCompletedEarly,
            (_, Some(_)) => Mark::WatcherCompleted,
        });
        match (result, entry.owner) {
            (Err(failure), None) => {
                entry.early_errors.insert(notifier, failure);
            }
            (result, _) => self.end(id, result, effects),
        }
    }

    /// After success the own image is stale before the caller hears of it (facts 9.1 row 11).
    fn end(&mut self, id: RequestId, result: Ended, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let outcome = match result {
            Ok(()) => {
                effects.push(Effect::MarkStale);
                OpOutcome::Done
            }
            Err(Failure { errno: Errno::ERESTART, .. }) => OpOutcome::Interrupted,
            Err(failure) => OpOutcome::Failed(failure),
        };
        effects.push(Effect::Complete { token: entry.token, outcome });
    }

    pub(crate) fn cancel_all(&mut self, outcome: &OpOutcome, effects: &mut Vec<Effect>) {
        for entry in std::mem::take(&mut self.entries).into_values() {
            effects.push(Effect::Complete { token: entry.token, outcome: outcome.clone() });
        }
    }

    pub(crate) fn expire(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.entries.retain(|_, entry| {
            let expired = entry.deadline <= now;
            if expired {
                marks::hit(Mark::WatcherNoProgress);
                effects.push(Effect::Complete { token: entry.token, outcome: OpOutcome::NoProgress });
            }
            !expired
        });
    }

    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Millis> {
        self.entries.values_mut().map(|entry| &mut entry.deadline)
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.entries.values().map(|entry| entry.deadline).min()
    }
}
