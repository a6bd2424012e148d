//! From an image's header object to its state.

use std::sync::Arc;

use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Reply};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::names;
use crate::parent;
use crate::state::{ImageState, ParentLink, ParentSpec, Protection, Snapshot, Times};
use crate::striping::Layout;

/// What class `rbd` method `get_header` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of HEAD.
    pub size: u64,
    /// log2 of the object size.
    pub order: u32,
    /// All bits, the internal ones included.
    pub features: u64,
    /// Start of the data objects' names.
    pub object_prefix: String,
    /// Bytes; 0 = no striping.
    pub stripe_unit: u64,
    /// Objects; 0 = no striping.
    pub stripe_count: u64,
    /// Newest snapshot id ever used.
    pub snap_seq: u64,
    /// Descending by id.
    pub snapshots: Vec<Snapshot>,
    /// The parent and the overlap of HEAD.
    pub parent: Option<(ParentSpec, Option<u64>)>,
    /// Operation features.
    pub op_features: u64,
    /// Ceph's flags.
    pub flags: u64,
    /// Version of the header object that was read.
    pub version: u64,
    /// When the image was created, last read and last written, as far as that is recorded.
    pub times: Times,
    /// When this was read, by the same clock; 0 = the OSD did not say.
    pub read_unix_ms: u64,
}

impl From<wire::Header> for Header {
    fn from(header: wire::Header) -> Self {
        let mut snapshots: Vec<_> = header.snapshots.into_iter().map(Snapshot::from).collect();
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.id));
        Self {
            size: header.size,
            order: header.order,
            features: header.features,
            object_prefix: header.object_prefix,
            stripe_unit: header.stripe_unit,
            stripe_count: header.stripe_count,
            snap_seq: header.snap_seq,
            snapshots,
            parent: header.parent.and_then(|parent| Some((parent.spec?.into(), parent.head_overlap))),
            op_features: header.op_features,
            flags: header.flags,
            version: header.version,
            times: Times {
                created_unix_ms: header.created_unix_ms,
                accessed_unix_ms: header.accessed_unix_ms,
                modified_unix_ms: header.modified_unix_ms,
            },
            read_unix_ms: header.read_unix_ms,
        }
    }
}

impl From<wire::Snapshot> for Snapshot {
    fn from(snapshot: wire::Snapshot) -> Self {
        let protection = match snapshot.protection() {
            wire::Protection::Unprotected => Protection::Unprotected,
            wire::Protection::Unprotecting => Protection::Unprotecting,
            wire::Protection::Protected => Protection::Protected,
        };
        Self {
            in_trash: snapshot.namespace() == wire::SnapshotNamespace::Trash,
            id: snapshot.id,
            name: snapshot.name,
            size: snapshot.size,
            protection,
            parent_overlap: snapshot.parent_overlap,
            created_unix_ms: snapshot.created_unix_ms,
            child_count: snapshot.child_count,
        }
    }
}

impl From<wire::ParentSpec> for ParentSpec {
    fn from(spec: wire::ParentSpec) -> Self {
        Self { pool: spec.pool, image_id: spec.image_id, snap_id: spec.snap_id }
    }
}

impl From<&ParentSpec> for wire::ParentSpec {
    fn from(spec: &ParentSpec) -> Self {
        Self { pool: spec.pool.clone(), image_id: spec.image_id.clone(), snap_id: spec.snap_id }
    }
}

/// Reads the header of the image with this id. ENOENT if there is none.
pub async fn read_header(io: &IoCtx, id: &str) -> Result<Header> {
    let failed = || format!("read the header of image id {id} in pool {}", io.pool());
    let op = ObjectOp::new().exec_empty("rbd", "get_header");
    let reply = io.operate(&names::header(id), op).await.map_err(Error::osd(failed()))?;
    reply.exec::<wire::Header>(0).map(Header::from).map_err(Error::osd(failed()))
}

/// Sends an op vector with `rbd.get_header` at its end, and returns what that read, at the version after the vector, with the
/// whole reply.
pub(crate) async fn with_header(
    io: &IoCtx,
    header: &str,
    op: ObjectOp,
) -> Result<(Header, Reply), rados::Error> {
    let last = op.len();
    let reply = io.operate(header, op.exec_empty("rbd", "get_header")).await?;
    let header = reply.exec::<wire::Header>(last)?;
    Ok((Header { version: reply.version, ..Header::from(header) }, reply))
}

/// Makes the state that follows `previous` from a header, which may also come from the op vector that took the lock. Opens
/// the chain of parents, or keeps those of `previous` whose headers did not change. ENOSYS if the image uses features that
/// this client does not know.
pub async fn load_state(
    io: &IoCtx,
    id: &str,
    header: Header,
    previous: Option<&ImageState>,
) -> Result<Arc<ImageState>> {
    let features = Features::from_header(header.features)?;
    let layout = Layout::new(header.order, header.stripe_unit, header.stripe_count)?;
    let data_pool = match features.contains(Features::DATA_POOL) {
        true => Some(Box::pin(data_pool(io, id)).await?),
        false => None,
    };
    let parent = match header.parent {
        None => None,
        Some((spec, head_overlap)) => {
            let known =
                previous.and_then(|state| state.parent.as_ref()).and_then(|parent| parent.image.clone());
            let image = parent::open(io.rados().clone(), spec.clone(), known).await?;
            Some(ParentLink { spec, head_overlap, image })
        }
    };
    Ok(Arc::new(ImageState {
        generation: previous.map_or(1, |state| state.generation + 1),
        header_version: header.version,
        id: id.to_owned(),
        size: header.size,
        order: header.order,
        features,
        layout,
        data_pool,
        object_prefix: header.object_prefix,
        snap_seq: header.snap_seq,
        snapshots: header.snapshots,
        parent,
        op_features: header.op_features,
        flags: header.flags,
        times: header.times,
    }))
}

/// Omap key of the header: the number of the pool of the data objects (facts of class `rbd`, 7.1).
const DATA_POOL: &str = "data_pool_id";

/// The pool in which the image's data objects are. ENOENT when it has gone.
async fn data_pool(io: &IoCtx, id: &str) -> Result<IoCtx> {
    let failed = || Error::osd(format!("find the data pool of image id {id} in pool {}", io.pool()));
    let reply = io.operate(&names::header(id), ObjectOp::new().omap_get([DATA_POOL])).await;
    let entries = reply.and_then(|reply| reply.omap(0)).map_err(failed())?.entries;
    let number = entries.get(DATA_POOL).and_then(|value| value[..].try_into().ok()).map(u64::from_le_bytes);
    let pools = io.rados().pools().await.map_err(failed())?;
    let found = pools.into_iter().find(|pool| Some(pool.id) == number);
    let Some(pool) = found else {
        let text = format!("image id {id} in pool {}: its data pool has gone", io.pool());
        return Err(Error::refused(Errno::ENOENT, text));
    };
    io.rados().io_ctx(&pool.name).await.map_err(failed())
}
