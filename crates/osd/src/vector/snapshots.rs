//! Snapshot rules, as RADOS has them: what a write preserves, and what a read at a snapshot sees.

use errno::Errno;

use crate::error::{Outcome, refuse};
use crate::op::{Door, SnapContext};
use crate::pool::PoolInfo;
use crate::text::few;

/// Snapshot ids that an error names.
const SNAPS_NAMED_MAX: usize = 8;

/// Where the state at a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// HEAD was not written since.
    Head,
    /// In this clone.
    Clone(u64),
    /// The object did not exist.
    Absent,
}

/// The snapshots that a write must preserve HEAD for, descending: those it was not yet written under. Those that were
/// removed meanwhile are left out: a writer that has not heard of it must not preserve anything for them.
pub(super) fn to_preserve(pool: &PoolInfo, snap_seq: u64, context: &SnapContext) -> Vec<u64> {
    let unseen = context.snaps.iter().copied().take_while(|&snap| snap > snap_seq);
    unseen.filter(|&snap| !pool.removed_snaps.contains(snap)).collect()
}

/// Whether anybody may read at a snapshot. ESTALE and EINVAL, or ENOENT: see [`Door`].
pub(super) fn check_read(pool: &PoolInfo, door: Door, snap_id: u64) -> Outcome<()> {
    match door {
        Door::Grpc => pool.check_snap_id(snap_id),
        Door::Ceph if pool.removed_snaps.contains(snap_id) => {
            refuse(Errno::ENOENT, format!("snap id {snap_id} was removed from the pool"))
        }
        Door::Ceph => Ok(()),
    }
}

/// EINVAL unless the ids descend, none is above `seq`, and, for our own clients, `seq` was allocated.
pub(super) fn check_context(pool: &PoolInfo, door: Door, context: &SnapContext) -> Outcome<()> {
    let SnapContext { seq, snaps } = context;
    if door == Door::Grpc && *seq > pool.snap_seq {
        let newest = pool.snap_seq;
        return refuse(
            Errno::EINVAL,
            format!("snap context: seq {seq} was never allocated, the newest is {newest}"),
        );
    }
    if snaps.first().is_some_and(|first| first > seq) {
        return refuse(Errno::EINVAL, format!("snap context: {} has ids above seq {seq}", named(snaps)));
    }
    if !snaps.is_sorted_by(|left, right| left > right) || snaps.contains(&0) {
        return refuse(
            Errno::EINVAL,
            format!("snap context: {} is not strictly descending, or has a 0", named(snaps)),
        );
    }
    Ok(())
}

fn named(snaps: &[u64]) -> String {
    few(snaps.iter(), SNAPS_NAMED_MAX)
}
