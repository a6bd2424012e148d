//! Snapshot remove: the header's op vector removes it and leaves the rest as an intent (`reclaim`). A snapshot that clones need
//! moves to the trash instead, where the last of them takes it along.

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rbd_protocol::Operation;

use super::Run;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::images::children_of;
use crate::progress::CallOptions;
use crate::reclaim;
use crate::state::Protection;

impl Image {
    /// Removes a snapshot. One with clones goes to the trash, and with the last of them. ENOENT; EBUSY for one that is protected.
    pub async fn snap_remove(&self, name: &str, options: CallOptions) -> Result<()> {
        self.invoke(Operation::SnapRemove { name: name.to_owned() }, options).await
    }
}

/// ENOENT for an unknown name; EBUSY for a protected snapshot.
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
    let input = cls::SnapshotRemove { id, to_trash: true };
    run.commit(&what, |op| op.exec("rbd", "snapshot_remove", &input)).await?;
    if image.state().snapshot(id).is_some() {
        // Entries of children that a crash left keep it in the trash until somebody looks.
        if let Err(error) = children_of(&image.io, &image.id, id).await {
            tracing::debug!(image = image.name, %error, "nobody looked at the children of a removed snapshot");
        }
    }
    reclaim::finish_after_commit(image).await;
    Ok(())
}
