//! What the lock has to do, in order; an action that is queued already takes further waiters in (facts 3.6).

use std::collections::VecDeque;

use crate::ids::Token;
use crate::lock::Purpose;

/// Ceph's actions. TRY_LOCK is an ACQUIRE_LOCK whose waiters have no purpose to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Acquire,
    Reacquire,
    Release,
    ShutDown,
}

/// Whom an action completes.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Waiter {
    pub(crate) token: Token,
    /// None: does not wait for a peer.
    pub(crate) purpose: Option<Purpose>,
    /// The latest question about the lock, a look or a RequestLock, was asked while it waited: a refusal is its answer too.
    pub(crate) is_asked_for: bool,
}

impl Waiter {
    pub(crate) fn new(token: Token, purpose: Option<Purpose>) -> Self {
        Self { token, purpose, is_asked_for: false }
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Action {
    pub(crate) kind: Kind,
    pub(crate) waiters: Vec<Waiter>,
    /// The lock itself wants it (to get back what a rewatch lost), also when nobody waits.
    pub(crate) own_wish: bool,
}

/// FIFO of at most one action per kind. The front is the active one while the lock is in a transition state.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Queue {
    actions: VecDeque<Action>,
}

impl Queue {
    pub(crate) fn active(&self) -> Option<&Action> {
        self.actions.front()
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut Action> {
        self.actions.front_mut()
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.actions.iter().any(|action| action.kind == kind)
    }

    pub(crate) fn push(&mut self, kind: Kind, waiter: Option<Waiter>) {
        match self.actions.iter_mut().find(|action| action.kind == kind) {
            Some(action) => action.waiters.extend(waiter),
            None => self.actions.push_back(Action {
                kind,
                waiters: waiter.into_iter().collect(),
                own_wish: false,
            }),
        }
    }

    /// In front of everything, with the waiters that a queued action of this kind has.
    pub(crate) fn push_front(&mut self, kind: Kind, own_wish: bool) {
        let waiters = self.take(kind);
        self.actions.push_front(Action { kind, waiters, own_wish });
    }

    /// The lock itself wants nothing any more; whoever waits goes on waiting.
    pub(crate) fn end_own_wish(&mut self) {
        self.actions.iter_mut().for_each(|action| action.own_wish = false);
    }

    pub(crate) fn finish_active(&mut self) -> Vec<Waiter> {
        self.actions.pop_front().map(|action| action.waiters).unwrap_or_default()
    }

    /// Removes the action of this kind; its waiters are the caller's now.
    pub(crate) fn take(&mut self, kind: Kind) -> Vec<Waiter> {
        let Some(position) = self.actions.iter().position(|action| action.kind == kind) else {
            return Vec::new();
        };
        self.actions.remove(position).map(|action| action.waiters).unwrap_or_default()
    }
}
