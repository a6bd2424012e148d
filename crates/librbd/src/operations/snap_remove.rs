//! Snapshot remove.

use errno::Errno;
use proto::cls::rbd::v1 as cls;

use super::Run;
use super::flatten::detach_child;
use crate::error::{Error, Result};
use crate::state::Protection;

/// ENOENT for an unknown name; EBUSY for a protected snapshot and for one with children.
pub(super) async fn run(run: &Run, name: &str) -> Result<()> {
    let image = &run.image;
    image.check_writable()?;
    image.refresh_if_stale().await?;
    run.check_cancelled()?;
    let _turn = image.queues.commit().await;
    let before = image.state();
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
    run.commit(&what, |op| op.exec("rbd", "snapshot_remove", &cls::SnapshotRemove { id })).await?;
    if let Some(parent) = &before.parent
        && image.state().parent.is_none()
    {
        // It was the last that needed the parent.
        detach_child(run, &parent.spec).await?;
    }
    image.io.remove_snap_id(id).await.map_err(Error::osd(what))
}
