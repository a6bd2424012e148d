//! Rollback of HEAD to a snapshot.

use errno::Errno;

use super::{Run, resize, trim};
use crate::data::Applied;
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
    let snapshot = run.look().await?.snapshot_by_name(name).cloned().ok_or_else(|| {
        Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name}", image.name))
    })?;
    let _quiet = image.quiet(Reason::Rollback).await;
    roll_back(run, &snapshot).await
}

async fn roll_back(run: &Run, snapshot: &Snapshot) -> Result<()> {
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
    let applied = Applied::default();
    let bytes = layout.object_bytes(number, snapshot.size);
    for extent in layout.image_extents(number, 0, bytes) {
        let content = data.read(&state, Some(snapshot.id), extent.offset, extent.length).await?;
        data.write(&state, extent.offset, content, &applied).await?;
    }
    Ok(())
}
