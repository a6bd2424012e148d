//! Giving up what only a removed snapshot needed.

use store::{Change, PoolId, Store, Transaction};

/// The transactions that take `snap_id` out of every object of the pool, one for each object: a clone that preserves no
/// other snapshot is removed. HEADs and their versions do not change.
pub fn trim<S: Store>(store: &S, pool: PoolId, snap_id: u64) -> Vec<Transaction> {
    let objects = store.preserving(pool, snap_id).into_iter();
    objects.filter_map(|id| trim_object(store, id, snap_id)).collect()
}

fn trim_object<S: Store>(store: &S, id: store::ObjectId, snap_id: u64) -> Option<Transaction> {
    let mut snap_set = store.snap_set(&id)?.as_ref().clone();
    let mut changes = Vec::new();
    for (&clone, snaps) in &mut snap_set.clones {
        snaps.retain(|&snap| snap != snap_id);
        if snaps.is_empty() {
            changes.push(Change::RemoveClone { id: id.clone(), clone });
        }
    }
    snap_set.clones.retain(|_, snaps| !snaps.is_empty());
    let is_needed = !snap_set.clones.is_empty() || store.object(&id, None).is_some();
    changes.push(Change::PutSnapSet { id, snap_set: is_needed.then_some(snap_set) });
    Some(Transaction { changes })
}
