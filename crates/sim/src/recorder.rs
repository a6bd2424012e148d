//! Takes the calls down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use check::{Disturbance, History, HistoryBuilder, Operation, Outcome, Record, What};

use crate::plan::BLOCK;
use crate::pool::lock;

/// What was asked and answered, and what befell whom.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Taken>>);

#[derive(Clone)]
pub(crate) struct Taken {
    history: HistoryBuilder,
    newest: u64,
    /// Calls that have not ended, with their client.
    open: BTreeMap<u64, String>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) instances: BTreeMap<String, BTreeSet<u64>>,
    /// Images that somebody tried to make.
    images: BTreeSet<String>,
    /// (image, snapshot) that somebody tried to take.
    snapshots: BTreeSet<(String, String)>,
}

/// When something was taken down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) time_ms: u64,
    /// Newest event of the OSD.
    pub(crate) event: u64,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            history: HistoryBuilder::new(BLOCK),
            newest: 0,
            open: BTreeMap::new(),
            disturbances: Vec::new(),
            instances: BTreeMap::new(),
            images: BTreeSet::new(),
            snapshots: BTreeSet::new(),
        }
    }
}

impl Recorder {
    /// Goes on behind what was taken down before.
    pub(crate) fn after(taken: Taken) -> Self {
        Self(Arc::new(Mutex::new(taken)))
    }

    /// Number of the call; `None` when a history cannot have it: by its own rules, or because nobody has begun to make the image or
    /// the snapshot that it is about.
    pub(crate) fn invoke(
        &self,
        now: Now,
        client: &str,
        image: &str,
        operation: Operation,
        deadline_ms: Option<u64>,
    ) -> Option<u64> {
        let mut taken = lock(&self.0);
        let makes = operation.makes_an_image();
        let is_known = makes || taken.images.contains(image);
        if !is_known || source(image, &operation).is_some_and(|source| !taken.snapshots.contains(&source)) {
            return None;
        }
        let begun = match &operation {
            Operation::SnapCreate { snap } | Operation::SnapRename { to: snap, .. } => {
                Some((image.to_owned(), snap.clone()))
            }
            _ => None,
        };
        taken.newest += 1;
        let id = taken.newest;
        let what = What::Invoke { image: image.to_owned(), operation, deadline_ms };
        taken.push(now, id, client, what).ok()?;
        taken.open.insert(id, client.to_owned());
        taken.images.extend(makes.then(|| image.to_owned()));
        taken.snapshots.extend(begun);
        Some(id)
    }

    pub(crate) fn complete(&self, now: Now, id: u64, outcome: Outcome) {
        let mut taken = lock(&self.0);
        if let Some(client) = taken.open.remove(&id) {
            taken.ended(now, id, &client, outcome);
        }
    }

    /// The answers that a client waits for are lost.
    pub(crate) fn lost(&self, now: Now, client: &str) {
        let mut taken = lock(&self.0);
        let lost: Vec<u64> = taken.open.iter().filter(|(_, of)| *of == client).map(|(&id, _)| id).collect();
        for id in lost {
            taken.open.remove(&id);
            taken.ended(now, id, client, Outcome::Unknown);
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

/// The snapshot that an operation is about, and its image.
fn source(image: &str, operation: &Operation) -> Option<(String, String)> {
    match operation {
        Operation::Clone { parent, snap } => Some((parent.clone(), snap.clone())),
        Operation::SnapCreate { .. } => None,
        other => Some((image.to_owned(), other.snapshot()?.to_owned())),
    }
}

impl Taken {
    /// All of it.
    pub(crate) fn history(self) -> History {
        self.history.history()
    }

    fn push(&mut self, now: Now, id: u64, client: &str, what: What) -> Result<(), String> {
        let Now { time_ms, event } = now;
        self.history.push(Record { id, client: client.to_owned(), time_ms, osd_sequence: Some(event), what })
    }

    fn ended(&mut self, now: Now, id: u64, client: &str, outcome: Outcome) {
        self.push(now, id, client, What::Complete(outcome)).expect("the call was invoked and has not ended");
    }
}
