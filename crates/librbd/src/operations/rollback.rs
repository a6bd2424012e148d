//! Rollback of HEAD to a snapshot.

use errno::Errno;

use super::{Run, resize, trim};
use crate::error::{Error, IoError, Result};
use crate::gate::Reason;
use crate::state::{ImageState, Snapshot};
use crate::throttle::for_each_object;
use std::sync::Arc;

/// ENOENT for an unknown name. No I/O is under way meanwhile. When it is stopped, HEAD holds a mix of both until it is run
/// again; the snapshot stays as it is.
pub(super) async fn run(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    image.check_writable()?;
    image.refresh_if_stale().await?;
    let snapshot = image.state().snapshot_by_name(name).cloned().ok_or_else(|| {
        Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name}", image.name))
    })?;
    let _closed = image.gate.closed_and_drained(Reason::Rollback).await;
    // Reads begin no copy-ups meanwhile.
    image.data.set_sole_writer(false);
    image.data.drain_copyups().await;
    let result = with_gate_closed(run, &snapshot).await;
    image.data.set_sole_writer(true);
    result
}

async fn with_gate_closed(run: &Run, snapshot: &Snapshot) -> Result<()> {
    let image = &run.image;
    if snapshot.size < image.state().size {
        let _shrinking = image.shrinking_to(snapshot.size);
        trim::run(run, snapshot.size, trim::Entry::GateIsClosed).await?;
        run.check_cancelled()?;
        resize::set_size(run, snapshot.size).await?;
    } else if snapshot.size > image.state().size {
        resize::set_size(run, snapshot.size).await?;
    }
    let objects = image.state().layout.object_count(snapshot.size);
    let progress = |done| (run.progress)(done, objects);
    for_each_object(0..objects, run.width(), &run.cancelled, progress, |number| async move {
        image.on_state(|state| roll_back_object(run, state, snapshot, number)).await
    })
    .await
}

/// Where the snapshot reads from the parent what HEAD no longer does, the bytes themselves are put into HEAD.
async fn roll_back_object(
    run: &Run,
    state: Arc<ImageState>,
    snapshot: &Snapshot,
    number: u64,
) -> Result<(), IoError> {
    let data = &run.image.data;
    let view = state.view(Some(snapshot.id))?;
    let layout = &state.layout;
    if layout.object_bytes(number, view.overlap) <= layout.object_bytes(number, state.head_overlap()) {
        return data.rollback_object(&state, number, snapshot.id).await;
    }
    let bytes = layout.object_bytes(number, snapshot.size);
    for extent in layout.image_extents(number, 0, bytes) {
        let content = data.read(&state, Some(snapshot.id), extent.offset, extent.length).await?;
        data.write(&state, extent.offset, content).await?;
    }
    Ok(())
}
