use std::sync::Arc;

use errno::Errno;
use rados::IoCtx;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::parent::ParentImage;
use crate::striping::Layout;

/// What an image's header said at one moment. Immutable: an I/O captures one `Arc` of it and works under it to its end; a
/// refresh replaces it.
#[derive(Debug)]
pub struct ImageState {
    /// Counts the states of one open image, from 1.
    pub generation: u64,
    /// Version of the header object that it was read from.
    pub header_version: u64,
    /// Image id.
    pub id: String,
    /// Bytes of HEAD.
    pub size: u64,
    /// log2 of the object size.
    pub order: u32,
    /// Without the internal ones.
    pub features: Features,
    /// Where the bytes are.
    pub layout: Layout,
    /// Where the data objects are, if not in the image's pool.
    pub data_pool: Option<IoCtx>,
    /// Start of the data objects' names.
    pub object_prefix: String,
    /// Newest snapshot id ever used.
    pub snap_seq: u64,
    /// Descending by id.
    pub snapshots: Vec<Snapshot>,
    /// `None` = never cloned, or nobody needs the parent any more.
    pub parent: Option<ParentLink>,
    /// Operation features (Ceph's bits).
    pub op_features: u64,
    /// Ceph's flags.
    pub flags: u64,
    /// When it was created, last read and last written.
    pub times: Times,
}

/// Moments of an image's life by the OSD's wall clock, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it was created.
    pub created_unix_ms: u64,
    /// When it was last read, as far as that is recorded.
    pub accessed_unix_ms: u64,
    /// When it was last written, as far as that is recorded.
    pub modified_unix_ms: u64,
}

/// One snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Pool-wide id.
    pub id: u64,
    /// Unique in the image.
    pub name: String,
    /// Bytes of the image when it was taken.
    pub size: u64,
    /// Whether it may be removed.
    pub protection: Protection,
    /// Bytes from the start that may come from the parent; `None` = it has no parent.
    pub parent_overlap: Option<u64>,
    /// When it was taken, by the OSD's wall clock, in milliseconds of Unix time.
    pub created_unix_ms: u64,
    /// Registered clones.
    pub child_count: u32,
    /// Removed by name, and kept until the last of its clones has gone.
    pub in_trash: bool,
}

/// Whether a snapshot may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It may.
    Unprotected,
    /// An unprotect is looking for children.
    Unprotecting,
    /// It may not.
    Protected,
}

/// The snapshot that an image was cloned from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentSpec {
    /// Pool of the parent image.
    pub pool: String,
    /// Id of the parent image.
    pub image_id: String,
    /// Its snapshot.
    pub snap_id: u64,
}

/// An image's relation to its parent.
#[derive(Debug)]
pub struct ParentLink {
    /// Which snapshot.
    pub spec: ParentSpec,
    /// Bytes from the start of HEAD that may come from the parent; `None` = HEAD is flattened, but a snapshot still needs
    /// the parent.
    pub head_overlap: Option<u64>,
    /// `None` = the parent image or its snapshot has gone. The image is usable as far as its objects are complete.
    pub image: Option<Arc<ParentImage>>,
}

/// HEAD or one snapshot of a state, as reads need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// `None` = HEAD.
    pub snap: Option<u64>,
    /// Bytes.
    pub size: u64,
    /// Bytes from the start that may come from the parent; 0 = none.
    pub overlap: u64,
}

impl ImageState {
    /// The snapshots that a write to HEAD preserves.
    pub fn snap_context(&self) -> rados::SnapContext {
        rados::SnapContext {
            seq: self.snap_seq,
            snaps: self.snapshots.iter().map(|snapshot| snapshot.id).collect(),
        }
    }

    /// HEAD, or the snapshot with this id: ENOENT if there is none.
    pub fn view(&self, snap: Option<u64>) -> Result<View> {
        let Some(id) = snap else {
            return Ok(View { snap, size: self.size, overlap: self.head_overlap() });
        };
        let snapshot = self.snapshot(id).ok_or_else(|| {
            Error::refused(Errno::ENOENT, format!("snapshot id {id}: image id {} has none such", self.id))
        })?;
        let overlap = self.parent.as_ref().and(snapshot.parent_overlap).unwrap_or(0);
        Ok(View { snap, size: snapshot.size, overlap: overlap.min(snapshot.size) })
    }

    /// Bytes from the start of HEAD that may come from the parent; 0 = none.
    pub fn head_overlap(&self) -> u64 {
        self.parent.as_ref().and_then(|parent| parent.head_overlap).unwrap_or(0).min(self.size)
    }

    /// The relation of HEAD; none when only snapshots still need the parent.
    pub(crate) fn head_parent(&self) -> Option<&ParentLink> {
        self.parent.as_ref().filter(|parent| parent.head_overlap.is_some())
    }

    /// By id.
    pub fn snapshot(&self, id: u64) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }

    /// By name. Those in the trash have none.
    pub fn snapshot_by_name(&self, name: &str) -> Option<&Snapshot> {
        self.named_snapshots().find(|snapshot| snapshot.name == name)
    }

    /// All but those in the trash, descending by id.
    pub fn named_snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| !snapshot.in_trash)
    }

    /// Whether HEAD has the same part in the same parent: what a missing object means, and what a copy-up of it brings.
    pub(crate) fn has_same_head_parent(&self, other: &Self) -> bool {
        let part =
            |state: &Self| (state.head_overlap(), state.head_parent().map(|parent| parent.spec.clone()));
        part(self) == part(other)
    }

    /// Whether the parents of two states are the same, all the way up, as they were read.
    pub(crate) fn has_same_parent(&self, other: &Self) -> bool {
        let image = |state: &Self| state.parent.as_ref().and_then(|parent| parent.image.clone());
        match (image(self), image(other)) {
            (Some(one), Some(two)) => Arc::ptr_eq(&one, &two),
            (None, None) => true,
            _ => false,
        }
    }
}
