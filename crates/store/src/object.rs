//! What a store keeps under one name, as its readers see it.

use std::fmt;

use bytes::Bytes;

use crate::{Intervals, Name};

/// Number of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolId(pub u64);

/// Names an object: its HEAD and all of its clones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Where it is.
    pub pool: PoolId,
    /// A part of the pool with names of its own; the empty one is the default.
    pub namespace: Name,
    /// Unique within the namespace.
    pub name: Name,
}

impl ObjectId {
    /// In the default namespace.
    pub fn new(pool: PoolId, name: impl Into<Name>) -> Self {
        Self { pool, namespace: Name::default(), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.pool.0)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}", self.name)
    }
}

/// One state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// As it is.
    Head,
    /// As it was preserved.
    Clone(u64),
}

/// What is known of a state without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Bytes; at or beyond the end of the data.
    pub size: u64,
    /// Given by the last change.
    pub version: u64,
    /// When the last change was made, in nanoseconds of Unix time.
    pub mtime_unix_ns: u64,
    /// Extended attributes and keys of the map.
    pub entries: u64,
    /// Bytes of their names and values, and of the map's header.
    pub entry_bytes: u64,
}

impl Stat {
    /// One entry `name` had the value `former` and has `value`; `None` = it is not there.
    pub fn replace_entry(&mut self, name: &[u8], former: Option<&Bytes>, value: Option<&Bytes>) {
        let bytes = |value: Option<&Bytes>| value.map_or(0, |value| (name.len() + value.len()) as u64);
        self.entries = self.entries + u64::from(value.is_some()) - u64::from(former.is_some());
        self.entry_bytes = self.entry_bytes + bytes(value) - bytes(former);
    }
}

/// A preserved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectClone {
    /// The newest snapshot that it preserved when it was made.
    pub id: u64,
    /// The snapshots that it preserves, descending.
    pub snaps: Vec<u64>,
    /// Bytes.
    pub size: u64,
    /// Its bytes that were not written since it was made, in the next newer clone or, for the newest one, in HEAD: what was
    /// written counts, not whether it differs.
    pub overlap: Intervals,
}

/// A place in the order of [`Store::list_by_hash`](crate::Store::list_by_hash); the default is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashPlace {
    /// Of namespace and name, its bits reversed.
    pub hash: u32,
    /// Of the object.
    pub namespace: Name,
    /// Of the object.
    pub name: Name,
}
