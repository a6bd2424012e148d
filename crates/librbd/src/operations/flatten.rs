//! Flatten: copies everything from the parent and detaches it (facts 6).

use errno::Errno;
use rados::ObjectOp;

use super::Run;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::parent::detach_child;
use crate::state::{ImageState, ParentLink};
use crate::throttle::for_each_object;

/// Checks in the order of facts 6.1, then objects, then the commit. Running it again from the first object is harmless: each
/// finished object costs one guarded write that changes nothing. ENOENT: the parent is lost and an object that would need it
/// is missing; what there is stays as it is.
pub(super) async fn run(run: &Run) -> Result<()> {
    let image = &run.image;
    run.check_writable()?;
    image.refresh_if_stale().await?;
    let state = image.state();
    let Some(overlap) = head_parent(&state).and_then(|parent| parent.head_overlap) else {
        return Err(Error::refused(Errno::EINVAL, format!("flatten: image {} has no parent", image.name)));
    };
    let objects = state.layout.object_count(overlap.min(state.size));
    let progress = |done| (run.progress)(done, objects);
    for_each_object(0..objects, run.width(), &run.cancelled, progress, |number| flatten_object(run, number))
        .await?;
    run.check_cancelled()?;
    commit(run).await
}

/// The permit keeps a snapshot, a resize and a rollback from changing the image under the copy-up.
async fn flatten_object(run: &Run, number: u64) -> Result<()> {
    let image = &run.image;
    let _permit = image.enter_for_operation().await?;
    image.on_state(|state| async move { image.data.flatten_object(&state, number).await }).await?;
    Ok(())
}

/// The relation of HEAD; none when only snapshots still need the parent.
fn head_parent(state: &ImageState) -> Option<&ParentLink> {
    state.parent.as_ref().filter(|parent| parent.head_overlap.is_some())
}

/// Index first, header last: the header is the commit point, and a re-run repairs what a crash in between leaves.
async fn commit(run: &Run) -> Result<()> {
    let image = &run.image;
    let _turn = image.queues.commit().await;
    image.refresh_if_stale().await?;
    let state = image.state();
    if let Some(parent) = head_parent(&state)
        && !snapshots_need_parent(&state)
    {
        detach_child(&image.io, &image.id, &parent.spec).await?;
    }
    let what = format!("detach the parent of image {}", image.name);
    match run.commit(&what, |op| op.exec_empty("rbd", "parent_detach")).await {
        // Flattened already: only the result remains to be recorded.
        Err(error) if error.errno() == Errno::ENOENT => run.commit(&what, ObjectOp::assert_exists).await,
        result => result,
    }
}

/// Decided by the snapshots that exist at the commit: without deep-flatten they keep the parent.
fn snapshots_need_parent(state: &ImageState) -> bool {
    !state.features.contains(Features::DEEP_FLATTEN)
        && state.snapshots.iter().any(|snapshot| snapshot.parent_overlap.is_some())
}
