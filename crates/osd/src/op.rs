//! Op vectors: what a client asks of one object, and what it gets.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::{Extents, Name, ObjectClone};

use crate::WatcherInfo;
pub use crate::vector::{Assertions, Checksum, Checksums, Comparison, Door, Op, Operand, Source, Terms};

/// A request on one object: all of its ops happen, or none.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Pool name.
    pub pool: String,
    /// Of the object, within the pool; the empty one is the default.
    pub namespace: Name,
    /// Object name.
    pub object: Name,
    /// `None` = HEAD. Only for vectors that do not mutate.
    pub snap_id: Option<u64>,
    /// Under which snapshots a write is made.
    pub snap_context: SnapContext,
    /// Whose rules hold, and what else is asked for.
    pub terms: Terms,
    /// Executed in order.
    pub ops: Vec<Op>,
}

/// How the input and the output of a class method are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The messages of `proto/cls`.
    Protobuf,
    /// As Ceph's classes have them.
    Ceph,
}

/// The snapshots that exist when a write is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapContext {
    /// Newest snapshot id ever; 0 = none.
    pub seq: u64,
    /// Existing snapshots, descending, none above `seq`.
    pub snaps: Vec<u64>,
}

/// What came of one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpResult {
    /// As RADOS numbers it: 0, or 1 for a comparison that holds; negative for an error, of an op that may fail or in a
    /// vector that was refused.
    pub number: i32,
    /// The answer.
    pub output: Output,
}

/// The answer to one op.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "most fields are those of osd.proto, documented there")]
pub enum Output {
    Done,
    /// Bytes by reference, resolved outside of the OSD's step: `length` bytes from `offset` on.
    Read {
        data: Extents,
        offset: u64,
        length: u64,
    },
    /// At the object's offsets.
    SparseRead {
        data: Extents,
    },
    Stat {
        size: u64,
        version: u64,
        mtime_unix_ns: u64,
    },
    Xattrs {
        entries: Entries,
    },
    Omap {
        entries: Entries,
        more: bool,
    },
    Exec {
        output: Bytes,
    },
    Keys {
        keys: Vec<Name>,
        more: bool,
    },
    /// Of the object's map.
    Header {
        header: Bytes,
    },
    Checksums {
        checksums: Checksums,
        /// Bytes that they are of.
        summed: u64,
    },
    ListSnaps {
        seq: u64,
        clones: Vec<ObjectClone>,
        /// Size of HEAD; `None` = there is none.
        head_bytes: Option<u64>,
    },
    Watchers {
        watchers: Vec<WatcherInfo>,
    },
    Notified {
        notify_id: u64,
    },
}

/// Keys and their values.
pub type Entries = BTreeMap<Name, Bytes>;

impl From<Output> for OpResult {
    fn from(output: Output) -> Self {
        Self { number: 0, output }
    }
}
