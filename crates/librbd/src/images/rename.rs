//! The directory's part of a renaming. The directory decides: once its op vector has renamed the entry the image has its new name,
//! and whoever meets the image sees to its id objects.

use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::RequestId;

use super::directory::{entry_by_id, id_in_directory};
use super::unfinished::{self, Unfinished, id_of_name, settle};
use crate::error::{Error, Result};
use crate::names;
use crate::throttle::interrupted;

/// Looks at who has the new name: it is free when they turn out to be remains.
const LOOKS_MAX: usize = 8;

/// One renaming of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renaming<'a> {
    pub(crate) io: &'a IoCtx,
    /// Of the image.
    pub(crate) id: &'a str,
    pub(crate) new_name: &'a str,
    /// What it is made for.
    pub(crate) request: RequestId,
}

/// The request that the image was last renamed for, unless its end is on record or nobody waits for it.
pub(crate) async fn last_request(io: &IoCtx, id: &str) -> Result<Option<RequestId>> {
    Ok(unfinished::read(io, id).await?.and_then(|intent| intent.request))
}

/// Sees to the id objects of an image whose renaming was cut, if it was.
pub(crate) async fn finish_names(io: &IoCtx, id: &str) -> Result<()> {
    match unfinished::read(io, id).await? {
        Some(Unfinished { former_name: Some(former), .. }) => {
            unfinished::finish_renaming(io, id, &former).await
        }
        _ => Ok(()),
    }
}

/// Takes the intent of a renaming off, whose id objects are done and whose end is on record.
pub(crate) async fn forget(io: &IoCtx, id: &str, request: RequestId) -> Result<()> {
    match unfinished::read(io, id).await? {
        Some(intent) if intent.request == Some(request) => unfinished::finished(io, id, &intent).await,
        _ => Ok(()),
    }
}

impl Renaming<'_> {
    /// Renames the entry, in one op vector with the intent. EEXIST for a name that is taken, and for the one that it has; ENOENT when the
    /// directory does not have the image; ERESTART when it was renamed, or began to be removed, meanwhile.
    pub(crate) async fn decide(&self) -> Result<()> {
        let Some(entry) = entry_by_id(self.io, self.id).await? else {
            let text = format!("image id {} is not in the directory of pool {}", self.id, self.io.pool());
            return Err(Error::refused(Errno::ENOENT, text));
        };
        if entry.name == self.new_name {
            return Err(self.exists());
        }
        let before = unfinished::read(self.io, self.id).await?;
        if let Some(Unfinished { remover: Some(_), .. }) = &before
            && unfinished::who_is_at_it(self.io, before.as_ref()).await?.is_some()
        {
            return Err(interrupted());
        }
        let intent = Unfinished {
            parent: before.as_ref().and_then(|before| before.parent.clone()),
            former_name: Some(entry.name.clone()),
            request: Some(self.request),
            ..Unfinished::default()
        };
        let (old_name, new_name) = (entry.name, self.new_name.to_owned());
        let input = wire::DirectoryRename { old_name, new_name, id: self.id.to_owned() };
        for _ in 0..LOOKS_MAX {
            if !self.is_free().await? {
                break;
            }
            let op = ObjectOp::new().exec("rbd", "dir_rename_image", &input);
            match self.io.operate(names::DIRECTORY, intent.replacing(op, self.id, before.as_ref())).await {
                Err(error) if error.errno() == Errno::EEXIST => {}
                Err(error) if matches!(error.errno(), Errno::ESTALE | Errno::ECANCELED) => {
                    return Err(interrupted());
                }
                renamed => {
                    let what =
                        format!("rename image {}/{} to {}", self.io.pool(), input.old_name, self.new_name);
                    return renamed.map(drop).map_err(Error::osd(what));
                }
            }
        }
        Err(self.exists())
    }

    /// Nobody else has the name, once what a crash left of whoever has it is finished.
    async fn is_free(&self) -> Result<bool> {
        let Some(holder) = self.other_holder().await? else { return Ok(true) };
        settle(self.io, &holder, Some(self.new_name)).await?;
        Ok(self.other_holder().await?.is_none())
    }

    async fn other_holder(&self) -> Result<Option<String>> {
        let holder = match id_of_name(self.io, self.new_name).await? {
            Some((id, _)) => Some(id),
            None => id_in_directory(self.io, self.new_name).await?,
        };
        Ok(holder.filter(|id| id != self.id))
    }

    fn exists(&self) -> Error {
        let text = format!("image {}/{} exists already", self.io.pool(), self.new_name);
        Error::refused(Errno::EEXIST, text)
    }
}
