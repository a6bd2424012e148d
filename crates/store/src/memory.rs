//! The store that forgets: everything in memory, durable at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Change, Object, ObjectId, PoolId, Seq, SnapSet, Store, Totals, Transaction};

/// Keeps everything in memory. What is submitted is durable at once, as far as memory goes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pools: BTreeMap<PoolId, Pool>,
    newest: Seq,
}

#[derive(Debug, Default)]
struct Pool {
    records: BTreeMap<String, Record>,
    /// Snapshot to the names of the objects with a clone that preserves it; follows the snap sets.
    preserving: BTreeMap<u64, BTreeSet<String>>,
    totals: Totals,
}

/// Everything under one name.
#[derive(Debug, Default)]
struct Record {
    head: Option<Arc<Object>>,
    clones: BTreeMap<u64, Arc<Object>>,
    snap_set: Option<Arc<SnapSet>>,
}

impl MemoryStore {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn record(&self, id: &ObjectId) -> Option<&Record> {
        self.pools.get(&id.pool)?.records.get(&id.name)
    }
}

impl Store for MemoryStore {
    fn object(&self, id: &ObjectId, clone: Option<u64>) -> Option<Arc<Object>> {
        let record = self.record(id)?;
        match clone {
            None => record.head.clone(),
            Some(clone) => record.clones.get(&clone).cloned(),
        }
    }

    fn snap_set(&self, id: &ObjectId) -> Option<Arc<SnapSet>> {
        self.record(id)?.snap_set.clone()
    }

    fn list(&self, pool: PoolId, prefix: &str, after: &str, max: usize) -> Vec<String> {
        let Some(pool) = self.pools.get(&pool) else { return Vec::new() };
        let start = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        pool.records
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, record)| record.head.is_some())
            .take(max)
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn preserving(&self, pool: PoolId, snap: u64) -> Vec<ObjectId> {
        let names = self.pools.get(&pool).and_then(|pool| pool.preserving.get(&snap));
        names.into_iter().flatten().map(|name| ObjectId { pool, name: name.clone() }).collect()
    }

    fn totals(&self, pool: PoolId) -> Totals {
        self.pools.get(&pool).map(|pool| pool.totals).unwrap_or_default()
    }

    fn submit(&mut self, transaction: Transaction) -> Seq {
        for change in transaction.changes {
            self.apply(change);
        }
        self.newest.0 += 1;
        self.newest
    }

    fn newest(&self) -> Seq {
        self.newest
    }

    fn durable(&self) -> Seq {
        self.newest
    }
}

impl MemoryStore {
    fn apply(&mut self, change: Change) {
        match change {
            Change::PutHead { id, object } => self.pool(id.pool).set_head(&id.name, Some(Arc::new(object))),
            Change::RemoveHead { id } => self.pool(id.pool).set_head(&id.name, None),
            Change::CloneHead { id, clone } => self.pool(id.pool).clone_head(&id.name, clone),
            Change::RemoveClone { id, clone } => self.pool(id.pool).remove_clone(&id.name, clone),
            Change::PutSnapSet { id, snap_set } => self.pool(id.pool).set_snap_set(&id.name, snap_set),
        }
    }

    fn pool(&mut self, id: PoolId) -> &mut Pool {
        self.pools.entry(id).or_default()
    }
}

impl Pool {
    fn set_head(&mut self, name: &str, head: Option<Arc<Object>>) {
        if let Some(head) = &head {
            self.totals.objects += 1;
            self.totals.bytes += head.data.allocated();
        }
        let record = self.record(name);
        if let Some(old) = std::mem::replace(&mut record.head, head) {
            self.totals.objects -= 1;
            self.totals.bytes -= old.data.allocated();
        }
        self.drop_if_empty(name);
    }

    fn clone_head(&mut self, name: &str, clone: u64) {
        let record = self.record(name);
        let head = record.head.clone().expect("a transaction clones only a HEAD that exists");
        let bytes = head.data.allocated();
        let replaced = record.clones.insert(clone, head);
        self.totals.bytes += bytes;
        assert!(replaced.is_none(), "clone ids of an object are never used twice");
    }

    fn remove_clone(&mut self, name: &str, clone: u64) {
        if let Some(old) = self.records.get_mut(name).and_then(|record| record.clones.remove(&clone)) {
            self.totals.bytes -= old.data.allocated();
        }
        self.drop_if_empty(name);
    }

    fn set_snap_set(&mut self, name: &str, snap_set: Option<SnapSet>) {
        let record = self.record(name);
        let old = std::mem::replace(&mut record.snap_set, snap_set.map(Arc::new));
        let kept = record.snap_set.clone();
        for snap in old.iter().flat_map(|set| set.clones.values().flatten()) {
            if let Some(names) = self.preserving.get_mut(snap) {
                names.remove(name);
                if names.is_empty() {
                    self.preserving.remove(snap);
                }
            }
        }
        for &snap in kept.iter().flat_map(|set| set.clones.values().flatten()) {
            self.preserving.entry(snap).or_default().insert(name.to_owned());
        }
        self.drop_if_empty(name);
    }

    /// The record of a name; made when missing.
    fn record(&mut self, name: &str) -> &mut Record {
        if !self.records.contains_key(name) {
            self.records.insert(name.to_owned(), Record::default());
        }
        self.records.get_mut(name).expect("it is there, or was made above")
    }

    fn drop_if_empty(&mut self, name: &str) {
        let is_empty =
            |record: &Record| record.head.is_none() && record.clones.is_empty() && record.snap_set.is_none();
        if self.records.get(name).is_some_and(is_empty) {
            self.records.remove(name);
        }
    }
}
