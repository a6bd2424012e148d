//! Inputs and answers of methods that are more than one or two values.

use super::{ParentImageSpec, SnapshotNamespace};
use crate::tail::Tail;

records! {
    /// `create`: what an image is when it begins.
    #[derive(Eq)]
    CreateImage {
        /// Bytes.
        size: u64,
        /// Binary logarithm of a data object's bytes.
        order: u8,
        /// Feature bits.
        features: u64,
        /// What the names of its data objects begin with.
        object_prefix: String,
        /// The pool of its data objects, if that is another one; -1 = it is not.
        data_pool: Tail<i64>,
    }

    /// `get_features`.
    #[derive(Eq)]
    GetFeatures {
        /// Of no concern.
        snap_id: u64,
        /// Whether the image is opened for reading only.
        is_read_only: Tail<bool>,
    }

    /// The answer of `get_features`.
    #[derive(Copy, Eq)]
    Features {
        /// Feature bits.
        features: u64,
        /// Those of them that a client has to know.
        incompatible: u64,
    }

    /// `set_flags`.
    #[derive(Eq)]
    SetFlags {
        /// Their values.
        flags: u64,
        /// Those that change.
        mask: u64,
        /// Of a snapshot; HEAD's without it.
        snap_id: Tail<u64>,
    }

    /// `snapshot_add`.
    #[derive(Eq)]
    SnapshotAdd {
        /// Its name.
        name: String,
        /// Its id.
        id: u64,
        /// What it is for; a user's without it.
        namespace: Tail<SnapshotNamespace>,
    }

    /// `parent_attach`.
    #[derive(Eq)]
    ParentAttach {
        /// The parent.
        spec: ParentImageSpec,
        /// Bytes that the parent has.
        overlap: u64,
        /// Whether a parent whose overlap HEAD lost comes back.
        is_reattach: Tail<bool>,
    }

    /// `set_parent`, as clients before Nautilus call it; also the answer of their `get_parent`.
    #[derive(Eq)]
    SetParent {
        /// The parent's pool.
        pool: i64,
        /// Id of the image.
        image_id: String,
        /// Id of the snapshot.
        snap_id: u64,
        /// Bytes that may be read from it.
        overlap: u64,
    }
}
