//! Images that are being made, renamed or removed: an intent in the directory, beside the image's entry.
//!
//! The directory has an image from before anything of it exists until everything of it is gone, so that whatever a crash leaves
//! can be found. Key `unfinished_<image id>` of the directory, value `rbd.UnfinishedImage`.
//!
//! | what | steps, each one op vector |
//! |---|---|
//! | make | entry and intent; id object; child's entry at the parent; header; intent off |
//! | rename | entry renamed and intent; new id object; old id object off; record of a request that was forwarded; intent off |
//! | remove | intent; header off; data off; child's entry off; id object off; entry and intent off |
//!
//! An image with a header is complete, whatever the intent says. One without is being made or removed as long as the client that the
//! intent names watches the directory, from before the intent is there until it has gone: its name is taken, and it is not there to be
//! opened. Otherwise it is remains, which whoever meets them removes. A maker is fenced before, as the dead owner of a lock is, so that its
//! header cannot come any more. A remover need not be: who removes the remains puts its own claim in place of the other's, and only who
//! finds the intent as it knows it takes the entry out of the directory, and has removed the image. So nobody comes between a
//! remover that is heard and its success. One that was not heard for the timeout of its watch is told ETIMEDOUT if others have removed the
//! image meanwhile.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use futures_util::{StreamExt, stream};
use prost::Message;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Reply};
use rbd_protocol::RequestId;

use super::directory::entry_by_id;
use crate::error::{Error, Result};
use crate::header::{Header, read_header};
use crate::names;
use crate::parent::detach_child;
use crate::state::ParentSpec;

const PREFIX: &str = "unfinished_";
/// Looks at one image that others change meanwhile.
const LOOKS_MAX: usize = 8;
/// Data objects of remains that are removed at once: the default of `rbd_concurrent_management_ops`.
const REMOVALS_MAX: usize = 10;

/// What is under way with an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The client instance that makes it; `None` = it has been complete.
    pub(super) maker: Option<u64>,
    /// Of a clone: the parent that may have it in its list of children.
    pub(super) parent: Option<ParentSpec>,
    /// The name whose id object may still be there.
    pub(super) former_name: Option<String>,
    /// Of a renaming: what it was made for. Whoever owns the image's lock sees to the record of that, and takes the intent off.
    pub(super) request: Option<RequestId>,
    /// Of a removal: what its data objects are found by when the header has gone.
    pub(super) object_prefix: Option<String>,
    /// Who is at the removal; `None` = nobody any more.
    pub(super) remover: Option<Remover>,
}

/// One removal of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remover {
    /// The client instance.
    pub(super) gid: u64,
    /// Which of its removals.
    pub(super) number: u64,
}

/// What there is of an image.
#[derive(Debug)]
pub(super) enum Standing {
    /// It is complete.
    Complete(Box<Header>),
    /// It has no header: it is being made or removed.
    UnderWay {
        /// By a client that lives; `None` = there is no intent, as when another kind of client makes it.
        by: Option<u64>,
    },
    /// Nothing.
    Gone,
}

/// What a look at an image has found.
#[derive(Debug)]
pub(super) enum Look {
    Found(Standing),
    /// It has no header, and nobody who lives is at it: this intent is what is left to do.
    Remains(Unfinished),
    /// It has changed meanwhile.
    Changed,
}

impl Unfinished {
    /// What puts the intent into the directory, or in place of the one that is there.
    pub(super) fn written(&self, op: ObjectOp, id: &str) -> ObjectOp {
        op.omap_set(BTreeMap::from([(key(id), self.encoded())]))
    }

    /// What puts the intent in place of the one that was seen, ECANCELED when it is not there any more; `None` = there was none.
    pub(super) fn replacing(&self, op: ObjectOp, id: &str, seen: Option<&Self>) -> ObjectOp {
        self.written(is_still(op, id, seen), id)
    }

    fn encoded(&self) -> Bytes {
        let record = wire::UnfinishedImage {
            maker_gid: self.maker.unwrap_or(0),
            parent: self.parent.as_ref().map(Into::into),
            former_name: self.former_name.clone().unwrap_or_default(),
            request: self.request.map(|RequestId { gid, open, number }| wire::RenamingRequest {
                gid,
                open_number: open,
                request_number: number,
            }),
            object_prefix: self.object_prefix.clone().unwrap_or_default(),
            remover: self
                .remover
                .map(|Remover { gid, number }| wire::ImageRemover { gid, removal_number: number }),
        };
        record.encode_to_vec().into()
    }

    /// EIO for a record that is none.
    fn decoded(id: &str, value: Bytes) -> Result<Self> {
        let record = wire::UnfinishedImage::decode(value)
            .map_err(|_| Error::refused(Errno::EIO, format!("the intent of image id {id} is unreadable")))?;
        Ok(Self {
            maker: (record.maker_gid != 0).then_some(record.maker_gid),
            parent: record.parent.map(Into::into),
            former_name: Some(record.former_name).filter(|name| !name.is_empty()),
            request: record.request.map(|request| RequestId {
                gid: request.gid,
                open: request.open_number,
                number: request.request_number,
            }),
            object_prefix: Some(record.object_prefix).filter(|prefix| !prefix.is_empty()),
            remover: record
                .remover
                .map(|remover| Remover { gid: remover.gid, number: remover.removal_number }),
        })
    }
}

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn is_still(op: ObjectOp, id: &str, seen: Option<&Unfinished>) -> ObjectOp {
    op.omap_compare(key(id), seen.map(Unfinished::encoded))
}

/// The intent of an image, if there is one.
pub(super) async fn read(io: &IoCtx, id: &str) -> Result<Option<Unfinished>> {
    let op = ObjectOp::new().omap_get([key(id)]);
    let found = match io.operate(names::DIRECTORY, op).await {
        Err(error) if error.errno() == Errno::ENOENT => return Ok(None),
        reply => reply.and_then(|reply| reply.omap(0)),
    };
    let found =
        found.map_err(Error::osd(format!("read the intent of image id {id} in pool {}", io.pool())))?;
    found.entries.into_values().next().map(|value| Unfinished::decoded(id, value)).transpose()
}

/// Takes the intent off, unless another one is there by now.
pub(super) async fn finished(io: &IoCtx, id: &str, intent: &Unfinished) -> Result<()> {
    let op = is_still(ObjectOp::new(), id, Some(intent)).omap_remove([key(id)]);
    match io.operate(names::DIRECTORY, op).await {
        Err(error) if matches!(error.errno(), Errno::ECANCELED | Errno::ENOENT) => Ok(()),
        done => done.map(drop).map_err(Error::osd(format!("take the intent of image id {id} off"))),
    }
}

/// What there is of the image with this id, once what a crash left has been finished: a renaming is completed, remains are
/// removed. `name`: what it is known as, if the directory does not know. EBUSY when others change it all the time.
pub(super) async fn settle(io: &IoCtx, id: &str, name: Option<&str>) -> Result<Standing> {
    for _ in 0..LOOKS_MAX {
        match look(io, id, name).await? {
            Look::Found(standing) => return Ok(standing),
            Look::Remains(intent) => drop(erase(io, id, name, Some(&intent)).await?),
            Look::Changed => {}
        }
    }
    let text = format!("image id {id} in pool {} changes whenever it is looked at", io.pool());
    Err(Error::refused(Errno::EBUSY, text))
}

/// The same, but remains are left.
pub(super) async fn look(io: &IoCtx, id: &str, name: Option<&str>) -> Result<Look> {
    let intent = read(io, id).await?;
    // Who is at it first: when a maker has ended before, a header that is missing will not come.
    let by = who_is_at_it(io, intent.as_ref()).await?;
    if let Some(header) = header_of(io, id).await? {
        if let Some(Unfinished { former_name: Some(former), .. }) = &intent {
            finish_renaming(io, id, former).await?;
        }
        return Ok(Look::Found(Standing::Complete(Box::new(header))));
    }
    if by.is_some() {
        return Ok(Look::Found(Standing::UnderWay { by }));
    }
    let Some(intent) = intent else {
        let is_named = is_named(io, id, name).await?;
        return Ok(Look::Found(if is_named { Standing::UnderWay { by: None } } else { Standing::Gone }));
    };
    // Whoever comes to an end in order takes the intent off before it stops watching: if it has not, it will not.
    let is_dead = (planted::is(planted::Mistake::FenceMaker)
        || read(io, id).await?.as_ref() == Some(&intent))
        && fence_maker(io, &intent).await?
        && header_of(io, id).await?.is_none();
    Ok(if is_dead { Look::Remains(intent) } else { Look::Changed })
}

async fn header_of(io: &IoCtx, id: &str) -> Result<Option<Header>> {
    match read_header(io, id).await {
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        header => header.map(Some),
    }
}

/// Whether the directory or an id object has it.
async fn is_named(io: &IoCtx, id: &str, name: Option<&str>) -> Result<bool> {
    if entry_by_id(io, id).await?.is_some() {
        return Ok(true);
    }
    let Some(name) = name else { return Ok(false) };
    Ok(id_of_name(io, name).await?.is_some_and(|(found, _)| found == id))
}

/// The maker or remover, if it watches the directory. A session knows its own watches whatever the OSD knows of them at the moment; and what
/// it makes it takes back itself.
pub(super) async fn who_is_at_it(io: &IoCtx, intent: Option<&Unfinished>) -> Result<Option<u64>> {
    let Some(intent) = intent else { return Ok(None) };
    let Some(gid) = intent.maker.or(intent.remover.map(|remover| remover.gid)) else { return Ok(None) };
    let lives = if gid == io.rados().gid() {
        intent.maker.is_some() || io.own_watches(names::DIRECTORY) > 0
    } else {
        let watchers = io.list_watchers(names::DIRECTORY).await.map_err(failed_to_look(gid))?;
        watchers.iter().any(|watcher| watcher.gid == gid)
    };
    Ok(lives.then_some(gid))
}

/// A maker that does not watch the directory may not make the header from here on. False: it watches again.
async fn fence_maker(io: &IoCtx, intent: &Unfinished) -> Result<bool> {
    let Some(maker) = intent.maker else { return Ok(true) };
    let sessions = io.rados().sessions().await.map_err(failed_to_look(maker))?;
    if !sessions.iter().any(|session| session.gid == maker) {
        return Ok(true);
    }
    tracing::info!(maker, "fencing a client that died while it made an image");
    match io.blocklist_unless_watching(names::DIRECTORY, maker, None).await {
        Err(error) if error.errno() == Errno::EBUSY => Ok(false),
        fenced => fenced.map(|()| true).map_err(failed_to_look(maker)),
    }
}

fn failed_to_look(gid: u64) -> impl FnOnce(rados::Error) -> Error {
    Error::osd(format!("look whether client.{gid}, which makes or removes an image, lives"))
}

/// The steps after the directory's, any number of times. EEXIST when the id object of the new name is another image's.
pub(super) async fn finish_renaming(io: &IoCtx, id: &str, former: &str) -> Result<()> {
    let Some(entry) = entry_by_id(io, id).await? else { return Ok(()) };
    if !claim_name(io, &entry.name, id).await? {
        let text = format!("the id object of image {}/{} belongs to another image", io.pool(), entry.name);
        return Err(Error::refused(Errno::EEXIST, text));
    }
    if former == entry.name { Ok(()) } else { give_name_back(io, former, id).await }
}

/// Removes what there may be of an image without header: its data, and what [`erase_entries`] removes. Whether its entry was in the
/// directory until now.
pub(super) async fn erase(
    io: &IoCtx,
    id: &str,
    name: Option<&str>,
    intent: Option<&Unfinished>,
) -> Result<bool> {
    if let Some(Unfinished { object_prefix: Some(prefix), .. }) = intent {
        let removed = remove_data(io, prefix, REMOVALS_MAX, |_, _| {}).await;
        removed.map_err(failed(io, name.unwrap_or(id)))?;
    }
    erase_entries(io, id, name, intent).await
}

/// All data objects there are, also those beyond the end that an interrupted resize left; so many at once. `progress` gets how many
/// are done, of how many. The first error, after all have been tried.
pub(super) async fn remove_data(
    io: &IoCtx,
    prefix: &str,
    at_once: usize,
    progress: impl Fn(u64, u64),
) -> Result<(), rados::Error> {
    let objects = io.list_objects(&format!("{prefix}.")).await?;
    let total = objects.len() as u64;
    let removals = objects.into_iter().map(|object| async move {
        match io.operate(&object, ObjectOp::new().remove()).await {
            Err(error) if error.errno() == Errno::ENOENT => Ok(()),
            removed => removed.map(drop),
        }
    });
    let mut removals = stream::iter(removals).buffer_unordered(at_once);
    let (mut done, mut result) = (0, Ok(()));
    while let Some(removed) = removals.next().await {
        done += 1;
        progress(done, total);
        result = result.and(removed);
    }
    result
}

/// The entry of an image without header and data at the parent, its id objects, and last what they are found by, its entry in the
/// directory, with the intent as it was seen; `None` = there was none. Each may be missing. Whether that entry was there until now, and
/// nobody else has claimed to remove it.
pub(super) async fn erase_entries(
    io: &IoCtx,
    id: &str,
    name: Option<&str>,
    intent: Option<&Unfinished>,
) -> Result<bool> {
    if let Some(parent) = intent.and_then(|intent| intent.parent.as_ref()) {
        detach_child(io, id, parent).await?;
    }
    let entry = entry_by_id(io, id).await?;
    let entry_name = entry.as_ref().map(|entry| entry.name.as_str());
    let former_name = intent.and_then(|intent| intent.former_name.as_deref());
    for name in entry_name.into_iter().chain(name).chain(former_name) {
        give_name_back(io, name, id).await?;
    }
    let Some(entry) = entry else { return Ok(false) };
    let op = is_still(ObjectOp::new(), id, intent).exec("rbd", "dir_remove_image", &entry);
    match io.operate(names::DIRECTORY, op.omap_remove([key(id)])).await {
        Err(error) if matches!(error.errno(), Errno::ECANCELED | Errno::ENOENT | Errno::ESTALE) => Ok(false),
        removed => removed.map(|_| true).map_err(failed(io, &entry.name)),
    }
}

/// Puts the removal's claim in place of the intent that was seen. False: it is not there any more.
pub(super) async fn claim(io: &IoCtx, id: &str, seen: &Unfinished, claim: &Unfinished) -> Result<bool> {
    match io.operate(names::DIRECTORY, claim.replacing(ObjectOp::new(), id, Some(seen))).await {
        Err(error) if matches!(error.errno(), Errno::ECANCELED | Errno::ENOENT) => Ok(false),
        claimed => claimed.map(|_| true).map_err(failed(io, id)),
    }
}

/// Nobody is at the removal any more, if `remover` was.
pub(super) async fn disclaim(io: &IoCtx, id: &str, remover: Remover) -> Result<()> {
    match read(io, id).await? {
        Some(intent) if intent.remover == Some(remover) => {
            claim(io, id, &intent, &Unfinished { remover: None, ..intent.clone() }).await.map(drop)
        }
        _ => Ok(()),
    }
}

fn failed(io: &IoCtx, name: &str) -> impl FnOnce(rados::Error) -> Error + use<> {
    Error::osd(format!("remove what there is of image {}/{name}", io.pool()))
}

/// Makes the id object of a name. False: it belongs to another image.
pub(super) async fn claim_name(io: &IoCtx, name: &str, id: &str) -> Result<bool> {
    let op = ObjectOp::new().exec("rbd", "set_id", &wire::ImageId { id: id.to_owned() });
    match io.operate(&names::id_object(name), op).await {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Errno::EEXIST => {
            Ok(id_of_name(io, name).await?.is_some_and(|(found, _)| found == id))
        }
        Err(error) => Err(Error::osd(format!("claim the name of image {}/{name}", io.pool()))(error)),
    }
}

/// What the id object of a name says, and the reply that said so.
pub(super) async fn id_of_name(io: &IoCtx, name: &str) -> Result<Option<(String, Reply)>> {
    let attempted = || Error::osd(format!("look up image {}/{name}", io.pool()));
    let op = ObjectOp::new().exec_empty("rbd", "get_id");
    match io.operate(&names::id_object(name), op).await {
        Err(error) if error.errno() == Errno::ENOENT => Ok(None),
        reply => {
            let reply = reply.map_err(attempted())?;
            let id = reply.exec::<wire::ImageId>(0).map_err(attempted())?.id;
            Ok(Some((id, reply)))
        }
    }
}

/// Removes the id object, unless the name was claimed for another image in the meantime.
async fn give_name_back(io: &IoCtx, name: &str, id: &str) -> Result<()> {
    let Some((found, claim)) = id_of_name(io, name).await? else { return Ok(()) };
    if found != id {
        return Ok(());
    }
    let op = ObjectOp::new().assert_version(claim.version).remove();
    match io.operate(&names::id_object(name), op).await {
        Err(error) if matches!(error.errno(), Errno::ENOENT | Errno::ERANGE | Errno::EOVERFLOW) => Ok(()),
        removed => removed.map(drop).map_err(failed(io, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_survives_its_encoding() {
        let parent = ParentSpec { pool: "rbd".to_owned(), image_id: "a1".to_owned(), snap_id: 7 };
        for intent in [
            Unfinished::default(),
            Unfinished { maker: Some(7), parent: Some(parent), ..Unfinished::default() },
            Unfinished {
                object_prefix: Some("rbd_data.a1".to_owned()),
                remover: Some(Remover { gid: 4, number: 2 }),
                ..Unfinished::default()
            },
            Unfinished {
                former_name: Some("old".to_owned()),
                request: Some(RequestId { gid: 4, open: 1, number: 9 }),
                ..Unfinished::default()
            },
        ] {
            assert_eq!(Unfinished::decoded("a", intent.encoded()).unwrap(), intent);
        }
        let unreadable = Unfinished::decoded("a", Bytes::from_static(b"\xff"));
        assert_eq!(unreadable.unwrap_err().errno(), Errno::EIO);
    }
}
