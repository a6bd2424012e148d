//! Which objects an image has, and what a run left of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::{Event, Fact};

/// The object that knows the images of a pool.
const DIRECTORY: &str = "rbd_directory";
/// Start of the names of header objects.
const HEADER: &str = "rbd_header.";

/// The objects of an image that uses the exclusive lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageObjects {
    /// Pool of all of them.
    pub pool: String,
    /// Name of the header object, e.g. "rbd_header.1".
    pub header: String,
    /// Start of the data objects' names, e.g. "rbd_data.1".
    pub object_prefix: String,
}

impl ImageObjects {
    pub(crate) fn is_header(&self, event: &Event) -> bool {
        event.pool == self.pool && event.object == self.header
    }

    pub(crate) fn is_data(&self, event: &Event) -> bool {
        let number = event.object.strip_prefix(&self.object_prefix).and_then(|rest| rest.strip_prefix('.'));
        event.pool == self.pool && number.is_some()
    }

    /// Whether the event is a change of a data object.
    pub fn is_change_of_data(&self, event: &Event) -> bool {
        matches!(event.fact, Fact::Applied(_)) && self.is_data(event)
    }

    /// Whether the event is a change of this image by this op: of its header, or of the directory under its id.
    pub(crate) fn is_commit(&self, event: &Event, op: &str) -> bool {
        let Fact::Applied(ops) = &event.fact else { return false };
        let is_of_entry = || {
            let id = event.argument(op).and_then(|argument| argument.split(' ').next());
            event.pool == self.pool && event.object == DIRECTORY && id.is_some_and(|id| id == self.id())
        };
        ops.iter().any(|applied| applied == op) && (self.is_header(event) || is_of_entry())
    }

    fn id(&self) -> &str {
        self.header.strip_prefix(HEADER).unwrap_or_default()
    }

    /// An image of the same pool, as a history names it.
    pub(crate) fn spec(&self, name: &str) -> String {
        format!("{}/{name}", self.pool)
    }
}

/// What there was when everything had come to rest, by image. Images have the names that the history gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalState {
    /// Every image.
    pub images: BTreeMap<String, FinalImage>,
}

/// One image at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalImage {
    /// Bytes.
    pub size: u64,
    /// Its snapshots.
    #[serde(default)]
    pub snapshots: Vec<FinalSnapshot>,
    /// Its parent, as its own header says.
    #[serde(default)]
    pub parent: Option<FinalParent>,
}

/// A snapshot at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalSnapshot {
    /// Its name.
    pub name: String,
    /// Whether it may not be removed.
    #[serde(default)]
    pub protected: bool,
    /// It was removed, and is kept for its clones.
    #[serde(default)]
    pub in_trash: bool,
    /// Images that are listed as its clones.
    #[serde(default)]
    pub children: Vec<String>,
}

/// The parent of an image at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalParent {
    /// The other image.
    pub image: String,
    /// Name of its snapshot.
    pub snap: String,
    /// Whether HEAD still needs it; else only snapshots do.
    pub head: bool,
}

/// A snapshot of an image, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// The image.
    pub image: String,
    /// The snapshot.
    pub snap: String,
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.image, self.snap)
    }
}
