//! What a store keeps under one name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Extents;

/// Number of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolId(pub u64);

/// Names an object: its HEAD and all of its clones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Where it is.
    pub pool: PoolId,
    /// Unique within the pool.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool.0, self.name)
    }
}

/// Named small values, in byte order.
pub type Attributes = BTreeMap<String, Bytes>;

/// One state of an object, HEAD or a clone. Cloning shares everything; changing a part copies that part's index only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Bytes; at or beyond the end of the data.
    pub size: u64,
    /// Given by the last change.
    pub version: u64,
    /// What is not covered reads as zeros.
    pub data: Arc<Extents>,
    /// Extended attributes.
    pub xattrs: Arc<Attributes>,
    /// The object's key-value map.
    pub omap: Arc<Attributes>,
}

/// Which states of an object are preserved, and for which snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapSet {
    /// The newest snapshot that was known when HEAD was written; 0 = none. Later snapshots see HEAD.
    pub seq: u64,
    /// Clone id to the snapshots it preserves, descending. The id is the newest of them when the clone was made.
    pub clones: BTreeMap<u64, Vec<u64>>,
}
