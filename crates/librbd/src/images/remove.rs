use std::future::Future;

use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp};
use tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::answering::answering;
use super::children::children_of;
use super::directory::{entry_by_id, id_in_directory, watch_directory};
use super::unfinished::{
    self, Look, Remover, Standing, Unfinished, erase_entries, id_of_name, look, remove_data,
};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::header::{Header, read_header};
use crate::held_lock::HeldLock;
use crate::image::task_dropped;
use crate::lock_class;
use crate::locks;
use crate::names;
use crate::opened::check_maintained;
use crate::progress::{OperationEvent, ProgressSink};
use crate::reclaim;
use crate::state::Snapshot;
use crate::throttle::interrupted;

/// Looks at an image that others change meanwhile.
const LOOKS_MAX: usize = 8;

/// Removes an image with its data. ENOTEMPTY if it has snapshots; EBUSY if somebody has it open, is making or removing it, or if it is
/// locked by hand; ENOENT if there is no such image; ETIMEDOUT if this client was not heard for so long that others have finished the removal.
/// It is whole until its header goes, and then it is gone: what an interrupted removal leaves of it is removed by whoever meets it. A
/// caller that goes away interrupts it.
pub async fn remove(io: &IoCtx, name: &str, config: &Config, progress: ProgressSink) -> Result<()> {
    names::check_image_name(name)?;
    let abandoned = CancellationToken::new();
    let _caller = abandoned.clone().drop_guard();
    let tasks = Tasks::new(io.rados().executor().clone());
    let removing = {
        let (io, name, config) = (io.clone(), name.to_owned(), config.clone());
        async move { remove_named(&io, &name, &config, &progress, &abandoned).await }
    };
    tasks.run(removing).await.unwrap_or_else(|dropped| Err(task_dropped(dropped)))
}

async fn remove_named(
    io: &IoCtx,
    name: &str,
    config: &Config,
    progress: &ProgressSink,
    abandoned: &CancellationToken,
) -> Result<()> {
    let mut end = no_such_image(io, name);
    for _ in 0..LOOKS_MAX {
        let known = match id_of_name(io, name).await? {
            Some((id, _)) => Some(id),
            None => id_in_directory(io, name).await?,
        };
        let Some(id) = known else {
            return Err(no_such_image(io, name));
        };
        let rados = io.rados();
        let remover = Remover { gid: rados.gid(), number: rados.next_open_number() };
        let removal = Removal { io, name, id: &id, config, progress, remover };
        let removed = match Box::pin(look(io, &id, Some(name))).await? {
            Look::Found(Standing::Complete(header)) => {
                removal.watched(Box::pin(removal.run(&header)), abandoned).await
            }
            Look::Remains(intent) => removal.watched(Box::pin(removal.take_over(&intent)), abandoned).await,
            Look::Found(Standing::UnderWay { by: Some(gid) }) => {
                return Err(removal.busy(&format!("client.{gid} is making or removing it")));
            }
            Look::Found(Standing::UnderWay { by: None }) => {
                match unfinished::erase(io, &id, Some(name), None).await? {
                    true => Ok(()),
                    false => continue,
                }
            }
            Look::Found(Standing::Gone) | Look::Changed => continue,
        };
        match removed {
            // Somebody else took it away or claimed it meanwhile.
            Err(error) if matches!(error.errno(), Errno::ENOENT | Errno::ERESTART) => end = error,
            removed => return removed,
        }
    }
    Err(end)
}

fn no_such_image(io: &IoCtx, name: &str) -> Error {
    Error::refused(Errno::ENOENT, format!("image {}/{name} does not exist", io.pool()))
}

struct Removal<'a> {
    io: &'a IoCtx,
    name: &'a str,
    id: &'a str,
    config: &'a Config,
    progress: &'a ProgressSink,
    remover: Remover,
}

/// An image whose header has gone.
struct Headless {
    intent: Unfinished,
    /// Whether the directory had it then, and has the intent.
    is_listed: bool,
}

impl Removal<'_> {
    /// Does `work` while the directory is watched, so that nobody else finishes it. What is not done to its end is left to
    /// whoever meets it.
    async fn watched(
        &self,
        work: impl Future<Output = Result<()>>,
        abandoned: &CancellationToken,
    ) -> Result<()> {
        let mut watch = watch_directory(self.io).await.map_err(self.failed("watch the directory"))?;
        let wanted = async {
            tokio::select! {
                biased;
                () = abandoned.cancelled() => Err(self.refused(Errno::ECANCELED, "its caller has gone")),
                done = work => done,
            }
        };
        let done = answering(&mut watch, wanted).await;
        if done.is_err()
            && let Err(error) = unfinished::disclaim(self.io, self.id, self.remover).await
        {
            tracing::debug!(image = self.name, id = self.id, %error, "the claim of a removal that failed stays");
        }
        drop(watch.unwatch().await);
        done
    }

    async fn run(&self, header: &Header) -> Result<()> {
        self.check_name().await?;
        let features = Features::from_header(header.features)?;
        check_maintained(&format!("{}/{}", self.io.pool(), self.name), features)?;
        self.look_at_the_trash(header).await?;
        self.check_no_snapshots(&read_header(self.io, self.id).await?)?;
        let timeout = self.config.osd_client_watch_timeout;
        let watching = self.io.watch(&names::header(self.id), timeout).await;
        let mut watch =
            watching.map_err(Error::osd(format!("watch image {}/{}", self.io.pool(), self.name)))?;
        let cookie_handle = watch.handle();
        let headless = answering(&mut watch, self.remove_header(cookie_handle)).await;
        // The watch has gone with the header when all went well.
        drop(watch.unwatch().await);
        self.erase(&headless?).await
    }

    /// Goes on where a making or a removal that nobody is at has ended.
    async fn take_over(&self, remains: &Unfinished) -> Result<()> {
        let intent = Unfinished { maker: None, remover: Some(self.remover), ..remains.clone() };
        if !unfinished::claim(self.io, self.id, remains, &intent).await? {
            return Err(interrupted());
        }
        self.erase(&Headless { intent, is_listed: true }).await
    }

    async fn erase(&self, Headless { intent, is_listed }: &Headless) -> Result<()> {
        if let Some(prefix) = &intent.object_prefix {
            let told =
                |offset, total| (self.progress)(OperationEvent::Progress { offset, total, attempt: 1 });
            let at_once = self.config.rbd_concurrent_management_ops.max(1);
            let removed = remove_data(self.io, prefix, at_once, told).await;
            removed.map_err(self.failed("remove its data"))?;
        }
        let intent = is_listed.then_some(intent);
        if erase_entries(self.io, self.id, Some(self.name), intent).await? || !is_listed {
            return Ok(());
        }
        let text = format!(
            "image {}/{} is gone, but client.{} was not heard for so long that others have finished its removal",
            self.io.pool(),
            self.name,
            self.remover.gid
        );
        Err(Error::refused(Errno::ETIMEDOUT, text))
    }

    /// The lock keeps its cookie, whatever becomes of the watch: nobody else breaks the lock of a session that watches.
    async fn remove_header(&self, cookie_handle: u64) -> Result<Headless> {
        // What is under way is read before the lock is taken: somebody who takes the lock later claims the removal before this one, or
        // finds its claim.
        let seen = unfinished::read(self.io, self.id).await?;
        let lock = HeldLock::new(self.io, &names::header(self.id), cookie_handle, self.config);
        if let Err(error) = self.lock(lock.cookie()).await {
            match error.errno() {
                // Whoever has it keeps it.
                Errno::EBUSY => lock.settle(),
                _ => lock.give_back().await,
            }
            return Err(error);
        }
        let removed = self.remove_locked(lock.cookie(), seen.as_ref()).await;
        match &removed {
            Ok(_) => lock.settle(),
            Err(_) => lock.give_back().await,
        }
        removed
    }

    /// ENOENT when the id object was left of a renaming that was cut.
    async fn check_name(&self) -> Result<()> {
        match entry_by_id(self.io, self.id).await? {
            Some(entry) if entry.name != self.name => Err(no_such_image(self.io, self.name)),
            _ => Ok(()),
        }
    }

    /// Snapshots there whose children a crash left in the list go when somebody looks; and those without children, which Ceph's librbd puts
    /// there too before it removes them: it died in between, unless it has the image open.
    async fn look_at_the_trash(&self, header: &Header) -> Result<()> {
        for &Snapshot { id, .. } in header.snapshots.iter().filter(|snapshot| snapshot.in_trash) {
            if !children_of(self.io, self.id, id).await?.is_empty() {
                continue;
            }
            self.check_no_watchers().await?;
            let op =
                ObjectOp::new().exec("rbd", "snapshot_remove", &wire::SnapshotRemove { id, to_trash: true });
            match self.io.operate(&names::header(self.id), op).await {
                Err(error) if error.errno() != Errno::ENOENT => {
                    return Err(self.failed(&format!("remove snapshot id {id}, which is in the trash"))(
                        error,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_no_snapshots(&self, header: &Header) -> Result<()> {
        let in_trash = header.snapshots.iter().filter(|snapshot| snapshot.in_trash).count();
        let why = match (header.snapshots.len() - in_trash, in_trash) {
            (0, 0) => return Ok(()),
            (0, count) => {
                format!("it has {count} snapshots in the trash, which clones need: flatten or remove those")
            }
            (count, _) => format!("it has {count} snapshots, which must be removed first"),
        };
        Err(self.refused(Errno::ENOTEMPTY, &why))
    }

    /// EBUSY names who has it open besides this removal. A session's own watches get other cookies when its connection breaks, so it
    /// counts them itself.
    async fn check_no_watchers(&self) -> Result<()> {
        let (header, own) = (names::header(self.id), self.io.rados().gid());
        let watchers = self.io.list_watchers(&header).await.map_err(self.failed("look who has it open"))?;
        let is_open_here = self.io.own_watches(&header) > 1;
        let others: Vec<_> = watchers
            .iter()
            .filter(|watcher| watcher.gid != own)
            .map(|watcher| format!("client.{} {}", watcher.gid, watcher.name).trim_end().to_owned())
            .chain(is_open_here.then(|| format!("client.{own}, this client itself")))
            .collect();
        match &others[..] {
            [] => Ok(()),
            others => Err(self.busy(&format!("it has watchers: {}", others.join(", ")))),
        }
    }

    /// Takes the exclusive lock, so that nobody who opens the image now starts to write to it. A dead owner's is broken.
    async fn lock(&self, cookie: &str) -> Result<()> {
        self.check_no_watchers().await?;
        let header = names::header(self.id);
        let failed = || self.failed("lock it");
        // The class would make a header that has gone meanwhile.
        let op = || lock_class::lock(ObjectOp::new().assert_exists(), cookie, false);
        match self.io.operate(&header, op()).await {
            Err(error) if error.errno() == Errno::EBUSY => {}
            taken => return taken.map(drop).map_err(failed()),
        }
        let held = locks::info(self.io, self.id).await?;
        if held.tag != locks::AUTOMATIC_TAG {
            return Err(self.busy("it is locked by hand"));
        }
        // One of this session without a watch is left from a removal that was given up: nobody is to be fenced for it.
        let is_own = held.lockers.iter().any(|locker| locker.gid == self.io.rados().gid());
        let rbd_blocklist_on_break_lock = self.config.rbd_blocklist_on_break_lock && !is_own;
        let config = Config { rbd_blocklist_on_break_lock, ..self.config.clone() };
        locks::lock_break(self.io, self.name, false, &config).await?;
        self.io.operate(&header, op()).await.map(drop).map_err(failed())
    }

    /// Decides by the header and the watchers as they are under the lock: somebody may have made a snapshot before, and a
    /// client of an image without the lock's feature may have opened it.
    async fn remove_locked(&self, cookie: &str, seen: Option<&Unfinished>) -> Result<Headless> {
        self.check_no_watchers().await?;
        let header = &read_header(self.io, self.id).await?;
        self.check_no_snapshots(header)?;
        reclaim::finish_all(self.io, self.id).await?;
        let parent = header.parent.as_ref().map(|(spec, _)| spec.clone());
        let object_prefix = Some(header.object_prefix.clone());
        let remover = Some(self.remover);
        let intent = Unfinished { parent, object_prefix, remover, ..Unfinished::default() };
        let entry = wire::DirectoryEntry { name: String::new(), id: self.id.to_owned() };
        let declare = ObjectOp::new().exec("rbd", "dir_get_name", &entry);
        let declare = self.io.operate(names::DIRECTORY, intent.replacing(declare, self.id, seen)).await;
        if declare.as_ref().is_err_and(|error| error.errno() == Errno::ECANCELED) {
            return Err(interrupted());
        }
        let is_listed = ignore_missing(declare).map_err(self.failed("say in the directory that it goes"))?;
        let op = lock_class::assert_locked(ObjectOp::new().assert_exists(), cookie).remove();
        ignore_missing(self.io.operate(&names::header(self.id), op).await)
            .map_err(self.failed("remove its header"))?;
        Ok(Headless { intent, is_listed })
    }

    fn busy(&self, why: &str) -> Error {
        self.refused(Errno::EBUSY, why)
    }

    fn refused(&self, errno: Errno, why: &str) -> Error {
        Error::refused(errno, format!("image {}/{} cannot be removed: {why}", self.io.pool(), self.name))
    }

    fn failed(&self, step: &str) -> impl FnOnce(rados::Error) -> Error + use<> {
        Error::osd(format!("remove image {}/{}: {step}", self.io.pool(), self.name))
    }
}

/// Whether there was something.
fn ignore_missing(done: Result<rados::Reply, rados::Error>) -> Result<bool, rados::Error> {
    match done {
        Err(error) if error.errno() == Errno::ENOENT => Ok(false),
        done => done.map(|_| true),
    }
}
