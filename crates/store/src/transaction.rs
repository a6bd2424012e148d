//! Changes that happen together.

use bytes::Bytes;

use crate::{Name, ObjectId};

/// A list of changes, applied in order, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In the order in which they apply.
    pub changes: Vec<Change>,
}

/// One change. It says what is changed, and not what the object then is: its cost is that of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of one object.
    Object {
        /// Which one.
        id: ObjectId,
        /// In the order in which they apply.
        changes: Vec<ObjectChange>,
    },
    /// Of a record beside the objects.
    Record {
        /// Which one.
        key: Name,
        /// What it says from here on; `None` = it is gone, an absent one is fine.
        value: Option<Bytes>,
    },
}

/// One change of an object. All but [`Create`](Self::Create), [`SnapSeq`](Self::SnapSeq), [`Restore`](Self::Restore),
/// [`Stamp`](Self::Stamp) and [`DropSnap`](Self::DropSnap) need HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectChange {
    /// Makes an empty HEAD where there is none.
    Create,
    /// Removes HEAD; its clones stay.
    Remove,
    /// Replaces bytes; HEAD reaches to the end of them at least, also when there are none.
    Write {
        /// Bytes from the start.
        offset: u64,
        /// Copied: what it is a part of is not kept.
        data: Bytes,
    },
    /// Makes a hole.
    Zero {
        /// Bytes from the start.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Sets the size; what is added is a hole.
    Truncate {
        /// Bytes.
        size: u64,
    },
    /// Sets an extended attribute.
    SetXattr {
        /// Which one.
        name: Name,
        /// Copied.
        value: Bytes,
    },
    /// An absent one is fine.
    RemoveXattr {
        /// Which one.
        name: Name,
    },
    /// Sets a key of the object's map.
    OmapSet {
        /// Which one.
        key: Name,
        /// Copied.
        value: Bytes,
    },
    /// An absent one is fine.
    OmapRemove {
        /// Which one.
        key: Name,
    },
    /// Sets what the object's map has besides its keys; empty = nothing.
    OmapHeader {
        /// Copied.
        header: Bytes,
    },
    /// Preserves HEAD as it is: the clone shares everything with it until one of them changes.
    Clone {
        /// Its id, not in use.
        clone: u64,
        /// For which snapshots, descending.
        snaps: Vec<u64>,
    },
    /// Makes HEAD what a clone is.
    Restore {
        /// Which one; it must exist.
        clone: u64,
    },
    /// Later snapshots than this see HEAD.
    SnapSeq {
        /// The newest snapshot that is known.
        seq: u64,
    },
    /// A snapshot is preserved no longer; the clone goes with its last one. A snapshot that is not preserved is fine.
    DropSnap {
        /// Which one.
        snap: u64,
    },
    /// Ends every change that clients made: HEAD's version, if there is one, and the newest version of the pool.
    Stamp {
        /// Above all that the pool has given.
        version: u64,
        /// Nanoseconds of Unix time.
        mtime_unix_ns: u64,
    },
}
