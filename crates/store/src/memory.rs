//! The store that forgets: everything in memory, durable at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use self::pool::Pool;
use self::record::{Attributes, Object, Record};
use crate::{
    At, Change, Entry, Extents, HashPlace, Name, ObjectClone, ObjectId, PoolId, Seq, Stat, Store, Stored,
    Totals, Transaction, Wake,
};

mod pool;
mod record;

/// Keeps everything in memory. What is submitted is durable at once, as far as memory goes.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    pools: BTreeMap<PoolId, Pool>,
    records: BTreeMap<Name, Bytes>,
    newest: Seq,
}

impl MemoryStore {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn record(&self, id: &ObjectId) -> Option<&Record> {
        self.pools.get(&id.pool)?.record(&id.namespace, &id.name)
    }

    fn state(&self, id: &ObjectId, at: At) -> Option<&Object> {
        self.record(id)?.state(at)
    }
}

impl Store for MemoryStore {
    fn stat(&self, id: &ObjectId, at: At) -> Stored<Option<Stat>> {
        Ok(self.state(id, at).map(Object::stat))
    }

    fn read(&self, id: &ObjectId, at: At, offset: u64, length: u64) -> Stored<Extents> {
        Ok(self.state(id, at).map(|object| object.data.read(offset, length)).unwrap_or_default())
    }

    fn xattr(&self, id: &ObjectId, at: At, name: &[u8]) -> Stored<Option<Bytes>> {
        Ok(self.state(id, at).and_then(|object| object.attributes()?.xattrs.get(name).cloned()))
    }

    fn xattrs(&self, id: &ObjectId, at: At) -> Stored<Vec<Entry>> {
        let attributes = self.state(id, at).and_then(Object::attributes);
        let xattrs = attributes.into_iter().flat_map(|attributes| &attributes.xattrs);
        Ok(xattrs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn omap_value(&self, id: &ObjectId, at: At, key: &[u8]) -> Stored<Option<Bytes>> {
        Ok(self.state(id, at).and_then(|object| object.attributes()?.omap.get(key).cloned()))
    }

    fn omap_range(
        &self,
        id: &ObjectId,
        at: At,
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Entry>> {
        let Some(Attributes { omap, .. }) = self.state(id, at).and_then(Object::attributes) else {
            return Ok(Vec::new());
        };
        let entries = omap.range::<_, [u8]>((start(prefix, after), Bound::Unbounded));
        let entries = entries.take_while(|(key, _)| key.starts_with(prefix)).take(max);
        Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn omap_header(&self, id: &ObjectId, at: At) -> Stored<Bytes> {
        let attributes = self.state(id, at).and_then(Object::attributes);
        Ok(attributes.map(|attributes| attributes.header.clone()).unwrap_or_default())
    }

    fn snap_seq(&self, id: &ObjectId) -> Stored<u64> {
        Ok(self.record(id).and_then(Record::preserved).map_or(0, |preserved| preserved.seq))
    }

    fn clone_of(&self, id: &ObjectId, snap: u64) -> Stored<Option<u64>> {
        Ok(self.record(id).and_then(Record::preserved).and_then(|preserved| preserved.clone_of(snap)))
    }

    fn clones(&self, id: &ObjectId) -> Stored<Vec<ObjectClone>> {
        let preserved = self.record(id).and_then(Record::preserved);
        let clones = preserved.into_iter().flat_map(|preserved| &preserved.clones);
        let clones = clones.map(|(&id, clone)| ObjectClone {
            id,
            snaps: clone.snaps.clone(),
            size: clone.object.size,
            overlap: clone.overlap.clone(),
        });
        Ok(clones.collect())
    }

    fn list(
        &self,
        pool: PoolId,
        namespace: &[u8],
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Name>> {
        let Some(records) = self.pools.get(&pool).and_then(|pool| pool.namespaces.get(namespace)) else {
            return Ok(Vec::new());
        };
        let names = records
            .range::<[u8], _>((start(prefix, after), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, record)| record.head.is_some())
            .take(max)
            .map(|(name, _)| name.clone());
        Ok(names.collect())
    }

    fn list_by_hash(&self, pool: PoolId, from: &HashPlace, max: usize) -> Stored<Vec<HashPlace>> {
        let Some(pool) = self.pools.get(&pool) else { return Ok(Vec::new()) };
        let has_head = |place: &&HashPlace| {
            pool.record(&place.namespace, &place.name).is_some_and(|record| record.head.is_some())
        };
        Ok(pool.by_hash.range(from..).filter(has_head).take(max).cloned().collect())
    }

    fn preserving(&self, pool: PoolId, snap: u64, max: usize) -> Stored<Vec<ObjectId>> {
        let places = self.pools.get(&pool).and_then(|pool| pool.preserving.get(&snap));
        let id = |(namespace, name): &(Name, Name)| ObjectId {
            pool,
            namespace: namespace.clone(),
            name: name.clone(),
        };
        Ok(places.into_iter().flatten().take(max).map(id).collect())
    }

    fn records(&self, prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Entry>> {
        let records = self.records.range::<[u8], _>((start(prefix, after), Bound::Unbounded));
        let records = records.take_while(|(key, _)| key.starts_with(prefix)).take(max);
        Ok(records.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn totals(&self, pool: PoolId) -> Totals {
        self.pools.get(&pool).map(|pool| pool.totals).unwrap_or_default()
    }

    fn user_version(&self, pool: PoolId) -> u64 {
        self.pools.get(&pool).map_or(0, |pool| pool.user_version)
    }

    fn submit(&mut self, transaction: Transaction) -> Stored<Seq> {
        for change in transaction.changes {
            match change {
                Change::Object { id, changes } => self.pools.entry(id.pool).or_default().apply(&id, changes),
                Change::Record { key, value: Some(value) } => drop(self.records.insert(key, value)),
                Change::Record { key, value: None } => drop(self.records.remove(&key)),
            }
        }
        self.newest.0 += 1;
        Ok(self.newest)
    }

    fn newest(&self) -> Seq {
        self.newest
    }

    fn durable(&self) -> Seq {
        self.newest
    }

    /// Nothing here becomes durable later.
    fn wake_when_durable(&mut self, _: Wake) {}
}

/// Where a listing begins.
fn start<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    if after >= prefix && !after.is_empty() { Bound::Excluded(after) } else { Bound::Included(prefix) }
}

/// Objects by snapshot.
type Preserving = BTreeMap<u64, BTreeSet<(Name, Name)>>;
