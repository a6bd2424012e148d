//! Snapshot ids that a client was given and that nothing names yet: they go with its session, for nobody else can know of them. A client
//! that dies between asking for one and recording it leaves no id without a snapshot.

use std::collections::BTreeMap;

use errno::Errno;
use store::{Change, PoolId, Store};

use crate::op::Vector;
use crate::osd::{Osd, error};
use crate::records::{self, UnnamedSnap};
use crate::{OpError, cls};

/// How many are kept in mind. The oldest is forgotten beyond that, and stays given out.
const UNNAMED_SNAP_IDS_MAX: usize = 4_096;

/// By pool and id, the instance that it was given to. Each is a record, which comes with the id and goes in the transaction that names it or
/// gives it up.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnnamedSnaps(BTreeMap<(PoolId, u64), u64>);

impl UnnamedSnaps {
    /// What the store is to know once an id is given.
    pub(crate) fn giving(
        &self,
        pool: PoolId,
        snap_id: u64,
        gid: u64,
    ) -> impl Iterator<Item = Change> + use<> {
        let forgotten = self.too_many().map(|(pool, snap_id)| gone(pool, snap_id));
        let given = records::kept(&UnnamedSnap { pool: pool.0, snap_id, gid });
        [given].into_iter().chain(forgotten)
    }

    pub(crate) fn given(&mut self, pool: PoolId, snap_id: u64, gid: u64) {
        if let Some(oldest) = self.too_many() {
            self.0.remove(&oldest);
        }
        self.0.insert((pool, snap_id), gid);
    }

    /// The one that has to make room for another.
    fn too_many(&self) -> Option<(PoolId, u64)> {
        let (&oldest, _) = self.0.first_key_value()?;
        (self.0.len() >= UNNAMED_SNAP_IDS_MAX).then_some(oldest)
    }

    /// Those that a vector names: whoever writes under a snapshot, or adds it to an image, has told others of it.
    pub(crate) fn named_by(&self, pool: PoolId, vector: &Vector) -> Vec<u64> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let adding = vector.ops.iter().filter(|op| op.name() == "rbd.snapshot_add");
        let added = adding.filter_map(|op| cls::argument(op).split(' ').next()?.parse().ok());
        let named = vector.snap_context.snaps.iter().copied().chain(added);
        named.filter(|&id| self.0.contains_key(&(pool, id))).collect()
    }

    /// What the store is to know when an id is named or given up.
    pub(crate) fn going(&self, pool: PoolId, snap_id: u64) -> Option<Change> {
        self.0.contains_key(&(pool, snap_id)).then(|| gone(pool, snap_id))
    }

    pub(crate) fn gone(&mut self, pool: PoolId, snap_id: u64) {
        self.0.remove(&(pool, snap_id));
    }

    /// Those of a pool.
    pub(crate) fn of(&self, pool: PoolId) -> Vec<u64> {
        self.0.range((pool, 0)..=(pool, u64::MAX)).map(|(&(_, snap_id), _)| snap_id).collect()
    }
}

fn gone(pool: PoolId, snap_id: u64) -> Change {
    records::gone(records::unnamed_snap_key(pool, snap_id))
}

impl<S: Store> Osd<S> {
    /// Those that an earlier OSD gave out.
    pub(crate) fn load_unnamed(&mut self) -> Result<(), OpError> {
        for UnnamedSnap { pool, snap_id, gid } in records::all(&self.store)? {
            if self.pools.values().all(|info| info.id != PoolId(pool)) {
                let text = format!("stored records contradict each other: a snapshot id of pool {pool}");
                return Err(error(Errno::EIO, text));
            }
            self.unnamed.0.insert((PoolId(pool), snap_id), gid);
        }
        Ok(())
    }

    /// Gives up what was given to sessions that are over. What the store refuses is given up with the next one.
    pub(crate) fn give_up_unnamed(&mut self) {
        let is_over = |gid: &u64| !self.sessions.contains_key(gid);
        let left: Vec<_> =
            self.unnamed.0.iter().filter(|(_, gid)| is_over(gid)).map(|(key, _)| *key).collect();
        for (pool, snap_id) in left {
            let name = self.pools.values().find(|info| info.id == pool).map(|info| info.name.clone());
            let _ = name.map(|name| self.give_up(&name, snap_id, 0));
        }
    }
}
