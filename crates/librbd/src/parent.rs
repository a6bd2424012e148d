//! The parents of a clone: images opened read-only at a snapshot, each with its own layout and its own parent.

use std::sync::Arc;

use errno::Errno;
use futures_util::future::BoxFuture;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Rados};

use crate::error::{Error, IoError, Result};
use crate::header::{load_state, read_header};
use crate::names;
use crate::object_io::{Detail, ReadOutcome, Source, Window, read_extent};
use crate::reclaim;
use crate::state::{ImageState, ParentSpec, View};
use crate::striping::Extent;
use crate::timestamps::Timestamps;

/// An image at the snapshot that a clone was made from. Stays open until its last user has gone.
#[derive(Debug)]
pub struct ParentImage {
    /// Which image and snapshot.
    pub spec: ParentSpec,
    /// The image's header as it was read.
    pub state: Arc<ImageState>,
    io: IoCtx,
    view: View,
    timestamps: Timestamps,
}

/// Opens a parent and its own parents. `known` is returned when nothing in the chain changed since it was opened. `None` = the
/// pool, the image or the snapshot has gone.
pub(crate) fn open(
    rados: Rados,
    spec: ParentSpec,
    known: Option<Arc<ParentImage>>,
) -> BoxFuture<'static, Result<Option<Arc<ParentImage>>>> {
    Box::pin(async move {
        let known = known.filter(|image| image.spec == spec);
        let io = match rados.io_ctx(&spec.pool).await {
            Ok(io) => io,
            Err(error) if error.errno() == Errno::ENOENT => return Ok(None),
            Err(error) => {
                return Err(Error::osd(format!("open the pool of parent {}", spec.image_id))(error));
            }
        };
        let header = match read_header(&io, &spec.image_id).await {
            Ok(header) => header,
            Err(error) if error.errno() == Errno::ENOENT => return Ok(None),
            Err(error) => return Err(error),
        };
        let now = io.rados().clock().now();
        let timestamps = Timestamps::new(now, &header);
        if let Some(known) = &known {
            known.timestamps.heard(now, &header);
        }
        let previous = known.as_ref().map(|image| &*image.state);
        let state = load_state(&io, &spec.image_id, header, previous).await?;
        if let Some(known) = known
            && known.state.header_version == state.header_version
            && known.state.has_same_parent(&state)
        {
            return Ok(Some(known));
        }
        let Ok(view) = state.view(Some(spec.snap_id)) else { return Ok(None) };
        Ok(Some(Arc::new(ParentImage { spec, state, io, view, timestamps })))
    })
}

impl ParentImage {
    /// Bytes of the snapshot.
    pub fn size(&self) -> u64 {
        self.view.size
    }

    /// What the snapshot holds of an extent; beyond its end there is nothing. The parent was read, too: that is recorded in its header.
    pub(crate) async fn read(
        &self,
        extent: Extent,
        detail: Detail,
        window: &Window,
    ) -> Result<ReadOutcome, IoError> {
        let length = self.view.size.saturating_sub(extent.offset).min(extent.length);
        let source = Source { io: self.io.clone(), state: self.state.clone(), view: self.view };
        let extent = Extent { length, ..extent };
        let read =
            read_extent(source, extent, detail, window.clone()).await.map_err(|error| match error {
                // The OSD answers ESTALE, never ENOENT, for a snapshot that was removed.
                IoError::Failed(error) if error.errno() == Errno::ESTALE => {
                    IoError::StaleParent { image_id: self.spec.image_id.clone(), snap_id: self.spec.snap_id }
                }
                error => error,
            })?;
        let header = names::header(&self.spec.image_id);
        self.timestamps.access.touch(&self.io, &header, window.rbd_atime_update_interval());
        Ok(read)
    }
}

/// Takes a child out of its parent's list of children; one that is not in it, and a parent that has gone, are fine. A snapshot
/// in the trash goes with its last child, and then what that leaves is finished, in the parent's parents too.
pub(crate) fn detach_child<'a>(
    child_io: &'a IoCtx,
    child_id: &'a str,
    parent: &'a ParentSpec,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let failed = || Error::osd(format!("detach image id {child_id} from its parent {}", parent.image_id));
        let io = match child_io.rados().io_ctx(&parent.pool).await {
            Err(error) if error.errno() == Errno::ENOENT => return Ok(()),
            io => io.map_err(failed())?,
        };
        let pool = child_io.pool().to_owned();
        let child = wire::Child { snap_id: parent.snap_id, pool, image_id: child_id.to_owned() };
        let op = ObjectOp::new().assert_exists().exec("rbd", "child_detach", &child);
        let op = op.omap_list("", reclaim::PREFIX, 1);
        let left = match io.operate(&names::header(&parent.image_id), op).await {
            Err(error) if error.errno() == Errno::ENOENT => return Ok(()),
            reply => reply.and_then(|reply| reply.omap(2)).map_err(failed())?,
        };
        match left.entries.is_empty() {
            true => Ok(()),
            false => reclaim::finish_all(&io, &parent.image_id).await,
        }
    })
}
