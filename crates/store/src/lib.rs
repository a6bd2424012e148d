//! Where bytes live: objects and their preserved states, transactions over them, and the store that keeps them in memory.
//!
//! A store knows nothing of protocols. Its user reads through [`Store`], makes a [`Transaction`] and submits it; a
//! transaction is visible at once and durable when [`Store::durable`] has reached its sequence number.

mod extents;
mod memory;
mod object;
mod transaction;

pub use extents::{Extents, SMALL_PIECE_BYTES};
pub use memory::MemoryStore;
pub use object::{Attributes, Object, ObjectId, PoolId, SnapSet};
pub use transaction::{Change, Transaction};

use std::sync::Arc;

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

/// Keeps objects. Reads see every submitted transaction, durable or not.
pub trait Store {
    /// HEAD (`clone` = None) or one clone of an object.
    fn object(&self, id: &ObjectId, clone: Option<u64>) -> Option<Arc<Object>>;
    /// What is known of an object's preserved states. Outlives HEAD while there are clones.
    fn snap_set(&self, id: &ObjectId) -> Option<Arc<SnapSet>>;
    /// Names of the objects of a pool that have a HEAD: in byte order, starting with `prefix`, greater than `after`, at
    /// most `max`.
    fn list(&self, pool: PoolId, prefix: &str, after: &str, max: usize) -> Vec<String>;
    /// The objects that have a clone which preserves `snap`, by name.
    fn preserving(&self, pool: PoolId, snap: u64) -> Vec<ObjectId>;
    /// What a pool holds.
    fn totals(&self, pool: PoolId) -> Totals;
    /// Makes all changes visible, in order, and names their sequence number.
    fn submit(&mut self, transaction: Transaction) -> Seq;
    /// The newest submitted sequence number.
    fn newest(&self) -> Seq;
    /// Everything up to here survives.
    fn durable(&self) -> Seq;
}
