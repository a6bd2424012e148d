//! A pool's identity and its self-managed snapshots.

use errno::Errno;
use store::{Change, PoolId};

use crate::SnapIds;
use crate::error::{Outcome, refuse};
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
}

impl PoolInfo {
    /// A pool without snapshots.
    pub fn new(id: PoolId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), snap_seq: 0, removed_snaps: SnapIds::default() }
    }

    /// The next snapshot id, from 1.
    pub fn allocate_snap_id(&mut self) -> u64 {
        self.snap_seq += 1;
        self.snap_seq
    }

    /// Gives a snapshot id up for good. False when it was given up before, or never allocated: then nothing is to be
    /// trimmed.
    pub fn remove_snap_id(&mut self, snap_id: u64) -> bool {
        (1..=self.snap_seq).contains(&snap_id) && self.removed_snaps.insert(snap_id)
    }

    /// What the store is to know of it, but for its snapshot ids.
    pub(crate) fn record(&self) -> records::Pool {
        let removed_snaps = self.removed_snaps.len();
        records::Pool { id: self.id.0, name: self.name.clone(), snap_seq: self.snap_seq, removed_snaps }
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
