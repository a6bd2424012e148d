//! Flatten: copies everything from the parent and detaches it (facts 6).

use errno::Errno;
use rados::ObjectOp;
use rbd_protocol::Operation;

use super::Run;
use crate::error::{Error, Result};
use crate::gate::Reason;
use crate::image::Image;
use crate::parent::detach_child;
use crate::progress::CallOptions;
use crate::reclaim;
use crate::throttle::for_each_object;

impl Image {
    /// Makes the image independent of its parent. EINVAL if it had none when the call began; from then on it is done whoever did it.
    pub async fn flatten(&self, options: CallOptions) -> Result<()> {
        self.invoke(Operation::Flatten, options).await
    }
}

/// Checks in the order of facts 6.1, then objects, then the commit. Running it again from the first object is harmless: each
/// finished object costs one guarded write that changes nothing. ENOENT: the parent is lost and an object that would need it
/// is missing; what there is stays as it is.
pub(super) async fn run(run: &Run) -> Result<()> {
    let image = &run.image;
    run.check_writable()?;
    let state = run.look().await?;
    let Some(overlap) = state.head_parent().and_then(|parent| parent.head_overlap) else {
        return Err(Error::refused(Errno::EINVAL, format!("flatten: image {} has no parent", image.name)));
    };
    let forgotten = u64::from(planted::is(planted::Mistake::FlattenTooShort));
    let objects = state.layout.object_count(overlap.min(state.size)).saturating_sub(forgotten);
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

/// Header first, with the intent to take the child out of its parent's list: a child that is not in it could lose its parent,
/// an entry too many is only in the way until somebody looks.
///
/// No I/O that began while HEAD had a parent is under way: without one a discarded object goes, and a late copy-up would bring it back.
async fn commit(run: &Run) -> Result<()> {
    let image = &run.image;
    let quiet = match planted::is(planted::Mistake::CommitUnderIo) {
        false => Some(image.quiet(Reason::Flatten).await),
        true => None,
    };
    let _turn = image.queues.commit().await;
    image.refresh_if_stale().await?;
    let state = image.state();
    let listed = state.head_parent().filter(|_| !planted::is(planted::Mistake::ChildLeftInList));
    let intent = listed.map(|parent| reclaim::detach_intent(&parent.spec)).unwrap_or_default();
    if let Some(parent) = state.head_parent()
        && planted::is(planted::Mistake::DetachIndexFirst)
    {
        detach_child(&image.io, &image.id, &parent.spec).await?;
    }
    let what = format!("detach the parent of image {}", image.name);
    let detach = |op: ObjectOp| op.exec_empty("rbd", "parent_detach").omap_set(intent.clone());
    match run.commit(&what, detach).await {
        // Flattened already: only the result remains to be recorded, and perhaps the other end to be detached.
        Err(error) if error.errno() == Errno::ENOENT => {
            run.commit(&what, |op| op.assert_exists().omap_set(intent.clone())).await?;
        }
        result => result?,
    }
    drop(quiet);
    reclaim::finish_after_commit(image).await;
    Ok(())
}
