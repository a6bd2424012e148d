//! Changes that happen together.

use crate::{Object, ObjectId, SnapSet};

/// A list of changes, applied in order, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In the order in which they apply.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets HEAD.
    PutHead {
        /// Which object.
        id: ObjectId,
        /// Its state from here on.
        object: Object,
    },
    /// Removes HEAD; its clones stay. An absent HEAD is fine.
    RemoveHead {
        /// Which object.
        id: ObjectId,
    },
    /// Preserves HEAD as it is: the clone refers to the same bytes. HEAD must exist.
    CloneHead {
        /// Which object.
        id: ObjectId,
        /// The clone's id, not in use.
        clone: u64,
    },
    /// Removes a clone. An absent one is fine.
    RemoveClone {
        /// Which object.
        id: ObjectId,
        /// The clone's id.
        clone: u64,
    },
    /// Replaces what is known of the preserved states; None when nothing is left of the object.
    PutSnapSet {
        /// Which object.
        id: ObjectId,
        /// Known from here on.
        snap_set: Option<SnapSet>,
    },
}
