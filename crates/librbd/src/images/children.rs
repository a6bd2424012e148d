//! Clones as their parent's header lists them.

use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp};

use super::directory::{entry_by_id, image_id};
use super::unfinished::{Standing, settle};
use crate::error::{Error, Result};
use crate::header::read_header;
use crate::names;
use crate::parent::detach_child;
use crate::state::{ParentSpec, Snapshot};

/// A clone of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub name: String,
}

/// Clones of a snapshot, or of all snapshots of the image, those in the trash too; also clones that are being made. ENOENT for an unknown image or
/// snapshot.
pub async fn children(io: &IoCtx, name: &str, snap: Option<&str>) -> Result<Vec<Child>> {
    let id = image_id(io, name).await?;
    let header = read_header(io, &id).await?;
    let is_meant = |found: &&Snapshot| snap.is_none_or(|name| found.name == name && !found.in_trash);
    let snapshots: Vec<_> = header.snapshots.iter().filter(is_meant).collect();
    if let (Some(snap), []) = (snap, &snapshots[..]) {
        let text = format!("image {}/{name} has no snapshot {snap}", io.pool());
        return Err(Error::refused(Errno::ENOENT, text));
    }
    let mut children = Vec::new();
    for snapshot in snapshots {
        for child in children_of(io, &id, snapshot.id).await? {
            children.extend(named(io, child).await?);
        }
    }
    children.sort();
    Ok(children)
}

/// The clones of a snapshot, once the entries have gone that a crash left: a clone whose header does not name the snapshot as
/// its parent will never do so again.
pub(crate) async fn children_of(io: &IoCtx, image_id: &str, snap_id: u64) -> Result<Vec<wire::Child>> {
    let parent = ParentSpec { pool: io.pool().to_owned(), image_id: image_id.to_owned(), snap_id };
    let mut children = Vec::new();
    for child in entries(io, &parent).await? {
        if is_child(io, &child, &parent).await? {
            children.push(child);
        }
    }
    Ok(children)
}

async fn entries(io: &IoCtx, parent: &ParentSpec) -> Result<Vec<wire::Child>> {
    let ParentSpec { image_id, snap_id, .. } = parent;
    let attempted =
        || Error::osd(format!("list the children of image id {image_id} at snapshot id {snap_id}"));
    let op = ObjectOp::new().exec("rbd", "children_list", &wire::ChildrenList { snap_id: *snap_id });
    match io.operate(&names::header(image_id), op).await {
        // The snapshot has gone meanwhile, and its children before it.
        Err(error) if error.errno() == Errno::ENOENT => Ok(Vec::new()),
        reply => {
            let reply = reply.and_then(|reply| reply.exec::<wire::ChildrenListReply>(0));
            Ok(reply.map_err(attempted())?.children)
        }
    }
}

async fn is_child(parent_io: &IoCtx, child: &wire::Child, parent: &ParentSpec) -> Result<bool> {
    let Some(io) = pool_of(parent_io, child).await? else { return Ok(false) };
    let is_named =
        |header: &crate::header::Header| header.parent.as_ref().is_some_and(|(spec, _)| spec == parent);
    let is_child = match read_header(&io, &child.image_id).await {
        Ok(header) => is_named(&header),
        Err(error) if error.errno() == Errno::ENOENT => match settle(&io, &child.image_id, None).await? {
            Standing::Complete(header) => is_named(&header),
            Standing::UnderWay { .. } => true,
            Standing::Gone => false,
        },
        Err(error) => return Err(error),
    };
    if !is_child {
        detach_child(&io, &child.image_id, parent).await?;
    }
    Ok(is_child)
}

/// `None`: the directory does not have it any more.
async fn named(io: &IoCtx, child: wire::Child) -> Result<Option<Child>> {
    let Some(io) = pool_of(io, &child).await? else { return Ok(None) };
    let entry = entry_by_id(&io, &child.image_id).await?;
    Ok(entry.map(|entry| Child { pool: child.pool, name: entry.name }))
}

/// `None`: there is no such pool.
async fn pool_of(io: &IoCtx, child: &wire::Child) -> Result<Option<IoCtx>> {
    match io.rados().io_ctx(&child.pool).await {
        Ok(io) => Ok(Some(io)),
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        Err(error) => {
            let attempted = format!("look up image id {} in pool {}", child.image_id, child.pool);
            Err(Error::osd(attempted)(error))
        }
    }
}
