//! Protection of a snapshot: changed by whoever asks, without the lock.

use errno::Errno;
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use super::{announce_header_update, unless_gone};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::names;
use crate::opened::OpenImage;
use crate::state::{Protection, Snapshot};

/// ENOENT; EBUSY when it is protected already, or changed by somebody else meanwhile; ENOSYS without layering.
pub(crate) async fn protect(image: &OpenImage, name: &str) -> Result<()> {
    let snapshot = find(image, name).await?;
    if snapshot.protection == Protection::Protected {
        return Err(Error::refused(
            Errno::EBUSY,
            format!("snapshot {name} of image {} is protected already", image.name),
        ));
    }
    set(image, &snapshot, snapshot.protection, Protection::Protected).await?;
    announce_header_update(image).await;
    Ok(())
}

/// ENOENT; EINVAL when it is not protected; EBUSY when it has children of clone format 1, and then it stays protected, or when
/// somebody else changes its protection meanwhile. Clones of format 2 need no protection.
pub(crate) async fn unprotect(image: &OpenImage, name: &str) -> Result<()> {
    let snapshot = find(image, name).await?;
    if snapshot.protection == Protection::Unprotected {
        return Err(Error::invalid(format!("snapshot {name} of image {} is not protected", image.name)));
    }
    // From here on no clone of format 1 can be made; one that was made before is in an index.
    set(image, &snapshot, snapshot.protection, Protection::Unprotecting).await?;
    let pool = pool_with_children(image, &snapshot).await;
    if !matches!(pool, Ok(None)) {
        set(image, &snapshot, Protection::Unprotecting, Protection::Protected).await?;
        let pool = pool?.unwrap_or_default();
        let text = format!("snapshot {name} of image {} has children in pool {pool}", image.name);
        return Err(Error::refused(Errno::EBUSY, text));
    }
    set(image, &snapshot, Protection::Unprotecting, Protection::Unprotected).await?;
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

/// Written only over what was read: EBUSY if it is something else by now.
async fn set(image: &OpenImage, snapshot: &Snapshot, from: Protection, to: Protection) -> Result<()> {
    let what = format!("set the protection of snapshot {} of image {}", snapshot.name, image.name);
    let expected = (!planted::is(planted::Mistake::ProtectUnguarded)).then_some(wire(from).into());
    let input = cls::SetProtectionStatus { id: snapshot.id, protection: wire(to).into(), expected };
    let set =
        image.io.operate(&image.header, ObjectOp::new().exec("rbd", "set_protection_status", &input)).await;
    image.mark_stale();
    match set.map_err(Error::osd(what)) {
        Ok(_) => Ok(()),
        Err(error) => Err(unless_gone(image, &snapshot.name, snapshot.id, error).await),
    }
}

fn wire(protection: Protection) -> cls::Protection {
    match protection {
        Protection::Unprotected => cls::Protection::Unprotected,
        Protection::Unprotecting => cls::Protection::Unprotecting,
        Protection::Protected => cls::Protection::Protected,
    }
}

/// The first pool whose index of clones of format 1 has one of this snapshot.
async fn pool_with_children(image: &OpenImage, snapshot: &Snapshot) -> Result<Option<String>> {
    let failed = || {
        let (snapshot, image) = (&snapshot.name, &image.name);
        Error::osd(format!("look for children of snapshot {snapshot} of image {image}"))
    };
    let parent = cls::ParentSpec {
        pool: image.io.pool().to_owned(),
        image_id: image.id.clone(),
        snap_id: snapshot.id,
    };
    let input = cls::GetChildren { parent: Some(parent) };
    let rados = image.io.rados();
    for pool in rados.pools().await.map_err(failed())? {
        let io = rados.io_ctx(&pool.name).await.map_err(failed())?;
        match io.operate(names::CHILDREN, ObjectOp::new().exec("rbd", "get_children", &input)).await {
            Ok(_) => return Ok(Some(pool.name)),
            Err(error) if error.errno() == Errno::ENOENT => {}
            Err(error) => return Err(failed()(error)),
        }
    }
    Ok(None)
}
