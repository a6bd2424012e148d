//! Block I/O on an image: splits an extent into ops on objects.
//!
//! Nothing here takes the gate's permit or the exclusive lock: the caller has them, and holds the permit until the call
//! returns, because it returns only when every op it sent has been answered. A copy-up alone may outlive a dropped call: see
//! [`DataIo::drain_copyups`].
//!
//! Calls work under the [`ImageState`] they are given. One that ends with [`IoError::Superseded`], [`IoError::StaleParent`] or
//! [`IoError::StaleSize`] has found that state out of date. The caller then refreshes the state and asks
//! [`IoError::redo_on`] whether the fresh one is worth another try. What of a write or discard was made already is remembered in its
//! [`Applied`] and not made again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use errno::Errno;
use marks::Mark;
use rados::IoCtx;

use crate::config::Config;
use crate::copyup::{Copyups, Paused};
use crate::error::{Error, IoError, Result};
use crate::header::read_header;
use crate::object_io::{
    Change, Detail, Guard, ObjectWriter, PIECE_BYTES_MAX, ReadOutcome, Source, Window, Written, read_extent,
};
use crate::state::{ImageState, ParentSpec, View};
use crate::striping::{Extent, ObjectExtent};

/// The data objects of one open image. Cheap to clone; clones share the table of copy-ups.
#[derive(Clone, Debug)]
pub struct DataIo {
    objects: ObjectWriter,
    copy_on_read: bool,
}

/// The parts of one write or discard that have been made, over all tries of it. They are not made again: others may have read them
/// and written over them since.
#[derive(Debug, Default)]
pub struct Applied {
    /// (object number, offset in the object).
    parts: Mutex<BTreeSet<(u64, u64)>>,
}

impl Applied {
    fn parts(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn once(
        &self,
        part: (u64, u64),
        change: impl Future<Output = Result<Written, IoError>>,
    ) -> Result<(), IoError> {
        if !self.parts().contains(&part) {
            change.await?;
            self.parts().insert(part);
        }
        Ok(())
    }
}

/// Bytes of one read, which are in memory at once.
pub const READ_BYTES_MAX: u64 = 256 << 20;

/// What flatten found for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFlattened {
    /// The parent's data was copied.
    Copied,
    /// The object existed.
    Existed,
    /// The parent has no part in it: never, or no more since a resize or another flatten.
    NoParent,
    /// The parent has only zeros for it: nothing was written.
    ParentHole,
}

impl IoError {
    /// Whether I/O that failed with this under `used` is to be made again under `fresh`, which was loaded after the failure.
    /// If not, the error is final (`Error::from`).
    pub fn redo_on(&self, used: &ImageState, fresh: &ImageState) -> bool {
        match self {
            Self::Failed(_) => false,
            Self::Superseded => fresh.generation > used.generation,
            Self::StaleParent { .. } | Self::StaleSize => {
                fresh.header_version != used.header_version || !fresh.has_same_parent(used)
            }
        }
    }
}

impl DataIo {
    /// `io` is the pool of the image's data objects.
    pub fn new(io: IoCtx, config: &Config) -> Self {
        let window = Window::new(config);
        let copyups = Copyups::new(window.clone());
        Self { objects: ObjectWriter { io, window, copyups }, copy_on_read: config.rbd_clone_copy_on_read }
    }

    /// Reads HEAD, or a snapshot by its id. Shorter at the end of the image or snapshot; EINVAL when `offset` lies beyond
    /// it, and for more than [`READ_BYTES_MAX`]; ENOENT for an unknown snapshot.
    pub async fn read(
        &self,
        state: &Arc<ImageState>,
        snap: Option<u64>,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, IoError> {
        let view = state.view(snap)?;
        let extent = self.clip(state, view, offset, length).await?;
        let outcome = self.read_view(state, view, extent, Detail::Dense).await?;
        Ok(outcome.assemble(extent.offset, extent.length))
    }

    /// Like [`DataIo::read`], only the extents that hold data, ascending; the rest is zeros.
    pub async fn read_sparse(
        &self,
        state: &Arc<ImageState>,
        snap: Option<u64>,
        offset: u64,
        length: u64,
    ) -> Result<Vec<(u64, Bytes)>, IoError> {
        let view = state.view(snap)?;
        let extent = self.clip(state, view, offset, length).await?;
        Ok(self.read_view(state, view, extent, Detail::Sparse).await?.extents)
    }

    /// The part of a read that lies within the view. Whoever is not the sole writer looks at the header before a read is cut short or
    /// refused: the HeaderUpdate that told of another size may be late.
    async fn clip(
        &self,
        state: &ImageState,
        view: View,
        offset: u64,
        length: u64,
    ) -> Result<Extent, IoError> {
        let ObjectWriter { io, copyups, .. } = &self.objects;
        let clipped = clip(view, offset, length);
        let is_whole = clipped.as_ref().is_ok_and(|extent| extent.length == length);
        if !is_whole
            && view.snap.is_none()
            && !copyups.is_sole_writer()
            && read_header(io, &state.id).await?.size != state.size
        {
            return Err(IoError::StaleSize);
        }
        Ok(clipped?)
    }

    async fn read_view(
        &self,
        state: &Arc<ImageState>,
        view: View,
        extent: Extent,
        detail: Detail,
    ) -> Result<ReadOutcome, IoError> {
        let ObjectWriter { io, window, copyups } = &self.objects;
        let source = Source { io: io.clone(), state: state.clone(), view };
        let mut outcome = ReadOutcome::default();
        for batch in state.layout.batches(extent) {
            let read = read_extent(source.clone(), batch, detail, window.clone()).await;
            outcome.append(read.map_err(|error| snapshot_gone(state, view.snap, error))?);
        }
        if !outcome.missing.is_empty() {
            if self.is_superseded(state) {
                return Err(IoError::Superseded);
            }
            if view.snap.is_none() && !copyups.is_sole_writer() {
                check_parent_attached(io, state).await?;
            }
        }
        if self.copy_on_read && view.snap.is_none() {
            outcome.missing.iter().for_each(|object_no| copyups.run_on_read(io, state, *object_no));
        }
        Ok(outcome)
    }

    /// Writes to HEAD. EINVAL unless all of it lies within the image.
    pub async fn write(
        &self,
        state: &Arc<ImageState>,
        offset: u64,
        data: Bytes,
        applied: &Applied,
    ) -> Result<(), IoError> {
        let extent = within(state, offset, data.len() as u64)?;
        let objects = state.layout.objects(extent).into_iter();
        let write = |object| self.write_object(state, extent.offset, &data, object, applied);
        self.objects.window.run_all::<_, (), IoError>(objects.map(write).collect()).await?;
        Ok(())
    }

    async fn write_object(
        &self,
        state: &Arc<ImageState>,
        start: u64,
        data: &Bytes,
        object: ObjectExtent,
        applied: &Applied,
    ) -> Result<(), IoError> {
        let mut data = gather(data, start, &object.image);
        let part = state.layout.object_bytes(object.object_no, state.head_overlap());
        let hides_parent = object.offset == 0 && object.length >= part && state.snapshots.is_empty();
        let mut offset = object.offset;
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE_BYTES_MAX as usize));
            let is_whole = piece.len() as u64 == object.length;
            let needs_no_copyup =
                part == 0 || (hides_parent && is_whole) || planted::is(planted::Mistake::WriteWithoutCopyup);
            let guard = if needs_no_copyup { Guard::None } else { Guard::CopyUp };
            let length = piece.len() as u64;
            let change = Change::Write { offset, data: piece };
            let changes = [change];
            let write = self.objects.apply(state, object.object_no, &changes, guard);
            applied.once((object.object_no, offset), write).await?;
            offset += length;
        }
        Ok(())
    }

    /// Makes a range of HEAD read as zeros and gives space back where that is possible. EINVAL unless all of it lies within
    /// the image.
    pub async fn discard(&self, state: &Arc<ImageState>, offset: u64, length: u64) -> Result<(), IoError> {
        let mut rest = within(state, offset, length)?;
        while rest.length > 0 {
            let done = self.discard_first(state, rest.offset, rest.length, &Applied::default()).await?;
            rest = Extent { offset: rest.offset + done, length: rest.length - done };
        }
        Ok(())
    }

    /// The first part of a [`DataIo::discard`], and how many bytes that was: few enough objects to make nobody wait long. EINVAL
    /// unless all of it, not only the part, lies within the image.
    pub async fn discard_first(
        &self,
        state: &Arc<ImageState>,
        offset: u64,
        length: u64,
        applied: &Applied,
    ) -> Result<u64, IoError> {
        let extent = within(state, offset, length)?;
        let Some(batch) = state.layout.batches(extent).next() else { return Ok(0) };
        let objects = state.layout.objects(batch).into_iter();
        let discard = |object: ObjectExtent| {
            applied.once((object.object_no, object.offset), self.discard_object(state, object))
        };
        self.objects.window.run_all::<_, (), IoError>(objects.map(discard).collect()).await?;
        Ok(batch.length)
    }

    /// An object below the overlap must not vanish at HEAD: the parent would shine through.
    async fn discard_object(
        &self,
        state: &Arc<ImageState>,
        ObjectExtent { object_no, offset, length, .. }: ObjectExtent,
    ) -> Result<Written, IoError> {
        let part = state.layout.object_bytes(object_no, state.head_overlap());
        let end = offset + length;
        let reaches_the_end = end >= state.layout.object_bytes(object_no, state.size);
        let clear =
            if reaches_the_end { Change::Truncate { size: offset } } else { Change::Zero { offset, length } };
        let (changes, guard) = if part <= offset && part > 0 {
            (vec![clear], Guard::SkipIfMissing)
        } else if part > 0 && (offset > 0 || end < part || !state.snapshots.is_empty()) {
            (vec![clear], Guard::CopyUpOrSkip)
        } else if part > 0 && !planted::is(planted::Mistake::DiscardExposesParent) {
            (vec![Change::Create, clear], Guard::None)
        } else if offset == 0 && reaches_the_end {
            (vec![Change::Remove], Guard::SkipIfMissing)
        } else {
            (vec![clear], Guard::SkipIfMissing)
        };
        self.objects.apply(state, object_no, &changes, guard).await
    }

    /// Makes one object independent of the parent: a guarded empty write (facts 6.4). Only the OSD's answer proves that an
    /// object exists.
    pub async fn flatten_object(
        &self,
        state: &Arc<ImageState>,
        object_no: u64,
    ) -> Result<ObjectFlattened, IoError> {
        if state.layout.object_bytes(object_no, state.head_overlap()) == 0 {
            return Ok(ObjectFlattened::NoParent);
        }
        Ok(match self.objects.apply(state, object_no, &[], Guard::CopyUpOrSkip).await? {
            Written::Changed => ObjectFlattened::Existed,
            Written::Copied => ObjectFlattened::Copied,
            Written::Hole => ObjectFlattened::ParentHole,
            Written::NoParent => ObjectFlattened::NoParent,
        })
    }

    /// Cuts one object to what remains of it in an image of `new_size` bytes (facts 7.2). Call
    /// [`DataIo::set_shrinking_to`] first. Where HEAD still has a part of the parent the object stays, empty if nothing remains
    /// of it: were it removed, the parent's data would show again until the smaller overlap is committed. Where snapshots read
    /// parent data through it, it is copied up before it is cut.
    pub async fn trim_object(
        &self,
        state: &Arc<ImageState>,
        object_no: u64,
        new_size: u64,
    ) -> Result<(), IoError> {
        let keep = state.layout.object_bytes(object_no, new_size);
        let part = state.layout.object_bytes(object_no, state.head_overlap());
        let covers_parent = part > keep && !planted::is(planted::Mistake::TrimExposesParent);
        let (change, guard) = match (keep, covers_parent) {
            (_, true) if !state.snapshots.is_empty() => {
                (Change::Truncate { size: keep }, Guard::CopyUpOrSkip)
            }
            (0, false) => (Change::Remove, Guard::SkipIfMissing),
            _ => (Change::Truncate { size: keep }, Guard::SkipIfMissing),
        };
        self.objects.copyups.wait_for(object_no).await;
        self.objects.apply(state, object_no, &[change], guard).await?;
        Ok(())
    }

    /// Makes one object of HEAD as it is at a snapshot. The gate must be closed and copy-ups drained.
    pub async fn rollback_object(
        &self,
        state: &Arc<ImageState>,
        object_no: u64,
        snap_id: u64,
    ) -> Result<(), IoError> {
        match self.objects.apply(state, object_no, &[Change::Rollback { snap_id }], Guard::None).await {
            // Neither HEAD nor the snapshot has it.
            Err(IoError::Failed(error)) if error.errno() == Errno::ENOENT => Ok(()),
            result => result.map(drop).map_err(|error| snapshot_gone(state, Some(snap_id), error)),
        }
    }

    /// Says that states below this generation were replaced by one in which HEAD has another part in the parent: parent data read
    /// under one of them is no longer returned, and no longer copied up ([`IoError::Superseded`]). To be called when a new state is put
    /// in place, before I/O starts under it.
    pub fn supersede(&self, generation: u64) {
        self.objects.copyups.supersede(generation);
    }

    pub(crate) fn is_superseded(&self, state: &ImageState) -> bool {
        self.objects.copyups.is_superseded(state)
    }

    /// Says the size that the image is being shrunk to, before the first [`DataIo::trim_object`]; `None` when the shrunk
    /// state is in place or the resize was given up. Copy-ups that start in between bring no trimmed data back.
    pub fn set_shrinking_to(&self, size: Option<u64>) {
        self.objects.copyups.set_shrinking_to(size);
    }

    /// Whether nobody else changes the image: true only while the client owns the exclusive lock (or the image has none). Then reads
    /// may copy parent data up, with `rbd_clone_copy_on_read`. Otherwise each read of parent data, and each that reaches beyond the end, is
    /// checked against the header.
    pub fn set_sole_writer(&self, is_sole_writer: bool) {
        self.objects.copyups.set_sole_writer(is_sole_writer);
    }

    /// Reads start no copy-ups until the result is dropped, and those that they started have ended when this returns.
    pub(crate) async fn pause_copyups(&self) -> Paused {
        self.objects.copyups.paused().await
    }

    /// Returns when every copy-up that runs now has ended. Before the lock is released and before a snapshot is rolled back:
    /// close the gate, forbid copy-on-read, then drain.
    pub async fn drain_copyups(&self) {
        self.objects.copyups.drain().await;
    }
}

/// While the parent is attached, an object of HEAD below the overlap that was there once stays; another client that detached it, or
/// made the overlap smaller, may have removed it since. To be asked after objects were found missing: the HeaderUpdate that would
/// have told so is late for a client that was cut off or stood still.
async fn check_parent_attached(io: &IoCtx, state: &ImageState) -> Result<(), IoError> {
    let Some(parent) = &state.parent else { return Ok(()) };
    let header = read_header(io, &state.id).await?;
    let is_attached =
        header.parent.is_some_and(|(spec, overlap)| spec == parent.spec && overlap == parent.head_overlap);
    let ParentSpec { image_id, snap_id, .. } = &parent.spec;
    let gone = || IoError::StaleParent { image_id: image_id.clone(), snap_id: *snap_id };
    if is_attached { Ok(()) } else { Err(gone()) }
}

/// The OSD answers ESTALE for a snapshot that was removed while it was read, or rolled back to, which librbd may do without the lock: to
/// who does so it is gone, ENOENT.
fn snapshot_gone(state: &ImageState, snap: Option<u64>, error: IoError) -> IoError {
    match (error, snap) {
        (IoError::Failed(error), Some(id)) if error.errno() == Errno::ESTALE => {
            marks::hit(Mark::InsideEstale);
            let text = format!("snapshot id {id} of image id {} was removed meanwhile: {error}", state.id);
            Error::refused(Errno::ENOENT, text).into()
        }
        (error, _) => error,
    }
}

/// The part of a read that lies within the view.
fn clip(view: View, offset: u64, length: u64) -> Result<Extent> {
    if offset > view.size {
        return Err(Error::invalid(format!(
            "read at {offset}: beyond the end of the image at {}",
            view.size
        )));
    }
    let length = length.min(view.size - offset);
    if length > READ_BYTES_MAX {
        return Err(Error::invalid(format!("read of {length} bytes: one read has at most {READ_BYTES_MAX}")));
    }
    Ok(Extent { offset, length })
}

/// A write must lie within the image.
fn within(state: &ImageState, offset: u64, length: u64) -> Result<Extent> {
    match offset.checked_add(length) {
        Some(end) if end <= state.size => Ok(Extent { offset, length }),
        _ => Err(Error::invalid(format!(
            "{length} bytes at {offset}: reach beyond the end of the image at {}",
            state.size
        ))),
    }
}

/// The bytes of `data` (which begins at `start` in the image) for one object: a slice when they are one piece.
fn gather(data: &Bytes, start: u64, extents: &[Extent]) -> Bytes {
    let slice = |extent: &Extent| {
        let at = usize::try_from(extent.offset - start).expect("the extent lies within the data");
        data.slice(at..at + usize::try_from(extent.length).expect("the extent lies within the data"))
    };
    match extents {
        [one] => slice(one),
        many => many.iter().flat_map(slice).collect(),
    }
}
