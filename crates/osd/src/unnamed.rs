//! Snapshot ids that a client was given and that nothing names yet: they go with its session, for nobody else can know of them. A client
//! that dies between asking for one and recording it leaves no id without a snapshot.

use std::collections::BTreeMap;

use store::{PoolId, Store};

use crate::cls;
use crate::op::Vector;
use crate::osd::Osd;

/// How many are kept in mind. The oldest is forgotten beyond that, and stays given out.
const UNNAMED_SNAP_IDS_MAX: usize = 4_096;

/// By pool and id, the instance that it was given to. An OSD that is opened anew knows of none: those that were given out before stay so.
#[derive(Debug, Default)]
pub(crate) struct UnnamedSnaps(BTreeMap<(PoolId, u64), u64>);

impl UnnamedSnaps {
    pub(crate) fn given(&mut self, pool: PoolId, snap_id: u64, gid: u64) {
        if self.0.len() >= UNNAMED_SNAP_IDS_MAX {
            self.0.pop_first();
        }
        self.0.insert((pool, snap_id), gid);
    }

    /// A vector was applied: whoever writes under a snapshot, or adds it to an image, has told others of it.
    pub(crate) fn named_by(&mut self, pool: PoolId, vector: &Vector) {
        if self.0.is_empty() {
            return;
        }
        for &id in &vector.snap_context.snaps {
            self.0.remove(&(pool, id));
        }
        for op in vector.ops.iter().filter(|op| op.name() == "rbd.snapshot_add") {
            let added = cls::argument(op).split(' ').next().and_then(|id| id.parse().ok());
            if let Some(id) = added {
                self.0.remove(&(pool, id));
            }
        }
    }

    pub(crate) fn gone(&mut self, pool: PoolId, snap_id: u64) {
        self.0.remove(&(pool, snap_id));
    }
}

impl<S: Store> Osd<S> {
    /// Gives up what was given to sessions that are over. What the store refuses is given up with the next one.
    pub(crate) fn give_up_unnamed(&mut self) {
        let is_over = |gid: &u64| !self.sessions.contains_key(gid);
        let left: Vec<_> =
            self.unnamed.0.iter().filter(|(_, gid)| is_over(gid)).map(|(key, _)| *key).collect();
        for (pool, snap_id) in left {
            let name = self.pools.values().find(|info| info.id == pool).map(|info| info.name.clone());
            let is_done = match name {
                Some(name) => self.give_up(&name, snap_id, 0).is_ok(),
                None => true,
            };
            if is_done {
                self.unnamed.gone(pool, snap_id);
            }
        }
    }
}
