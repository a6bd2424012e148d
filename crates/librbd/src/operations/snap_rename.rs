//! A snapshot's name: changed by whoever asks, without the lock, as its protection is.

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use super::{announce_header_update, unless_gone};
use crate::error::{Error, Result};
use crate::opened::OpenImage;

/// ENOENT; EEXIST for a name that is taken.
pub(crate) async fn snap_rename(image: &OpenImage, name: &str, new_name: &str) -> Result<()> {
    image.check_writable()?;
    image.refresh().await?;
    let id = image.state().snapshot_by_name(name).map(|snapshot| snapshot.id).ok_or_else(|| {
        Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name}", image.name))
    })?;
    let input = cls::SnapshotRename { id, name: new_name.to_owned() };
    let op = ObjectOp::new().exec("rbd", "snapshot_rename", &input);
    let renamed = image.io.operate(&image.header, op).await;
    image.mark_stale();
    let what = format!("rename snapshot {name} of image {} to {new_name}", image.name);
    if let Err(error) = renamed.map_err(Error::osd(what)) {
        return Err(unless_gone(image, name, id, error).await);
    }
    announce_header_update(image).await;
    Ok(())
}
