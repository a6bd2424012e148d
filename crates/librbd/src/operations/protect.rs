//! Protection of a snapshot: changed by whoever asks, without the lock.

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use super::announce_header_update;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::opened::OpenImage;
use crate::state::{Protection, Snapshot};

/// ENOENT; EBUSY when it is protected already; ENOSYS without layering.
pub(crate) async fn protect(image: &OpenImage, name: &str) -> Result<()> {
    let snapshot = find(image, name).await?;
    if snapshot.protection == Protection::Protected {
        return Err(Error::refused(
            Errno::EBUSY,
            format!("snapshot {name} of image {} is protected already", image.name),
        ));
    }
    set(image, &snapshot, cls::Protection::Protected).await?;
    announce_header_update(image).await;
    Ok(())
}

/// ENOENT; EINVAL when it is not protected; EBUSY when it has children, and then it stays protected.
pub(crate) async fn unprotect(image: &OpenImage, name: &str) -> Result<()> {
    let snapshot = find(image, name).await?;
    if snapshot.protection == Protection::Unprotected {
        return Err(Error::invalid(format!("snapshot {name} of image {} is not protected", image.name)));
    }
    // From here on no clone can be made; one that was made before is in the list.
    set(image, &snapshot, cls::Protection::Unprotecting).await?;
    let children = count_children(image, &snapshot).await;
    if !matches!(children, Ok(0)) {
        set(image, &snapshot, cls::Protection::Protected).await?;
        let children = children?;
        let text = format!("snapshot {name} of image {} has {children} children", image.name);
        return Err(Error::refused(Errno::EBUSY, text));
    }
    set(image, &snapshot, cls::Protection::Unprotected).await?;
    announce_header_update(image).await;
    Ok(())
}

async fn find(image: &OpenImage, name: &str) -> Result<Snapshot> {
    image.check_writable()?;
    image.refresh().await?;
    let state = image.state();
    if !state.features.contains(Features::LAYERING) {
        let text = format!("image {} has no feature layering: its snapshots cannot be protected", image.name);
        return Err(Error::refused(Errno::ENOSYS, text));
    }
    state
        .snapshot_by_name(name)
        .cloned()
        .ok_or_else(|| Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name}", image.name)))
}

async fn set(image: &OpenImage, snapshot: &Snapshot, protection: cls::Protection) -> Result<()> {
    let what = format!("set the protection of snapshot {} of image {}", snapshot.name, image.name);
    let input = cls::SetProtectionStatus { id: snapshot.id, protection: protection.into() };
    let set =
        image.io.operate(&image.header, ObjectOp::new().exec("rbd", "set_protection_status", &input)).await;
    image.mark_stale();
    set.map(drop).map_err(Error::osd(what))
}

async fn count_children(image: &OpenImage, snapshot: &Snapshot) -> Result<usize> {
    let what = format!("list the children of snapshot {} of image {}", snapshot.name, image.name);
    let input = cls::ChildrenList { snap_id: snapshot.id };
    let reply = image.io.operate(&image.header, ObjectOp::new().exec("rbd", "children_list", &input)).await;
    let reply = reply.and_then(|reply| reply.exec::<cls::ChildrenListReply>(0)).map_err(Error::osd(what))?;
    Ok(reply.children.len())
}
