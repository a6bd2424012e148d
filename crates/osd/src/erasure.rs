//! Removing a pool: from the first step on nobody finds it; what it held is given up in pieces.

use errno::Errno;
use store::{Change, HashPlace, ObjectChange, ObjectId, PoolId, Store, Stored, Transaction};

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::{Osd, error};
use crate::trim::{OBJECTS_PER_STEP_MAX, RETRY, Trim};
use crate::{Millis, OpError, agenda::Due};

/// A removed pool whose objects may still be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Erasure {
    pub(crate) pool: PoolId,
    /// For events.
    pub(crate) pool_name: String,
    /// Snapshots that its objects may preserve.
    pub(crate) snap_ids: Vec<u64>,
}

impl<S: Store> Osd<S> {
    /// Removes a pool with everything in it; its number is never used again, its name may be. Watches on its objects end.
    /// ENOENT if there is none.
    pub fn remove_pool(&mut self, now: Millis, name: &str) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let Some(info) = self.pools.remove(name) else {
            return self.done(Err(error(Errno::ENOENT, format!("there is no pool '{name}'"))));
        };
        let snap_ids = (1..=info.snap_seq).filter(|id| !info.removed_snaps.contains(id)).collect();
        self.step.tell(Event::new(Kind::PoolRemoved, 0).on(name, ""));
        self.erasures.push_back(Erasure { pool: info.id, pool_name: info.name, snap_ids });
        self.done(Ok(()))
    }

    /// Erases a piece; what remains is left for later: first the HEADs, then what snapshots preserve.
    pub(crate) fn erase_piece(&mut self, erasure: Erasure) {
        match self.erase_objects(erasure.pool) {
            Ok(0) => {
                let Erasure { pool, pool_name, snap_ids } = erasure;
                let trim = |snap_id| Trim { pool, pool_name: pool_name.clone(), snap_id, gid: 0, objects: 0 };
                self.trims.extend(snap_ids.into_iter().map(trim));
            }
            Ok(_) => self.erasures.push_back(erasure),
            Err(_) => self.step.agenda.add(self.step.now.after(RETRY), Due::Erasure(erasure)),
        }
    }

    /// How many there were.
    fn erase_objects(&mut self, pool: PoolId) -> Stored<usize> {
        let places = self.store.list_by_hash(pool, &HashPlace::default(), OBJECTS_PER_STEP_MAX)?;
        let id = |place: HashPlace| ObjectId { pool, namespace: place.namespace, name: place.name };
        let objects: Vec<ObjectId> = places.into_iter().map(id).collect();
        let remove = |id: &ObjectId| Change::Object { id: id.clone(), changes: vec![ObjectChange::Remove] };
        if !objects.is_empty() {
            self.store.submit(Transaction { changes: objects.iter().map(remove).collect() })?;
        }
        for object in &objects {
            self.watches.remove_object(&mut self.step, object);
        }
        Ok(objects.len())
    }
}
