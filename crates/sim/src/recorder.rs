//! Takes the calls down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use check::{Disturbance, Operation, Outcome, Record, What};

use crate::pool::lock;

/// What was asked and answered, and what befell whom.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Taken>>);

#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) records: Vec<Record>,
    newest: u64,
    /// Calls that have not ended, with their client.
    open: BTreeMap<u64, String>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) instances: BTreeMap<String, BTreeSet<u64>>,
    /// Snapshots that somebody tried to take.
    snapshots: BTreeSet<String>,
    /// Snapshots that somebody tried to remove, whose names are not used again.
    removed: BTreeSet<String>,
}

/// When something was taken down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) time_ms: u64,
    /// Newest event of the OSD.
    pub(crate) event: u64,
}

impl Recorder {
    /// Whether a history may have the call: a snapshot is asked for when somebody has begun to take it, and its name is not used again
    /// once its removal was asked for.
    pub(crate) fn may_ask(&self, operation: &Operation) -> bool {
        let mut taken = lock(&self.0);
        let Taken { snapshots, removed, .. } = &mut *taken;
        match operation {
            Operation::SnapCreate { snap } if removed.contains(snap) => false,
            Operation::SnapCreate { snap } => {
                snapshots.insert(snap.clone());
                true
            }
            Operation::SnapRemove { snap } if snapshots.contains(snap) => {
                removed.insert(snap.clone());
                true
            }
            Operation::SnapRemove { snap }
            | Operation::SnapProtect { snap }
            | Operation::SnapUnprotect { snap }
            | Operation::SnapRollback { snap } => snapshots.contains(snap),
            _ => true,
        }
    }

    pub(crate) fn invoke(
        &self,
        now: Now,
        client: &str,
        image: &str,
        operation: Operation,
        deadline_ms: Option<u64>,
    ) -> u64 {
        let mut taken = lock(&self.0);
        taken.newest += 1;
        let id = taken.newest;
        taken.open.insert(id, client.to_owned());
        let what = What::Invoke { image: image.to_owned(), operation, deadline_ms };
        taken.push(now, id, client, what);
        id
    }

    pub(crate) fn complete(&self, now: Now, id: u64, outcome: Outcome) {
        let mut taken = lock(&self.0);
        if let Some(client) = taken.open.remove(&id) {
            taken.push(now, id, &client, What::Complete(outcome));
        }
    }

    /// The answers that a client waits for are lost.
    pub(crate) fn lost(&self, now: Now, client: &str) {
        let mut taken = lock(&self.0);
        let lost: Vec<u64> = taken.open.iter().filter(|(_, of)| *of == client).map(|(&id, _)| id).collect();
        for id in lost {
            taken.open.remove(&id);
            taken.push(now, id, client, What::Complete(Outcome::Unknown));
        }
    }

    pub(crate) fn instance(&self, client: &str, gid: u64) {
        lock(&self.0).instances.entry(client.to_owned()).or_default().insert(gid);
    }

    pub(crate) fn disturbed(&self, disturbance: Disturbance) {
        lock(&self.0).disturbances.push(disturbance);
    }

    pub(crate) fn take(&self) -> Taken {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Taken {
    fn push(&mut self, now: Now, id: u64, client: &str, what: What) {
        let Now { time_ms, event } = now;
        let record = Record { id, client: client.to_owned(), time_ms, osd_sequence: Some(event), what };
        self.records.push(record);
    }
}
