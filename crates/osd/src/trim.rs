//! Giving up what only removed snapshots needed, in pieces: no step is longer than one of them, and other calls come in
//! between. From the first step on nobody reads at the snapshot.

use store::{Change, ObjectChange, ObjectId, PoolId, Store, Stored};

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::Osd;
use crate::records::{self, Trimming};
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
    /// Trimmed so far, since the OSD was opened.
    pub(crate) objects: u64,
}

impl Trim {
    /// What makes it happen, whoever has to finish it.
    pub(crate) fn intent(&self) -> Change {
        let Self { pool, pool_name, snap_id, gid, .. } = self;
        records::kept(&Trimming { pool: pool.0, pool_name: pool_name.clone(), snap_id: *snap_id, gid: *gid })
    }
}

impl<S: Store> Osd<S> {
    /// Whether there is work that waits for nothing but a step: [`Osd::work`].
    pub fn has_work(&self) -> bool {
        !self.trims.is_empty() || !self.erasures.is_empty() || !self.forgotten.is_empty()
    }

    /// One bounded piece of the work that is left.
    pub fn work(&mut self, now: Millis) -> Vec<Effect> {
        self.begin(now);
        if let Some(trim) = self.trims.pop_front() {
            self.trim_piece(trim);
        } else if let Some(erasure) = self.erasures.pop_front() {
            self.erase_piece(erasure);
        } else if let Some(gid) = self.forgotten.pop_front() {
            self.forget_replies(gid);
        }
        self.done(()).1
    }

    /// Trims a piece; what remains is left for later.
    pub(crate) fn trim_piece(&mut self, mut trim: Trim) {
        let finished = vec![records::gone(records::trimming_key(trim.pool, trim.snap_id))];
        match self.trim_objects(&mut trim, finished) {
            Ok(true) => self.tell_trimmed(&trim),
            Ok(false) => self.trims.push_back(trim),
            Err(_) => self.step.agenda.add(self.step.now.after(RETRY), Due::Trim(trim)),
        }
    }

    /// Whether these were the last; then `finished` is what changes with them.
    pub(crate) fn trim_objects(&mut self, trim: &mut Trim, finished: Vec<Change>) -> Stored<bool> {
        let &mut Trim { pool, snap_id, .. } = trim;
        let objects = self.store.preserving(pool, snap_id, OBJECTS_PER_STEP_MAX)?;
        let count = objects.len();
        let mut changes: Vec<Change> = objects.into_iter().map(|id| dropping(id, snap_id)).collect();
        if count < OBJECTS_PER_STEP_MAX {
            changes.extend(finished);
        }
        self.submit(changes)?;
        trim.objects += count as u64;
        Ok(count < OBJECTS_PER_STEP_MAX)
    }

    pub(crate) fn tell_trimmed(&mut self, trim: &Trim) {
        let Trim { pool_name, snap_id, gid, objects, .. } = trim;
        let event = Event::new(Kind::SnapTrimmed, *gid).on(pool_name, "");
        self.step.tell(event.detail(format!("snap id {snap_id}, {objects} objects")));
    }
}

/// Takes a snapshot out of an object: a clone that preserves no other one is removed. HEAD and its version do not change.
fn dropping(id: ObjectId, snap: u64) -> Change {
    Change::Object { id, changes: vec![ObjectChange::DropSnap { snap }] }
}
