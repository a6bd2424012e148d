//! What is due when.

use std::collections::BTreeSet;

use store::ObjectId;

use crate::Millis;
use crate::erasure::Erasure;
use crate::trim::Trim;

/// Something that happens when its time has come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A watch expires, unless it was renewed.
    Watch { object: ObjectId, gid: u64, cookie: u64 },
    /// A notify times out.
    Notify { object: ObjectId, notify_id: u64 },
    /// A session ends, unless it was heard of.
    Session { gid: u64 },
    /// A blocklist entry expires.
    Blocklist { gid: u64 },
    /// The blocklist entry of an address expires.
    BlocklistAddress { address: String },
    /// What the store did not take is saved.
    Save,
    /// A trim goes on.
    Trim(Trim),
    /// The erasure of a pool goes on.
    Erasure(Erasure),
    /// The replies of a session that has ended are forgotten further.
    Forget { gid: u64 },
}

/// Times in order. Who renews something often leaves its entry where it is and looks again when it is due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda(BTreeSet<(Millis, Due)>);

impl Agenda {
    pub(crate) fn add(&mut self, at: Millis, due: Due) {
        self.0.insert((at, due));
    }

    pub(crate) fn remove(&mut self, at: Millis, due: Due) {
        self.0.remove(&(at, due));
    }

    pub(crate) fn next(&self) -> Option<Millis> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The first entry that is due.
    pub(crate) fn pop(&mut self, now: Millis) -> Option<Due> {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due { self.0.pop_first().map(|(_, due)| due) } else { None }
    }
}
