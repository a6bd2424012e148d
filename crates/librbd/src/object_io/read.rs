use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use errno::Errno;
use futures_util::future::BoxFuture;
use rados::{IoCtx, ObjectOp};

use super::{PIECE_BYTES_MAX, Window};
use crate::error::{Error, IoError};
use crate::names;
use crate::state::{ImageState, View};
use crate::striping::{Extent, ObjectExtent};

/// How a read is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All bytes of an object in one piece.
    Dense,
    /// Only the extents that hold data.
    Sparse,
}

/// An image at HEAD or at a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) io: IoCtx,
    pub(crate) state: Arc<ImageState>,
    pub(crate) view: View,
}

impl Source {
    /// The pool of its data objects.
    fn data(&self) -> &IoCtx {
        self.state.data_pool.as_ref().unwrap_or(&self.io)
    }
}

/// What a read found.
#[derive(Debug, Default)]
pub(crate) struct ReadOutcome {
    /// Data by its offset in the image, ascending, without overlaps; the rest is zeros.
    pub(crate) extents: Vec<(u64, Bytes)>,
    /// Objects of the image itself that were missing although the parent may have data for them.
    pub(crate) missing: Vec<u64>,
}

impl ReadOutcome {
    /// Adds what lies behind it.
    pub(crate) fn append(&mut self, next: Self) {
        self.extents.extend(next.extents);
        self.missing.extend(next.missing);
    }

    /// Makes one piece of `length` bytes from `offset` on. Does not copy when the data is one piece already.
    pub(crate) fn assemble(self, offset: u64, length: u64) -> Bytes {
        if let [(start, data)] = &self.extents[..]
            && (*start, data.len() as u64) == (offset, length)
        {
            return data.clone();
        }
        let length = usize::try_from(length).expect("a read fits memory");
        let mut whole = BytesMut::zeroed(length);
        for (start, data) in self.extents {
            let at = usize::try_from(start - offset).expect("data lies within the read");
            whole[at..at + data.len()].copy_from_slice(&data);
        }
        whole.freeze()
    }
}

/// Reads an extent that ends within the source's size, by object. Boxed: a parent reads with it from its own parent.
pub(crate) fn read_extent(
    source: Source,
    extent: Extent,
    detail: Detail,
    window: Window,
) -> BoxFuture<'static, Result<ReadOutcome, IoError>> {
    Box::pin(async move {
        let pieces = source.state.layout.objects(extent);
        let reads = pieces.iter().flat_map(bounded);
        let reads = reads.map(|piece| read_object(&source, piece, detail, &window)).collect();
        let mut whole = ReadOutcome::default();
        for outcome in window.run_all(reads).await? {
            whole.append(outcome);
        }
        whole.extents.sort_by_key(|(offset, _)| *offset);
        whole.missing.dedup();
        Ok(whole)
    })
}

/// Cuts a piece of an object to what one op carries.
fn bounded(piece: &ObjectExtent) -> impl Iterator<Item = (u64, Extent)> + use<> {
    let (object_no, end) = (piece.object_no, piece.offset + piece.length);
    let starts = (piece.offset..end).step_by(PIECE_BYTES_MAX as usize);
    starts.map(move |offset| (object_no, Extent { offset, length: PIECE_BYTES_MAX.min(end - offset) }))
}

async fn read_object(
    source: &Source,
    (object_no, piece): (u64, Extent),
    detail: Detail,
    window: &Window,
) -> Result<ReadOutcome, IoError> {
    let name = names::data(&source.state.object_prefix, object_no);
    let op = ObjectOp::new().at_snap(source.view.snap.unwrap_or(0));
    let op = match detail {
        Detail::Dense => op.read(piece.offset, piece.length),
        Detail::Sparse => op.sparse_read(piece.offset, piece.length),
    };
    let data = match window.operate(source.data(), &name, op).await {
        Ok(reply) if detail == Detail::Dense => reply.bytes(0).map(|data| vec![(piece.offset, data)]),
        Ok(reply) => reply.sparse(0),
        Err(error) if error.errno() == Errno::ENOENT => {
            return read_from_parent(source, object_no, piece, detail, window).await;
        }
        Err(error) => Err(error),
    };
    let data =
        data.map_err(Error::osd(format!("read {} bytes at {} of {name}", piece.length, piece.offset)))?;
    let extents =
        data.into_iter().flat_map(|(offset, data)| in_image(source, object_no, offset, data)).collect();
    Ok(ReadOutcome { extents, missing: Vec::new() })
}

/// Where data of an object stands in the image.
fn in_image(source: &Source, object_no: u64, offset: u64, mut data: Bytes) -> Vec<(u64, Bytes)> {
    let extents = source.state.layout.image_extents(object_no, offset, data.len() as u64);
    let take = |extent: Extent| {
        let length = usize::try_from(extent.length).expect("no longer than the data");
        (extent.offset, data.split_to(length))
    };
    extents.into_iter().map(take).filter(|(_, data)| !data.is_empty()).collect()
}

/// The object is missing: what lies below the overlap comes from the parent, the rest is a hole.
async fn read_from_parent(
    source: &Source,
    object_no: u64,
    piece: Extent,
    detail: Detail,
    window: &Window,
) -> Result<ReadOutcome, IoError> {
    let part = source.state.layout.object_bytes(object_no, source.view.overlap);
    if part <= piece.offset {
        return Ok(ReadOutcome::default());
    }
    let covered = Extent { length: piece.length.min(part - piece.offset), ..piece };
    let extents = parent_data(&source.state, object_no, covered, detail, window).await?;
    Ok(ReadOutcome { extents, missing: vec![object_no] })
}

/// What the parent holds of an extent of a missing object, by offset in the image. The extent must lie below the overlap.
pub(crate) async fn parent_data(
    state: &ImageState,
    object_no: u64,
    extent: Extent,
    detail: Detail,
    window: &Window,
) -> Result<Vec<(u64, Bytes)>, IoError> {
    let Some(link) = &state.parent else { return Ok(Vec::new()) };
    let Some(parent) = &link.image else {
        let spec = link.spec.clone();
        return Err(IoError::StaleParent { image_id: spec.image_id, snap_id: spec.snap_id });
    };
    let extents = state.layout.image_extents(object_no, extent.offset, extent.length);
    let reads = extents.into_iter().map(|extent| parent.read(extent, detail, window)).collect();
    let outcomes = window.run_all::<_, ReadOutcome, IoError>(reads).await?;
    Ok(outcomes.into_iter().flat_map(|outcome| outcome.extents).collect())
}
