//! A pool's identity and its snapshots.

use std::borrow::Cow;
use std::collections::BTreeMap;

use errno::Errno;
use store::{Change, PoolId};

use crate::SnapIds;
use crate::error::{Outcome, refuse};
use crate::op::SnapContext;
use crate::records;

/// What the OSD knows of a pool besides its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its number.
    pub id: PoolId,
    /// Its name, unique.
    pub name: String,
    /// The newest snapshot id ever allocated; 0 = none.
    pub snap_seq: u64,
    /// Snapshot ids that were given up. They are never used again.
    pub removed_snaps: SnapIds,
    /// It has had snapshots of its own: clients cannot manage theirs.
    pub has_named_snaps: bool,
    /// Snapshots of the pool, by id.
    pub named_snaps: BTreeMap<u64, PoolSnap>,
}

/// A snapshot of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSnap {
    /// Unique in its pool.
    pub name: String,
    /// When it was made, in milliseconds of Unix time.
    pub created_unix_ms: u64,
}

impl PoolSnap {
    pub(crate) fn record(&self, pool: PoolId, snap_id: u64) -> records::NamedSnap {
        let Self { name, created_unix_ms } = self.clone();
        records::NamedSnap { pool: pool.0, snap_id, name, created_unix_ms }
    }
}

impl PoolInfo {
    /// A pool without snapshots.
    pub fn new(id: PoolId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            snap_seq: 0,
            removed_snaps: SnapIds::default(),
            has_named_snaps: false,
            named_snaps: BTreeMap::new(),
        }
    }

    /// Clients have got ids of snapshots that they manage themselves.
    pub fn is_self_managed(&self) -> bool {
        self.snap_seq > 0 && !self.has_named_snaps
    }

    /// EINVAL for a pool with snapshots of its own.
    pub(crate) fn check_self_managed(&self) -> Outcome<()> {
        if self.has_named_snaps {
            let text = format!("pool '{}' has snapshots of its own: clients cannot manage theirs", self.name);
            return refuse(Errno::EINVAL, text);
        }
        Ok(())
    }

    pub(crate) fn add_named_snap(&mut self, snap: PoolSnap) {
        let id = self.allocate_snap_id();
        self.has_named_snaps = true;
        self.named_snaps.insert(id, snap);
    }

    /// Under which snapshots a write is made: the client's, unless they are the pool's own.
    pub(crate) fn write_context<'c>(&self, client: &'c SnapContext) -> Cow<'c, SnapContext> {
        if !self.has_named_snaps {
            return Cow::Borrowed(client);
        }
        let snaps = self.named_snaps.keys().rev().copied().collect();
        Cow::Owned(SnapContext { seq: self.snap_seq, snaps })
    }

    /// The next snapshot id, from 1.
    pub fn allocate_snap_id(&mut self) -> u64 {
        self.snap_seq += 1;
        self.snap_seq
    }

    /// Gives a snapshot id up for good. False when it was given up before, or never allocated: then nothing is to be
    /// trimmed.
    pub fn remove_snap_id(&mut self, snap_id: u64) -> bool {
        self.named_snaps.remove(&snap_id);
        (1..=self.snap_seq).contains(&snap_id) && self.removed_snaps.insert(snap_id)
    }

    /// What the store is to know of it, but for its snapshot ids.
    pub(crate) fn record(&self) -> records::Pool {
        let removed_snaps = self.removed_snaps.len();
        let Self { id: PoolId(id), ref name, snap_seq, has_named_snaps, .. } = *self;
        records::Pool { id, name: name.clone(), snap_seq, removed_snaps, has_named_snaps }
    }

    /// The same once all ids up to this one are allocated.
    pub(crate) fn record_at(&self, snap_seq: u64) -> Change {
        records::kept(&records::Pool { snap_seq, ..self.record() })
    }

    /// What the store is to know once an id that was not is given up.
    pub(crate) fn removal(&self, snap_id: u64) -> impl Iterator<Item = Change> + use<> {
        let record = records::Pool { removed_snaps: self.removed_snaps.len() + 1, ..self.record() };
        [records::kept(&record)].into_iter().chain(self.removed_snaps.insertion(self.id, snap_id))
    }

    /// EINVAL for an id that was never allocated, ESTALE for one that was given up: a reader must be able to tell a
    /// snapshot that has gone from an object that it never had.
    pub(crate) fn check_snap_id(&self, snap_id: u64) -> Outcome<()> {
        if snap_id == 0 || snap_id > self.snap_seq {
            let newest = self.snap_seq;
            return refuse(
                Errno::EINVAL,
                format!("snap id {snap_id} was never allocated, the newest is {newest}"),
            );
        }
        if self.removed_snaps.contains(snap_id) {
            return refuse(Errno::ESTALE, format!("snap id {snap_id} was removed from the pool"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snap_ids_are_never_allocated_twice() {
        let mut pool = PoolInfo::new(PoolId(1), "rbd");
        assert_eq!((pool.allocate_snap_id(), pool.allocate_snap_id()), (1, 2));
        assert!(pool.remove_snap_id(2));
        assert_eq!(pool.allocate_snap_id(), 3);
    }

    #[test]
    fn only_an_allocated_snap_id_is_removed_and_only_once() {
        let mut pool = PoolInfo::new(PoolId(1), "rbd");
        pool.allocate_snap_id();
        assert_eq!([0, 2, 1, 1].map(|id| pool.remove_snap_id(id)), [false, false, true, false]);
    }

    #[test]
    fn a_removed_snap_id_is_told_from_one_that_never_was() {
        let mut pool = PoolInfo::new(PoolId(1), "rbd");
        pool.snap_seq = 2;
        assert!(pool.remove_snap_id(1));
        let errnos = [0, 1, 2, 3].map(|id| pool.check_snap_id(id).err().map(|refusal| refusal.errno));
        assert_eq!(errnos, [Some(Errno::EINVAL), Some(Errno::ESTALE), None, Some(Errno::EINVAL)]);
    }
}
