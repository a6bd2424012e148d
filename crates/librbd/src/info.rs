use std::sync::atomic::Ordering;

use errno::Errno;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::images::{entry_by_id, image_name};
use crate::opened::{Held, OpenImage};
use crate::state::{ParentLink, Snapshot, Times};
use crate::striping::Layout;

/// What is known about an open image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub image: String,
    /// Its id.
    pub id: String,
    /// Bytes of HEAD.
    pub size: u64,
    /// log2 of the object size.
    pub order: u32,
    /// How its bytes lie in objects.
    pub layout: Layout,
    /// What it can do.
    pub features: Features,
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// `None` = it has none.
    pub parent: Option<ParentInfo>,
    /// This client's instance.
    pub gid: u64,
    /// This open's watch; 0 when it is lost.
    pub watch_handle: u64,
    /// Whether this client believes that it owns the exclusive lock.
    pub is_lock_owner: bool,
    /// Open read-only, or at a snapshot.
    pub read_only: bool,
    /// Start of the data objects' names.
    pub object_prefix: String,
    /// Operation features (Ceph's bits).
    pub op_features: u64,
    /// Ceph's flags.
    pub flags: u64,
    /// When it was created, last read and last written.
    pub times: Times,
}

/// An image's parent, by names as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentInfo {
    /// Its pool.
    pub pool: String,
    /// Its name; its id when the image has gone.
    pub image: String,
    /// Its id.
    pub id: String,
    /// The snapshot's name; its id in decimal when it has gone.
    pub snapshot: String,
    /// Bytes of HEAD that may come from it; `None` = HEAD is flattened, but a snapshot still needs the parent.
    pub overlap: Option<u64>,
}

/// Who holds the exclusive lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// Client instance.
    pub gid: u64,
    /// `auto HANDLE` (of its watch), or that of a manual lock.
    pub cookie: String,
    /// IP:PORT/NONCE when it took the lock.
    pub address: String,
    /// "internal", or that of a manual lock.
    pub tag: String,
    /// It is this open of the image.
    pub is_self: bool,
}

impl Info {
    pub(crate) async fn of(image: &OpenImage) -> Result<Self> {
        let state = image.state();
        let parent = match &state.parent {
            Some(parent) => Some(parent_info(image, parent).await?),
            None => None,
        };
        // Whoever has it open does not hear of a renaming.
        let name = image_name(&image.io, &image.id).await?.unwrap_or_else(|| image.name.clone());
        Ok(Self {
            pool: image.io.pool().to_owned(),
            image: name,
            id: image.id.clone(),
            size: state.size,
            order: state.order,
            layout: state.layout,
            features: state.features,
            snapshots: state.named_snapshots().cloned().collect(),
            parent,
            gid: image.gid(),
            watch_handle: image.watch_handle.load(Ordering::Relaxed),
            is_lock_owner: *image.held.borrow() != Held::No,
            read_only: !image.is_writable(),
            object_prefix: state.object_prefix.clone(),
            op_features: state.op_features,
            flags: state.flags,
            times: state.times,
        })
    }
}

async fn parent_info(image: &OpenImage, parent: &ParentLink) -> Result<ParentInfo> {
    let spec = &parent.spec;
    let snapshot = parent.image.as_ref().and_then(|image| image.state.snapshot(spec.snap_id));
    Ok(ParentInfo {
        pool: spec.pool.clone(),
        image: parent_name(image, parent).await?,
        id: spec.image_id.clone(),
        snapshot: snapshot.map_or_else(|| spec.snap_id.to_string(), |snapshot| snapshot.name.clone()),
        overlap: parent.head_overlap,
    })
}

async fn parent_name(image: &OpenImage, parent: &ParentLink) -> Result<String> {
    let spec = &parent.spec;
    let what = format!("open pool {} of the parent of image {}", spec.pool, image.name);
    let io = match image.io.rados().io_ctx(&spec.pool).await {
        Err(error) if error.errno() == Errno::ENOENT => return Ok(spec.image_id.clone()),
        io => io.map_err(Error::osd(what))?,
    };
    let entry = entry_by_id(&io, &spec.image_id).await?;
    Ok(entry.map_or_else(|| spec.image_id.clone(), |entry| entry.name))
}
