//! A store that becomes durable when it is told to, fails when it is told to, and loses in a crash what was not durable: what a
//! disk does at its worst.
#![allow(dead_code, reason = "every test program uses its own part")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use store::{
    At, Entry, Extents, HashPlace, MemoryStore, Name, ObjectClone, ObjectId, PoolId, Seq, Stat, Store,
    StoreError, Stored, Totals, Transaction, Wake,
};

/// Keeps everything in memory, and does as its [`Handle`] says.
pub(crate) struct Shaky {
    inside: MemoryStore,
    handle: Handle,
}

/// Says how the store is to behave.
#[derive(Clone, Default)]
pub(crate) struct Handle(Arc<Mutex<Behaviour>>);

#[derive(Default)]
struct Behaviour {
    newest: u64,
    durable: u64,
    /// What a crash leaves.
    survives: MemoryStore,
    /// What it takes: the transactions that are not durable, from the one after `durable` on.
    lost: VecDeque<Transaction>,
    /// `submit` is durable at once.
    is_prompt: bool,
    fails_to_read: Option<StoreError>,
    fails_to_write: Option<StoreError>,
    wake: Option<Wake>,
}

impl Shaky {
    /// Durable at once, without failures, until its handle says otherwise.
    pub(crate) fn new() -> (Self, Handle) {
        let handle = Handle::default();
        handle.with(|behaviour| behaviour.is_prompt = true);
        (Self { inside: MemoryStore::new(), handle: handle.clone() }, handle)
    }

    fn reading<T>(&self, read: impl FnOnce(&MemoryStore) -> Stored<T>) -> Stored<T> {
        match self.handle.with(|behaviour| behaviour.fails_to_read) {
            Some(error) => Err(error),
            None => read(&self.inside),
        }
    }
}

impl Behaviour {
    /// Everything up to there is durable.
    fn settle(&mut self, durable: u64) {
        for transaction in self.lost.drain(..durable.saturating_sub(self.durable) as usize) {
            self.survives.submit(transaction).expect("memory does not fail");
        }
        self.durable = self.durable.max(durable);
    }
}

impl Handle {
    fn with<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut self.0.lock().expect("no test panics in here"))
    }

    /// From here on nothing is durable before [`Handle::catch_up`].
    pub(crate) fn be_late(&self) {
        self.with(|behaviour| behaviour.is_prompt = false);
    }

    /// Everything is durable, from here on at once.
    pub(crate) fn be_prompt(&self) {
        self.with(|behaviour| behaviour.is_prompt = true);
        self.catch_up();
    }

    /// Everything that was submitted is durable.
    pub(crate) fn catch_up(&self) {
        let newest = self.with(|behaviour| behaviour.newest);
        self.reach(Seq(newest));
    }

    pub(crate) fn newest(&self) -> Seq {
        Seq(self.with(|behaviour| behaviour.newest))
    }

    /// Everything up to there is durable.
    pub(crate) fn reach(&self, durable: Seq) {
        self.with(|behaviour| {
            behaviour.settle(durable.0);
            if let Some(wake) = &behaviour.wake {
                wake();
            }
        });
    }

    /// The store that its user finds after a crash. What is submitted to it is durable at once.
    pub(crate) fn crash(&self) -> (Shaky, Self) {
        self.crashed_at(Seq(self.with(|behaviour| behaviour.durable)))
    }

    /// The store that a crash would leave if so much were durable by then.
    pub(crate) fn crashed_at(&self, durable: Seq) -> (Shaky, Self) {
        let (mut store, handle) = Shaky::new();
        self.with(|behaviour| {
            store.inside = behaviour.survives.clone();
            let more = durable.0.saturating_sub(behaviour.durable) as usize;
            for transaction in behaviour.lost.iter().take(more) {
                store.inside.submit(transaction.clone()).expect("memory does not fail");
            }
        });
        handle.with(|after| {
            after.survives = store.inside.clone();
            (after.newest, after.durable) = (durable.0, durable.0);
        });
        (store, handle)
    }

    pub(crate) fn fail_to_read(&self, error: Option<StoreError>) {
        self.with(|behaviour| behaviour.fails_to_read = error);
    }

    pub(crate) fn fail_to_write(&self, error: Option<StoreError>) {
        self.with(|behaviour| behaviour.fails_to_write = error);
    }
}

impl Store for Shaky {
    fn stat(&self, id: &ObjectId, at: At) -> Stored<Option<Stat>> {
        self.reading(|inside| inside.stat(id, at))
    }

    fn read(&self, id: &ObjectId, at: At, offset: u64, length: u64) -> Stored<Extents> {
        self.reading(|inside| inside.read(id, at, offset, length))
    }

    fn xattr(&self, id: &ObjectId, at: At, name: &[u8]) -> Stored<Option<Bytes>> {
        self.reading(|inside| inside.xattr(id, at, name))
    }

    fn xattrs(&self, id: &ObjectId, at: At) -> Stored<Vec<Entry>> {
        self.reading(|inside| inside.xattrs(id, at))
    }

    fn omap_value(&self, id: &ObjectId, at: At, key: &[u8]) -> Stored<Option<Bytes>> {
        self.reading(|inside| inside.omap_value(id, at, key))
    }

    fn omap_range(
        &self,
        id: &ObjectId,
        at: At,
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Entry>> {
        self.reading(|inside| inside.omap_range(id, at, prefix, after, max))
    }

    fn omap_header(&self, id: &ObjectId, at: At) -> Stored<Bytes> {
        self.reading(|inside| inside.omap_header(id, at))
    }

    fn snap_seq(&self, id: &ObjectId) -> Stored<u64> {
        self.reading(|inside| inside.snap_seq(id))
    }

    fn clone_of(&self, id: &ObjectId, snap: u64) -> Stored<Option<u64>> {
        self.reading(|inside| inside.clone_of(id, snap))
    }

    fn clones(&self, id: &ObjectId) -> Stored<Vec<ObjectClone>> {
        self.reading(|inside| inside.clones(id))
    }

    fn list(
        &self,
        pool: PoolId,
        namespace: &[u8],
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Name>> {
        self.reading(|inside| inside.list(pool, namespace, prefix, after, max))
    }

    fn list_by_hash(&self, pool: PoolId, from: &HashPlace, max: usize) -> Stored<Vec<HashPlace>> {
        self.reading(|inside| inside.list_by_hash(pool, from, max))
    }

    fn preserving(&self, pool: PoolId, snap: u64, max: usize) -> Stored<Vec<ObjectId>> {
        self.reading(|inside| inside.preserving(pool, snap, max))
    }

    fn records(&self, prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Entry>> {
        self.reading(|inside| inside.records(prefix, after, max))
    }

    fn totals(&self, pool: PoolId) -> Totals {
        self.inside.totals(pool)
    }

    fn user_version(&self, pool: PoolId) -> u64 {
        self.inside.user_version(pool)
    }

    fn submit(&mut self, transaction: Transaction) -> Stored<Seq> {
        if let Some(error) = self.handle.with(|behaviour| behaviour.fails_to_write) {
            return Err(error);
        }
        let seq = self.inside.submit(transaction.clone())?;
        self.handle.with(|behaviour| {
            behaviour.newest = seq.0;
            behaviour.lost.push_back(transaction);
            if behaviour.is_prompt {
                behaviour.settle(seq.0);
            }
        });
        Ok(seq)
    }

    fn newest(&self) -> Seq {
        self.inside.newest()
    }

    fn durable(&self) -> Seq {
        Seq(self.handle.with(|behaviour| behaviour.durable))
    }

    fn wake_when_durable(&mut self, wake: Wake) {
        self.handle.with(|behaviour| behaviour.wake = Some(wake));
    }
}
