//! Giving up what only removed snapshots needed, in pieces: no step is longer than one of them, and other calls come in
//! between. From the first step on nobody reads at the snapshot.

use store::{Change, ObjectChange, PoolId, Store, Stored, Transaction};

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::Osd;
use crate::{Millis, agenda::Due};

/// Objects that one step trims.
pub const OBJECTS_PER_STEP_MAX: usize = 256;

/// How long such work waits after the store has failed.
pub(crate) const RETRY: Millis = Millis(1_000);

/// A removed snapshot that objects may still preserve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trim {
    pub(crate) pool: PoolId,
    /// For the event.
    pub(crate) pool_name: String,
    pub(crate) snap_id: u64,
    /// Who gave it up.
    pub(crate) gid: u64,
    /// Trimmed so far.
    pub(crate) objects: u64,
}

impl<S: Store> Osd<S> {
    /// Whether there is work that waits for nothing but a step: [`Osd::work`].
    pub fn has_work(&self) -> bool {
        !self.trims.is_empty() || !self.erasures.is_empty()
    }

    /// One bounded piece of the work that is left.
    pub fn work(&mut self, now: Millis) -> Vec<Effect> {
        self.begin(now);
        if let Some(trim) = self.trims.pop_front() {
            self.trim_piece(trim);
        } else if let Some(erasure) = self.erasures.pop_front() {
            self.erase_piece(erasure);
        }
        self.done(()).1
    }

    /// Trims a piece; what remains is left for later.
    pub(crate) fn trim_piece(&mut self, mut trim: Trim) {
        match self.trim_objects(&trim) {
            Ok(objects) => {
                trim.objects += objects as u64;
                if objects == OBJECTS_PER_STEP_MAX {
                    return self.trims.push_back(trim);
                }
                let Trim { pool_name, snap_id, gid, objects, .. } = trim;
                let event = Event::new(Kind::SnapTrimmed, gid).on(&pool_name, "");
                self.step.tell(event.detail(format!("snap id {snap_id}, {objects} objects")));
            }
            Err(_) => self.step.agenda.add(self.step.now.after(RETRY), Due::Trim(trim)),
        }
    }

    /// How many there were; fewer than [`OBJECTS_PER_STEP_MAX`] were the last.
    fn trim_objects(&mut self, trim: &Trim) -> Stored<usize> {
        let objects = self.store.preserving(trim.pool, trim.snap_id, OBJECTS_PER_STEP_MAX)?;
        let count = objects.len();
        if count > 0 {
            self.store.submit(dropping(objects, trim.snap_id))?;
        }
        Ok(count)
    }
}

/// Takes a snapshot out of objects: a clone that preserves no other one is removed. HEADs and their versions do not change.
fn dropping(objects: Vec<store::ObjectId>, snap: u64) -> Transaction {
    let drop = |id| Change::Object { id, changes: vec![ObjectChange::DropSnap { snap }] };
    Transaction { changes: objects.into_iter().map(drop).collect() }
}
