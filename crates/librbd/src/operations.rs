//! Maintenance operations as the lock owner runs them (facts 6 and 7).

mod commit;
mod flatten;
mod protect;
pub(crate) mod queue;
mod rename;
mod resize;
mod rollback;
mod snap_create;
mod snap_remove;
mod snap_rename;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use errno::Errno;
use marks::Mark;
use rbd_protocol::retry::Backoff;
use rbd_protocol::{Failure, Message, Millis, Operation, Request, RequestId};
use tokio_util::sync::CancellationToken;

use crate::done::{self, Known, Recorded};
use crate::error::{Error, Result};
use crate::event::ImageEvent;
use crate::images;
use crate::opened::OpenImage;
use crate::owner::{self, Running, notify};
use crate::reclaim;
use crate::state::ImageState;
use crate::throttle::interrupted;
pub(crate) use commit::is_confirmed;
pub(crate) use protect::{protect, unprotect};
pub(crate) use snap_rename::snap_rename;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Maintenance {
    /// By whoever owns the lock.
    Forwardable(Operation),
    /// By the caller, who takes the lock for it.
    Rollback { snapshot: String },
}

/// Whose operation it is.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) id: RequestId,
    /// Of the caller's loop, from 1.
    pub(crate) attempt: u32,
    /// As another client sent it.
    pub(crate) forwarded: Option<Request>,
}

/// One operation while it runs.
struct Run {
    image: Arc<OpenImage>,
    /// Read between objects.
    cancelled: CancellationToken,
    id: RequestId,
    /// Set when the request was sent to an owner, to this one or to a former one.
    recorded: Option<Recorded>,
    /// Another client's.
    is_forwarded: bool,
    progress: Box<dyn Fn(u64, u64) + Send + Sync>,
}

/// How an operation ended. The lock stays at least until this is dropped.
pub(crate) struct Ended {
    pub(crate) result: Result<()>,
    _running: Option<Running>,
}

impl Maintenance {
    /// As events and logs name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Forwardable(operation) => operation.entry().name,
            Self::Rollback { .. } => "snap_rollback",
        }
    }

    /// What does not run beside it. A rollback resizes, and reads a snapshot; none is to be taken of what it has changed in part.
    fn apart_from(&self) -> &'static [&'static str] {
        match self {
            Self::Forwardable(operation) => operation.entry().apart_from,
            Self::Rollback { .. } => &["resize", "snap_create", "snap_remove"],
        }
    }
}

/// Runs an operation under the lock: waits for its turn among those of its type, looks at ownership again, and runs it
/// unless a former owner has committed it already. ERESTART: not (any longer) the owner, or stopped at a safe point.
///
/// After a success every other client has been told that the header changed.
#[tracing::instrument(
    name = "operation",
    level = "info",
    skip_all,
    fields(
        image = image.name,
        operation = operation.name(),
        id = %origin.id,
        attempt = origin.attempt,
        forwarded = origin.forwarded.is_some(),
    )
)]
pub(crate) async fn execute(
    image: &Arc<OpenImage>,
    operation: &Maintenance,
    origin: &Origin,
    abandoned: &CancellationToken,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Ended {
    let turn = tokio::select! {
        biased;
        () = abandoned.cancelled() => return Ended { result: Err(interrupted()), _running: None },
        turn = image.queues.turn(operation.apart_from()) => turn,
    };
    let Some(running) = admit(image, origin.attempt, abandoned.child_token()).await else {
        return Ended { result: Err(not_admitted(image)), _running: None };
    };
    let run = Run {
        image: image.clone(),
        cancelled: running.cancelled.clone(),
        id: origin.id,
        recorded: recorded(image, operation, origin),
        is_forwarded: origin.forwarded.is_some(),
        progress: Box::new(progress),
    };
    let result = run.once(operation, origin).await;
    if run.recorded.is_some() && image.count_recorded().is_multiple_of(RECORDS_BETWEEN_CLEAN_UPS) {
        let image = image.clone();
        run.image.tasks.spawn(async move { forget_requesters(&image).await });
    }
    drop(turn);
    Ended { result, _running: Some(running) }
}

async fn admit(image: &OpenImage, attempt: u32, cancelled: CancellationToken) -> Option<Running> {
    let (done, admitted) = tokio::sync::oneshot::channel();
    image.tell(owner::Event::Admit { attempt, cancelled, done });
    admitted.await.ok().flatten()
}

/// Whether the commit leaves a record. Of a call that was forwarded before, copies may be on their way still, so it does
/// also when it runs here in the end.
fn recorded(image: &OpenImage, operation: &Maintenance, origin: &Origin) -> Option<Recorded> {
    match (&origin.forwarded, operation) {
        (Some(request), _) => Some(Recorded { id: request.id, low_water_mark: request.low_water_mark }),
        (None, Maintenance::Forwardable(_)) if origin.attempt > 1 && image.requests.has_forwarded() => {
            Some(Recorded { id: origin.id, low_water_mark: image.requests.low_water_mark() })
        }
        (None, _) => None,
    }
}

/// An image that has ended says why; any other is to start over.
fn not_admitted(image: &OpenImage) -> Error {
    image.check_alive().err().unwrap_or_else(interrupted)
}

impl Run {
    async fn once(&self, operation: &Maintenance, origin: &Origin) -> Result<()> {
        let image = &self.image;
        if (origin.attempt > 1 || origin.forwarded.is_some())
            && let Some(result) = self.earlier_result(operation, origin.id).await?
        {
            return result;
        }
        let remote = origin.forwarded.is_some();
        let started =
            ImageEvent::OperationStarted { operation: operation.name(), request_id: origin.id, remote };
        image.report(started);
        let result = match self.run_and_tell(operation).await {
            Err(error) => Err(self.failed(error).await),
            done => done,
        };
        let number = result.as_ref().map_or_else(|error| error.errno().result(), |()| 0);
        tracing::info!(result = number, "operation ended");
        let ended =
            ImageEvent::OperationEnded { operation: operation.name(), request_id: origin.id, result: number };
        image.report(ended);
        result
    }

    /// How a request ended at a former owner, which may have died before it told anybody. None: it is to be run. ESTALE: its
    /// requester has heard of its end, and whether it was committed is not known any more.
    async fn earlier_result(&self, operation: &Maintenance, id: RequestId) -> Result<Option<Result<()>>> {
        let image = &self.image;
        let refused =
            |errno, why| Error::refused(errno, format!("{} of request {id}: {why}", operation.name()));
        Ok(match done::look_up(&image.io, &image.header, id).await? {
            Known::New => None,
            Known::Forgotten => {
                marks::hit(Mark::InvokeForgotten);
                Some(Err(refused(Errno::ESTALE, "a late copy of a request that has ended")))
            }
            Known::Ended(ended) => {
                marks::hit(Mark::InvokeEndedBefore);
                tracing::info!(?ended, "it has ended at a former owner");
                if ended.is_ok() {
                    announce_header_update(image).await;
                }
                Some(ended.map_err(|Failure { errno, reason }| Error::refused(errno, reason)))
            }
        })
    }

    /// An error that is final is recorded, or the next owner decides.
    async fn failed(&self, error: Error) -> Error {
        if matches!(error.errno(), Errno::ERESTART | Errno::EBLOCKLISTED | Errno::ESHUTDOWN) {
            return error;
        }
        match self.record_failure(error.to_failure()).await {
            Err(lost) if lost.errno() == Errno::ERESTART => lost,
            Err(unrecorded) => {
                tracing::warn!(image = self.image.name, %unrecorded, "a failure leaves no record");
                error
            }
            Ok(()) => {
                marks::hit(Mark::InvokeFailureRecorded);
                error
            }
        }
    }

    /// A failed operation sends no HeaderUpdate (facts 6.8).
    async fn run_and_tell(&self, operation: &Maintenance) -> Result<()> {
        match operation {
            Maintenance::Forwardable(Operation::Flatten) => flatten::run(self).await?,
            Maintenance::Forwardable(Operation::Resize { size, allow_shrink }) => {
                resize::run(self, *size, *allow_shrink).await?;
            }
            Maintenance::Forwardable(Operation::SnapCreate { name }) => snap_create::run(self, name).await?,
            Maintenance::Forwardable(Operation::SnapRemove { name }) => snap_remove::run(self, name).await?,
            Maintenance::Forwardable(Operation::Rename { name }) => rename::run(self, name).await?,
            Maintenance::Rollback { snapshot } => rollback::run(self, snapshot).await?,
        }
        announce_header_update(&self.image).await;
        Ok(())
    }

    /// EROFS for the caller of an image that is not open for writing. An image that was set to a snapshot gives its lock away:
    /// another client's operation is then the next owner's.
    fn check_writable(&self) -> Result<()> {
        match self.image.check_writable() {
            Err(error) if self.is_forwarded && error.errno() == Errno::EROFS => Err(interrupted()),
            checked => checked,
        }
    }

    /// The header as it is. Operations decide by it and not by what this client last heard of it: a HeaderUpdate may be lost, and a
    /// refusal is final and goes on record.
    async fn look(&self) -> Result<Arc<ImageState>> {
        match planted::is(planted::Mistake::DecideByCache) {
            false => self.image.refresh().await?,
            true => self.image.refresh_if_stale().await?,
        }
        Ok(self.image.state())
    }

    /// ERESTART when the operation is to stop.
    fn check_cancelled(&self) -> Result<()> {
        if self.cancelled.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }

    /// How many objects are worked on at once.
    fn width(&self) -> usize {
        self.image.config.rbd_concurrent_management_ops
    }
}

/// The error of a change to a snapshot that was found by its name. ENOENT if the name has gone since: of one that went to the trash the class
/// says EINVAL.
async fn unless_gone(image: &OpenImage, name: &str, id: u64, error: Error) -> Error {
    if error.errno() != Errno::EINVAL || image.refresh().await.is_err() {
        return error;
    }
    match image.state().snapshot_by_name(name) {
        Some(snapshot) if snapshot.id == id => error,
        _ => Error::refused(Errno::ENOENT, format!("image {} has no snapshot {name} any more", image.name)),
    }
}

/// Times that a HeaderUpdate is sent while the OSD has no room for it.
const ANNOUNCEMENTS_MAX: usize = 16;

/// Tells everybody that the header changed. The change has happened: that peers could not be told is no failure of it. A
/// slow watcher hears of it later, and whoever takes the lock reads the header.
pub(crate) async fn announce_header_update(image: &OpenImage) {
    let delay = owner::millis(image.config.retry_delay);
    let mut backoff = Backoff::new(Millis(delay.0 / 10), delay, owner::seed(image));
    for _ in 0..ANNOUNCEMENTS_MAX {
        match notify(image, &Message::HeaderUpdate).await {
            Ok(_) | Err(Errno::ETIMEDOUT | Errno::ENOENT) => return,
            Err(Errno::EAGAIN) => image.clock().sleep(Duration::from_millis(backoff.next_delay().0)).await,
            Err(errno) => {
                return tracing::warn!(image = image.name, %errno, "peers were not told that the header changed");
            }
        }
    }
    tracing::warn!(image = image.name, "peers were not told that the header changed: the OSD had no room");
}

/// Records that an owner leaves before it looks for those of requesters that have gone.
const RECORDS_BETWEEN_CLEAN_UPS: u64 = 64;

/// Each record that [`clean_up`] looks at has a key that starts with one of these.
pub(crate) const LEFTOVERS: [&str; 3] = [reclaim::PREFIX, done::DONE, done::LOW];

/// What a new owner finishes beside everything else: what removed snapshots left, and records of requesters that have gone. Its
/// user did none of it: what cannot be finished is for the next owner, not for its user to hear of.
pub(crate) async fn clean_up(image: &OpenImage) {
    if let Err(error) = reclaim::finish_all(&image.io, &image.id).await {
        tracing::info!(image = image.name, %error, "what removed snapshots left stays for the next owner");
    }
    forget_requesters(image).await;
}

/// What a new owner finishes whatever its header says: the names of an image whose renaming was cut, of which the directory knows.
pub(crate) async fn finish_names(image: &OpenImage) {
    if let Err(error) = images::rename::finish_names(&image.io, &image.id).await {
        tracing::info!(image = image.name, %error, "what a renaming left stays for the next owner");
    }
}

async fn forget_requesters(image: &OpenImage) {
    if let Err(error) = done::forget_gone_sessions(&image.io, &image.header).await {
        tracing::debug!(image = image.name, %error, "records of requesters that have gone stay for the next time");
    }
}
