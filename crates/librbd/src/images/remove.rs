use std::convert::Infallible;

use errno::Errno;
use futures_util::{StreamExt, stream};
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp, Watch, WatchEvent};

use super::directory::image_id;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::header::{Header, read_header};
use crate::held_lock::HeldLock;
use crate::lock_class;
use crate::locks;
use crate::names;
use crate::parent::detach_child;
use crate::progress::{OperationEvent, ProgressSink};
use crate::reclaim;

/// Removes an image with its data. EBUSY if it has snapshots, if somebody has it open, or if it is locked by hand; ENOENT if
/// there is no such image. A removal that was interrupted is finished by calling it again.
pub async fn remove(io: &IoCtx, name: &str, config: &Config, progress: ProgressSink) -> Result<()> {
    let id = image_id(io, name).await?;
    match read_header(io, &id).await {
        Ok(header) => {
            let removal = Removal { io, name, id: &id, config };
            removal.check_no_snapshots(&header)?;
            removal.run(&progress).await
        }
        Err(error) if error.errno() == Errno::ENOENT => erase(io, name, &id).await,
        Err(error) => Err(error),
    }
}

struct Removal<'a> {
    io: &'a IoCtx,
    name: &'a str,
    id: &'a str,
    config: &'a Config,
}

impl Removal<'_> {
    async fn run(&self, progress: &ProgressSink) -> Result<()> {
        let timeout = self.config.osd_client_watch_timeout;
        let watching = self.io.watch(&names::header(self.id), timeout).await;
        let mut watch =
            watching.map_err(Error::osd(format!("watch image {}/{}", self.io.pool(), self.name)))?;
        let handle = watch.handle();
        let removed = tokio::select! {
            biased;
            removed = self.remove_watched(handle, progress) => removed,
            never = ack_all(&mut watch) => match never {},
        };
        // The watch has gone with the header when all went well.
        drop(watch.unwatch().await);
        removed
    }

    async fn remove_watched(&self, handle: u64, progress: &ProgressSink) -> Result<()> {
        let lock = HeldLock::new(self.io, &names::header(self.id), handle, self.config);
        if let Err(error) = self.lock(handle, lock.cookie()).await {
            lock.is_gone();
            return Err(error);
        }
        let removed = self.remove_locked(lock.cookie(), progress).await;
        match &removed {
            Ok(()) => lock.is_gone(),
            Err(_) => lock.give_back().await,
        }
        removed
    }

    fn check_no_snapshots(&self, header: &Header) -> Result<()> {
        match header.snapshots.len() {
            0 => Ok(()),
            count => Err(self.busy(&format!("it has {count} snapshots, which must be removed first"))),
        }
    }

    /// Takes the exclusive lock, so that nobody who opens the image now starts to write to it. A dead owner's is broken.
    async fn lock(&self, handle: u64, cookie: &str) -> Result<()> {
        let header = names::header(self.id);
        let failed = || Error::osd(format!("lock image {}/{}", self.io.pool(), self.name));
        let own = (self.io.rados().gid(), handle);
        let watchers = self.io.list_watchers(&header).await.map_err(failed())?;
        let others: Vec<_> = watchers
            .iter()
            .filter(|watcher| (watcher.gid, watcher.cookie) != own)
            .map(|watcher| format!("client.{} {}", watcher.gid, watcher.name).trim_end().to_owned())
            .collect();
        if !others.is_empty() {
            return Err(self.busy(&format!("it has watchers: {}", others.join(", "))));
        }
        let op = || lock_class::lock(ObjectOp::new(), cookie, false);
        match self.io.operate(&header, op()).await {
            Err(error) if error.errno() == Errno::EBUSY => {}
            taken => return taken.map(drop).map_err(failed()),
        }
        let held = locks::info(self.io, self.id).await?;
        if held.tag != locks::AUTOMATIC_TAG {
            return Err(self.busy("it is locked by hand"));
        }
        // One of this session without a watch is left from a removal that was given up: nobody is to be fenced for it.
        let is_own = held.lockers.iter().any(|locker| locker.gid == own.0);
        let rbd_blocklist_on_break_lock = self.config.rbd_blocklist_on_break_lock && !is_own;
        let config = Config { rbd_blocklist_on_break_lock, ..self.config.clone() };
        locks::lock_break(self.io, self.name, false, &config).await?;
        self.io.operate(&header, op()).await.map(drop).map_err(failed())
    }

    /// Decides by the header as it is under the lock: somebody may have made a snapshot before.
    async fn remove_locked(&self, cookie: &str, progress: &ProgressSink) -> Result<()> {
        let header = &read_header(self.io, self.id).await?;
        self.check_no_snapshots(header)?;
        reclaim::finish_all(self.io, self.id).await?;
        self.remove_data(&header.object_prefix, progress).await?;
        detach_from_parent(self.io, self.id, header).await?;
        let op = lock_class::assert_locked(ObjectOp::new(), cookie).remove();
        ignore_missing(self.io.operate(&names::header(self.id), op).await).map_err(Error::osd(format!(
            "remove the header of image {}/{}",
            self.io.pool(),
            self.name
        )))?;
        erase(self.io, self.name, self.id).await
    }

    /// All data objects there are, also those beyond the end that an interrupted resize left.
    async fn remove_data(&self, prefix: &str, progress: &ProgressSink) -> Result<()> {
        let attempted = || Error::osd(format!("remove the data of image {}/{}", self.io.pool(), self.name));
        let objects = self.io.list_objects(&format!("{prefix}.")).await.map_err(attempted())?;
        let total = objects.len() as u64;
        let removals = objects.into_iter().map(|object| async move {
            ignore_missing(self.io.operate(&object, ObjectOp::new().remove()).await)
        });
        let width = self.config.rbd_concurrent_management_ops.max(1);
        let mut removals = stream::iter(removals).buffer_unordered(width);
        let (mut offset, mut result) = (0, Ok(()));
        while let Some(removed) = removals.next().await {
            offset += 1;
            progress(OperationEvent::Progress { offset, total, attempt: 1 });
            result = result.and(removed);
        }
        result.map_err(attempted())
    }

    fn busy(&self, why: &str) -> Error {
        let text = format!("image {}/{} cannot be removed: {why}", self.io.pool(), self.name);
        Error::refused(Errno::EBUSY, text)
    }
}

/// Answers every notify, which is done by dropping it, so that no notifier waits for this watch. Never ends: a lost watch
/// ends the removal by its ops.
async fn ack_all(watch: &mut Watch) -> Infallible {
    loop {
        if let WatchEvent::Lost(_) = watch.next().await {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes back what makes an image without data: registration at the parent, header, directory entry, and last the claim of
/// the name, by which the rest is found. Each may be missing.
pub(super) async fn erase(io: &IoCtx, name: &str, id: &str) -> Result<()> {
    let failed = || Error::osd(format!("remove image {}/{name}", io.pool()));
    match read_header(io, id).await {
        Ok(header) => detach_from_parent(io, id, &header).await?,
        Err(error) if error.errno() == Errno::ENOENT => {}
        Err(error) => return Err(error),
    }
    ignore_missing(io.operate(&names::header(id), ObjectOp::new().remove()).await).map_err(failed())?;
    let entry = wire::DirectoryEntry { name: name.to_owned(), id: id.to_owned() };
    let op = ObjectOp::new().exec("rbd", "dir_remove_image", &entry);
    match io.operate(names::DIRECTORY, op).await {
        // The name, or its entry, belongs to another image.
        Err(error) if error.errno() == Errno::ESTALE => {}
        removed => ignore_missing(removed).map_err(failed())?,
    }
    give_name_back(io, name, id).await.map_err(failed())
}

/// Removes the id object, unless the name was claimed for another image in the meantime.
async fn give_name_back(io: &IoCtx, name: &str, id: &str) -> Result<(), rados::Error> {
    let object = names::id_object(name);
    let claim = match io.operate(&object, ObjectOp::new().exec_empty("rbd", "get_id")).await {
        Err(error) if error.errno() == Errno::ENOENT => return Ok(()),
        claim => claim?,
    };
    if claim.exec::<wire::ImageId>(0)?.id != id {
        return Ok(());
    }
    match io.operate(&object, ObjectOp::new().assert_version(claim.version).remove()).await {
        Err(error) if matches!(error.errno(), Errno::ENOENT | Errno::ERANGE | Errno::EOVERFLOW) => Ok(()),
        removed => removed.map(drop),
    }
}

async fn detach_from_parent(io: &IoCtx, id: &str, header: &Header) -> Result<()> {
    match &header.parent {
        Some((spec, _)) => detach_child(io, id, spec).await,
        None => Ok(()),
    }
}

fn ignore_missing(done: Result<rados::Reply, rados::Error>) -> Result<(), rados::Error> {
    match done {
        Err(error) if error.errno() == Errno::ENOENT => Ok(()),
        done => done.map(drop),
    }
}
