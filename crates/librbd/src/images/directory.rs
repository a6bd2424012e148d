use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Watch, Watcher};

use super::unfinished::{Standing, id_of_name, settle};
use crate::error::{Error, Result};
use crate::names;

/// The id of the image with this name. ENOENT names the image.
pub async fn image_id(io: &IoCtx, name: &str) -> Result<String> {
    names::check_image_name(name)?;
    if let Some((id, _)) = id_of_name(io, name).await? {
        return Ok(id);
    }
    // The directory has it before it gets its id object, and after it has lost it.
    if let Some(id) = id_in_directory(io, name).await?
        && let Standing::Complete(_) = settle(io, &id, Some(name)).await?
    {
        return Ok(id);
    }
    Err(Error::refused(Errno::ENOENT, format!("image {}/{name} does not exist", io.pool())))
}

/// The name of the image with this id, if the directory has it.
pub async fn image_name(io: &IoCtx, id: &str) -> Result<Option<String>> {
    Ok(entry_by_id(io, id).await?.map(|entry| entry.name))
}

/// The id that the directory has for a name.
pub(super) async fn id_in_directory(io: &IoCtx, name: &str) -> Result<Option<String>> {
    let entry = wire::DirectoryEntry { name: name.to_owned(), id: String::new() };
    match io.operate(names::DIRECTORY, ObjectOp::new().exec("rbd", "dir_get_id", &entry)).await {
        Ok(reply) => reply.exec(0).map(|entry: wire::DirectoryEntry| Some(entry.id)),
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
    .map_err(Error::osd(format!("look up image {name} in the directory of pool {}", io.pool())))
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

/// Who has the image open: every registered watch of its header.
pub async fn watchers(io: &IoCtx, name: &str) -> Result<Vec<Watcher>> {
    let id = image_id(io, name).await?;
    let attempted = format!("list the watchers of image {}/{name}", io.pool());
    io.list_watchers(&names::header(&id)).await.map_err(Error::osd(attempted))
}

/// Of a client that makes or removes an image: as long as it watches, nobody else finishes that.
pub(super) async fn watch_directory(io: &IoCtx) -> Result<Watch, rados::Error> {
    match io.watch(names::DIRECTORY, None).await {
        Err(error) if error.errno() == Errno::ENOENT => {}
        watch => return watch,
    }
    io.operate(names::DIRECTORY, ObjectOp::new().create(false)).await?;
    io.watch(names::DIRECTORY, None).await
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
