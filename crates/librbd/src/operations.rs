//! Maintenance operations as the lock owner runs them (facts 6 and 7).

mod commit;
mod flatten;
mod protect;
pub(crate) mod queue;
mod resize;
mod rollback;
mod snap_create;
mod snap_remove;
mod trim;

use std::sync::Arc;

use rbd_protocol::{Message, Operation, Request, RequestId, invoke};
use tokio_util::sync::CancellationToken;

use crate::done;
use crate::error::{Error, Result};
use crate::event::ImageEvent;
use crate::opened::OpenImage;
use crate::owner::{self, Running, notify};
use crate::throttle::interrupted;
pub(crate) use commit::is_confirmed;
pub(crate) use protect::{protect, unprotect};
use queue::Kind;

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
    /// As another client sent it: its commit leaves a record.
    pub(crate) forwarded: Option<Request>,
}

/// One operation while it runs.
struct Run {
    image: Arc<OpenImage>,
    /// Read between objects.
    cancelled: CancellationToken,
    /// Set for an operation of another client.
    forwarded: Option<Request>,
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
            Self::Forwardable(Operation::Flatten) => "flatten",
            Self::Forwardable(Operation::Resize { .. }) => "resize",
            Self::Forwardable(Operation::SnapCreate { .. }) => "snap_create",
            Self::Forwardable(Operation::SnapRemove { .. }) => "snap_remove",
            Self::Rollback { .. } => "snap_rollback",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Forwardable(Operation::Flatten) => Kind::Flatten,
            Self::Forwardable(Operation::Resize { .. }) => Kind::Resize,
            Self::Forwardable(Operation::SnapCreate { .. }) => Kind::SnapCreate,
            Self::Forwardable(Operation::SnapRemove { .. }) => Kind::SnapRemove,
            Self::Rollback { .. } => Kind::Rollback,
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
        turn = image.queues.turn(operation.kind()) => turn,
    };
    let Some(running) = admit(image, origin.attempt, abandoned.child_token()).await else {
        return Ended { result: Err(not_admitted(image)), _running: None };
    };
    let run = Run {
        image: image.clone(),
        cancelled: running.cancelled.clone(),
        forwarded: origin.forwarded.clone(),
        progress: Box::new(progress),
    };
    let result = run.once(operation, origin).await;
    drop(turn);
    Ended { result, _running: Some(running) }
}

async fn admit(image: &OpenImage, attempt: u32, cancelled: CancellationToken) -> Option<Running> {
    let (done, admitted) = tokio::sync::oneshot::channel();
    image.tell(owner::Event::Admit { attempt, cancelled, done });
    admitted.await.ok().flatten()
}

/// An image that has ended says why; any other is to start over.
fn not_admitted(image: &OpenImage) -> Error {
    image.check_alive().err().unwrap_or_else(interrupted)
}

impl Run {
    async fn once(&self, operation: &Maintenance, origin: &Origin) -> Result<()> {
        let image = &self.image;
        if (origin.attempt > 1 || origin.forwarded.is_some())
            && let Some(result) = done::recorded(&image.io, &image.header, origin.id).await?
        {
            tracing::info!(result, "a former owner has committed it");
            return rbd_protocol::op_result(result).map_err(|errno| {
                Error::refused(errno, format!("{} of request {}: as recorded", operation.name(), origin.id))
            });
        }
        let remote = origin.forwarded.is_some();
        let started =
            ImageEvent::OperationStarted { operation: operation.name(), request_id: origin.id, remote };
        image.report(started);
        let result = self.run_and_tell(operation).await;
        let number = result.as_ref().map_or_else(|error| error.errno().result(), |()| 0);
        tracing::info!(result = number, "operation ended");
        let ended =
            ImageEvent::OperationEnded { operation: operation.name(), request_id: origin.id, result: number };
        image.report(ended);
        result
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
            Maintenance::Rollback { snapshot } => rollback::run(self, snapshot).await?,
        }
        announce_header_update(&self.image).await
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

/// Tells everybody that the header changed. A slow watcher and a header that is gone are no failure.
pub(crate) async fn announce_header_update(image: &OpenImage) -> Result<()> {
    let notified = notify(image, &Message::HeaderUpdate).await.map(drop);
    invoke::header_update_result(notified).map_err(|errno| {
        Error::refused(
            errno,
            format!("image {}: peers could not be told that its header changed", image.name),
        )
    })
}
