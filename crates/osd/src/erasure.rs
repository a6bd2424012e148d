//! Removing a pool: from the first step on nobody finds it; what it held is given up in pieces.

use errno::Errno;
use store::{Change, HashPlace, ObjectChange, ObjectId, PoolId, Store, Stored};

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::{Osd, error};
use crate::records::{self, Erasing};
use crate::trim::{OBJECTS_PER_STEP_MAX, RETRY, Trim};
use crate::{Millis, OpError, SnapIds, agenda::Due};

/// A removed pool whose objects may still be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Erasure {
    pool: PoolId,
    /// Its objects may preserve snapshots up to this one, but for those that were given up.
    snap_seq: u64,
    removed_snaps: SnapIds,
    /// The snapshot that is given up.
    trim: Trim,
}

impl Erasure {
    pub(crate) fn new(pool: PoolId, pool_name: String, snap_seq: u64, removed_snaps: SnapIds) -> Self {
        let trim = Trim { pool, pool_name, snap_id: removed_snaps.first_missing(), gid: 0, objects: 0 };
        Self { pool, snap_seq, removed_snaps, trim }
    }

    /// Number and name.
    pub(crate) fn pool(&self) -> (PoolId, String) {
        (self.pool, self.trim.pool_name.clone())
    }
}

impl<S: Store> Osd<S> {
    /// Removes a pool with everything in it; its number is never used again, its name may be. Watches on its objects end.
    /// ENOENT if there is none; EIO, ENOSPC of the store.
    pub fn remove_pool(&mut self, now: Millis, name: &str) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let removed = self.start_erasure(name);
        self.done(removed)
    }

    fn start_erasure(&mut self, name: &str) -> Result<(), OpError> {
        let Some(info) = self.pools.get(name) else {
            return Err(error(Errno::ENOENT, format!("there is no pool '{name}'")));
        };
        let (pool, snap_seq) = (info.id, info.snap_seq);
        let intent = Erasing { pool: pool.0, pool_name: name.to_owned(), snap_seq };
        let named = info.named_snaps.keys().map(|&snap_id| records::named_snap_key(pool, snap_id));
        let unnamed = self.unnamed.of(pool);
        let given = unnamed.iter().map(|&snap_id| records::unnamed_snap_key(pool, snap_id));
        let gone = named.chain(given).chain([records::pool_key(pool)]).map(records::gone);
        self.submit(gone.chain([records::kept(&intent)]).collect())?;
        unnamed.into_iter().for_each(|snap_id| self.unnamed.gone(pool, snap_id));
        let info = self.pools.remove(name).expect("it was found");
        self.step.tell(Event::new(Kind::PoolRemoved, 0).on(name, ""));
        self.erasures.push_back(Erasure::new(pool, info.name, snap_seq, info.removed_snaps));
        Ok(())
    }

    /// Erases a piece; what remains is left for later.
    pub(crate) fn erase_piece(&mut self, mut erasure: Erasure) {
        match self.erase_some(&mut erasure) {
            Ok(true) => {}
            Ok(false) => self.erasures.push_back(erasure),
            Err(_) => self.step.agenda.add(self.step.now.after(RETRY), Due::Erasure(erasure)),
        }
    }

    /// First the HEADs, then what snapshots preserve, then what is known of those that were given up. Whether that was all.
    fn erase_some(&mut self, erasure: &mut Erasure) -> Stored<bool> {
        if self.erase_objects(erasure.pool)? {
            return Ok(false);
        }
        let Erasure { pool, snap_seq, ref mut removed_snaps, ref mut trim } = *erasure;
        if trim.snap_id <= snap_seq {
            if self.trim_objects(trim, removed_snaps.insertion(pool, trim.snap_id))? {
                self.tell_trimmed(trim);
                removed_snaps.insert(trim.snap_id);
                (trim.snap_id, trim.objects) = (removed_snaps.first_missing(), 0);
            }
            return Ok(false);
        }
        let finished = records::gone(records::erasing_key(pool));
        self.erase_records(&records::removed_snaps_prefix(pool), Some(finished))
    }

    /// Whether there were any.
    fn erase_objects(&mut self, pool: PoolId) -> Stored<bool> {
        let places = self.store.list_by_hash(pool, &HashPlace::default(), OBJECTS_PER_STEP_MAX)?;
        let id = |place: HashPlace| ObjectId { pool, namespace: place.namespace, name: place.name };
        let objects: Vec<ObjectId> = places.into_iter().map(id).collect();
        let remove = |id: &ObjectId| Change::Object { id: id.clone(), changes: vec![ObjectChange::Remove] };
        if objects.is_empty() {
            return Ok(false);
        }
        let watches = objects.iter().flat_map(|object| self.watches.all_gone(object));
        let changes = objects.iter().map(remove).chain(watches).collect();
        self.submit(changes)?;
        for object in &objects {
            self.watches.remove_object(&mut self.step, object);
        }
        Ok(true)
    }
}
