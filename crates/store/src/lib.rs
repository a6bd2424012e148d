//! Where bytes live: objects and their preserved states, records of their user, transactions over both, and the store that keeps
//! them in memory.
//!
//! A store knows nothing of protocols. Its user reads through [`Store`], makes a [`Transaction`] and submits it; a
//! transaction is visible at once and durable when [`Store::durable`] has reached its sequence number.

mod boxed;
mod data;
mod extents;
mod hash;
mod intervals;
mod memory;
mod name;
mod object;
mod transaction;

pub use data::{Data, PIECE_BYTES_MAX};
pub use extents::Extents;
pub use hash::object_hash;
pub use intervals::Intervals;
pub use memory::MemoryStore;
pub use name::Name;
pub use object::{At, HashPlace, ObjectClone, ObjectId, PoolId, Stat};
pub use transaction::{Change, ObjectChange, Transaction};

use bytes::Bytes;

/// Sequence number of a submitted transaction, from 1. Orders everything in one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// What a pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects that have a HEAD.
    pub objects: u64,
    /// Data bytes of HEADs and clones. Bytes that several of them share count for each.
    pub bytes: u64,
}

/// Why a store did not do what it was asked for. Nothing of it has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// What is stored cannot be read or written.
    Io,
    /// There is no room.
    NoSpace,
}

/// What a store answers.
pub type Stored<T> = Result<T, StoreError>;

/// Tells somebody to look again.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// A key and its value.
pub type Entry = (Name, Bytes);

/// Keeps objects, and records beside them. Reads see every submitted transaction, durable or not.
///
/// What is read of an object that is not there is nothing: no bytes, no value, no entries.
pub trait Store {
    /// `None` when there is no such state.
    fn stat(&self, id: &ObjectId, at: At) -> Stored<Option<Stat>>;
    /// The data in a range, by reference, at the object's offsets.
    fn read(&self, id: &ObjectId, at: At, offset: u64, length: u64) -> Stored<Extents>;
    /// The value of an extended attribute.
    fn xattr(&self, id: &ObjectId, at: At, name: &[u8]) -> Stored<Option<Bytes>>;
    /// All extended attributes, in byte order.
    fn xattrs(&self, id: &ObjectId, at: At) -> Stored<Vec<Entry>>;
    /// The value of a key of the object's map.
    fn omap_value(&self, id: &ObjectId, at: At, key: &[u8]) -> Stored<Option<Bytes>>;
    /// Keys of the object's map that start with `prefix` and are greater than `after`, in byte order, at most `max`.
    fn omap_range(
        &self,
        id: &ObjectId,
        at: At,
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Entry>>;
    /// What the object's map has besides its keys; empty when it has nothing.
    fn omap_header(&self, id: &ObjectId, at: At) -> Stored<Bytes>;
    /// The newest snapshot that was known when HEAD was written; 0 = none. Later snapshots see HEAD.
    fn snap_seq(&self, id: &ObjectId) -> Stored<u64>;
    /// The clone that preserves a snapshot.
    fn clone_of(&self, id: &ObjectId, snap: u64) -> Stored<Option<u64>>;
    /// All clones, ascending.
    fn clones(&self, id: &ObjectId) -> Stored<Vec<ObjectClone>>;
    /// Names of the objects of a namespace that have a HEAD: in byte order, starting with `prefix`, greater than `after`,
    /// at most `max`.
    fn list(
        &self,
        pool: PoolId,
        namespace: &[u8],
        prefix: &[u8],
        after: &[u8],
        max: usize,
    ) -> Stored<Vec<Name>>;
    /// The objects of all namespaces of a pool that have a HEAD, from a place on, at most `max`, in the order of places: by
    /// [`object_hash`], namespace and name.
    fn list_by_hash(&self, pool: PoolId, from: &HashPlace, max: usize) -> Stored<Vec<HashPlace>>;
    /// Objects that have a clone which preserves `snap`, at most `max`.
    fn preserving(&self, pool: PoolId, snap: u64, max: usize) -> Stored<Vec<ObjectId>>;
    /// Records whose keys start with `prefix` and are greater than `after`, in byte order, at most `max`.
    fn records(&self, prefix: &[u8], after: &[u8], max: usize) -> Stored<Vec<Entry>>;
    /// What a pool holds.
    fn totals(&self, pool: PoolId) -> Totals;
    /// The newest version that the pool has given to an object; 0 = none. It never goes back.
    fn user_version(&self, pool: PoolId) -> u64;
    /// Makes all changes visible, in order, and names their sequence number.
    fn submit(&mut self, transaction: Transaction) -> Stored<Seq>;
    /// The newest submitted sequence number.
    fn newest(&self) -> Seq;
    /// Everything up to here survives.
    fn durable(&self) -> Seq;
    /// From here on `wake` is called, from any thread, whenever [`Store::durable`] has gone on otherwise than within
    /// [`Store::submit`].
    fn wake_when_durable(&mut self, wake: Wake);
}
