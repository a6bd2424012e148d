use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Watcher};

use crate::error::{Error, Result};
use crate::header::read_header;
use crate::names;

/// A clone of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// Its pool.
    pub pool: String,
    /// Its name; the id when the directory does not have it, as of a clone that is being made.
    pub name: String,
}

/// The id of the image with this name. ENOENT names the image.
pub async fn image_id(io: &IoCtx, name: &str) -> Result<String> {
    names::check_image_name(name)?;
    let op = ObjectOp::new().exec_empty("rbd", "get_id");
    let attempted = format!("look up image {}/{name}", io.pool());
    match io.operate(&names::id_object(name), op).await {
        Ok(reply) => reply.exec::<wire::ImageId>(0).map(|found| found.id).map_err(Error::osd(attempted)),
        Err(error) if error.errno() == Errno::ENOENT => {
            Err(Error::refused(Errno::ENOENT, format!("image {}/{name} does not exist", io.pool())))
        }
        Err(error) => Err(Error::osd(attempted)(error)),
    }
}

/// Names of the images of a pool, in byte order.
pub async fn list(io: &IoCtx) -> Result<Vec<String>> {
    let attempted = || format!("list the images of pool {}", io.pool());
    let mut found = Vec::<String>::new();
    loop {
        let page = wire::DirectoryList { after: found.last().cloned().unwrap_or_default(), max: 0 };
        let op = ObjectOp::new().exec("rbd", "dir_list", &page);
        let reply = match io.operate(names::DIRECTORY, op).await {
            Err(error) if error.errno() == Errno::ENOENT => return Ok(found),
            reply => reply.map_err(Error::osd(attempted()))?,
        };
        let page: wire::DirectoryListReply = reply.exec(0).map_err(Error::osd(attempted()))?;
        let is_last = !page.more || page.entries.is_empty();
        found.extend(page.entries.into_iter().map(|entry| entry.name));
        if is_last {
            return Ok(found);
        }
    }
}

/// Clones of a snapshot, or of all snapshots of the image. ENOENT for an unknown image or snapshot.
pub async fn children(io: &IoCtx, name: &str, snap: Option<&str>) -> Result<Vec<Child>> {
    let id = image_id(io, name).await?;
    let header = read_header(io, &id).await?;
    let snapshots: Vec<_> =
        header.snapshots.iter().filter(|found| snap.is_none_or(|name| found.name == name)).collect();
    if let (Some(snap), []) = (snap, &snapshots[..]) {
        let text = format!("image {}/{name} has no snapshot {snap}", io.pool());
        return Err(Error::refused(Errno::ENOENT, text));
    }
    let mut children = Vec::new();
    for snapshot in snapshots {
        let attempted = format!("list the children of {}/{name}@{}", io.pool(), snapshot.name);
        let op = ObjectOp::new().exec("rbd", "children_list", &wire::ChildrenList { snap_id: snapshot.id });
        let reply = io.operate(&names::header(&id), op).await.map_err(Error::osd(attempted.clone()))?;
        let reply: wire::ChildrenListReply = reply.exec(0).map_err(Error::osd(attempted))?;
        for child in reply.children {
            children.push(named(io, child).await?);
        }
    }
    children.sort();
    Ok(children)
}

async fn named(io: &IoCtx, child: wire::Child) -> Result<Child> {
    let attempted = || format!("look up the name of image id {} in pool {}", child.image_id, child.pool);
    let io = io.rados().io_ctx(&child.pool).await.map_err(Error::osd(attempted()))?;
    let name =
        entry_by_id(&io, &child.image_id).await?.map_or_else(|| child.image_id.clone(), |entry| entry.name);
    Ok(Child { pool: child.pool, name })
}

/// Who has the image open: every registered watch of its header.
pub async fn watchers(io: &IoCtx, name: &str) -> Result<Vec<Watcher>> {
    let id = image_id(io, name).await?;
    let attempted = format!("list the watchers of image {}/{name}", io.pool());
    io.list_watchers(&names::header(&id)).await.map_err(Error::osd(attempted))
}

/// The directory's entry for an image id.
pub(crate) async fn entry_by_id(io: &IoCtx, id: &str) -> Result<Option<wire::DirectoryEntry>> {
    let entry = wire::DirectoryEntry { name: String::new(), id: id.to_owned() };
    match io.operate(names::DIRECTORY, ObjectOp::new().exec("rbd", "dir_get_name", &entry)).await {
        Ok(reply) => reply.exec(0).map(Some),
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
    .map_err(Error::osd(format!("look up image id {id} in the directory of pool {}", io.pool())))
}
