//! Op vectors: what a client asks of one object, and what it gets.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::Extents;

/// A request on one object: all of its ops happen, or none.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Pool name.
    pub pool: String,
    /// Object name.
    pub object: String,
    /// `None` = HEAD. Only for vectors that do not mutate.
    pub snap_id: Option<u64>,
    /// Under which snapshots a write is made.
    pub snap_context: SnapContext,
    /// Executed in order.
    pub ops: Vec<Op>,
}

/// The snapshots that exist when a write is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapContext {
    /// Newest snapshot id ever; 0 = none.
    pub seq: u64,
    /// Existing snapshots, descending, none above `seq`.
    pub snaps: Vec<u64>,
}

/// One op. The rules and errors of each stand at its message in `osd.proto`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of osd.proto, documented there")]
pub enum Op {
    Read { offset: u64, length: u64 },
    SparseRead { offset: u64, length: u64 },
    Stat,
    AssertExists,
    AssertVersion { version: u64 },
    Write { offset: u64, data: Bytes },
    WriteFull { data: Bytes },
    Truncate { size: u64 },
    Zero { offset: u64, length: u64 },
    Create { exclusive: bool },
    Remove,
    GetXattr { name: String },
    ListXattrs,
    SetXattr { name: String, value: Bytes },
    RemoveXattr { name: String },
    CompareXattr { name: String, value: Bytes },
    OmapList { after: String, prefix: String, max: u32 },
    OmapGet { keys: Vec<String> },
    OmapSet { entries: BTreeMap<String, Bytes> },
    OmapRemove { keys: Vec<String> },
    OmapCompare { key: String, value: Option<Bytes> },
    Exec { class: String, method: String, input: Bytes },
    ListSnaps,
    Rollback { snap_id: u64 },
}

/// The answer to one op.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of osd.proto, documented there")]
pub enum OpResult {
    Done,
    /// Bytes by reference, resolved outside of the OSD's step: `length` bytes from 0, where 0 is the read's offset.
    Read {
        data: Extents,
        length: u64,
    },
    /// At the object's offsets.
    SparseRead {
        data: Extents,
    },
    Stat {
        size: u64,
        version: u64,
    },
    Xattrs {
        entries: BTreeMap<String, Bytes>,
    },
    Omap {
        entries: BTreeMap<String, Bytes>,
        more: bool,
    },
    Exec {
        output: Bytes,
    },
    ListSnaps {
        seq: u64,
        clones: Vec<ObjectClone>,
        head_exists: bool,
    },
}

/// A preserved state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectClone {
    /// The newest snapshot it preserves.
    pub id: u64,
    /// All snapshots it preserves, descending.
    pub snaps: Vec<u64>,
    /// Bytes.
    pub size: u64,
}
