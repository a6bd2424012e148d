//! Snapshot remove: the header's op vector removes it and leaves the rest as an intent (`reclaim`).

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use super::Run;
use crate::error::{Error, Result};
use crate::images::children_of;
use crate::reclaim;
use crate::state::Protection;

/// ENOENT for an unknown name; EBUSY for a protected snapshot and for one with children.
pub(super) async fn run(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    run.check_writable()?;
    run.check_cancelled()?;
    let _turn = image.queues.commit().await;
    let before = run.look().await?;
    let snapshot = before.snapshot_by_name(name).ok_or_else(|| {
        Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name}", image.name))
    })?;
    if snapshot.protection != Protection::Unprotected {
        return Err(Error::refused(
            Errno::EBUSY,
            format!("snapshot {name} of image {} is protected", image.name),
        ));
    }
    let id = snapshot.id;
    let what = format!("remove snapshot {name} of image {}", image.name);
    let intent = reclaim::intent(id, before.parent.as_ref().map(|parent| &parent.spec));
    let remove = |op: ObjectOp| {
        op.exec("rbd", "snapshot_remove", &cls::SnapshotRemove { id }).omap_set(intent.clone())
    };
    match run.commit(&what, remove).await {
        // Entries of children that a crash left are in the way, and go when they are looked at.
        Err(busy) if busy.errno() == Errno::EBUSY => {
            if !children_of(&image.io, &image.id, id).await?.is_empty() {
                return Err(busy);
            }
            run.commit(&what, remove).await?;
        }
        removed => removed?,
    }
    reclaim::finish_after_commit(image).await;
    Ok(())
}
