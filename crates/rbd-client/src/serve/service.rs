use std::sync::Arc;

use errno::Errno;
use futures_util::{StreamExt, stream::BoxStream};
use librbd::Image;
use proto::rbd::v1 as wire;
use rpc::rbd::rbd_client_server::RbdClient;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    client_events::client_events,
    held_image::HeldImage,
    new_images,
    operation_stream::operation_stream,
    wire::{call_options, info, lock_owner, status},
};
use crate::failure::Failure;

/// Largest read and write of one call: stock gRPC clients take no larger message without being told to.
const IO_BYTES_MAX: u64 = 1 << 20;

/// Service RbdClient over the image that the process keeps open.
pub(super) struct Service {
    held: Arc<HeldImage>,
    shutdown: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;
type Operation = BoxStream<'static, Result<wire::OperationEvent, Status>>;

impl Service {
    /// Streams end when `shutdown` is cancelled.
    pub(super) fn new(held: Arc<HeldImage>, shutdown: CancellationToken) -> Self {
        Self { held, shutdown }
    }

    fn image(&self) -> Image {
        self.held.current().image
    }
}

/// EINVAL names the limit.
pub(super) fn within_limit(verb: &str, length: u64) -> Result<(), Failure> {
    if length <= IO_BYTES_MAX {
        return Ok(());
    }
    let text = format!("{verb} of {length} bytes: one call takes at most {IO_BYTES_MAX} bytes (1 MiB)");
    Err(Failure::new(Errno::EINVAL, text))
}

fn answer<T>(result: Result<T, librbd::Error>) -> Answer<T> {
    result.map(Response::new).map_err(|error| status(&error))
}

#[tonic::async_trait]
impl RbdClient for Service {
    async fn info(&self, _: Request<wire::InfoRequest>) -> Answer<wire::InfoReply> {
        answer(self.image().info().await.map(info))
    }

    async fn read(&self, request: Request<wire::ReadRequest>) -> Answer<wire::ReadReply> {
        let wire::ReadRequest { offset, length } = request.into_inner();
        within_limit("read", length).map_err(status)?;
        answer(self.image().read(offset, length).await.map(|data| wire::ReadReply { data }))
    }

    async fn write(&self, request: Request<wire::WriteRequest>) -> Answer<wire::WriteReply> {
        let wire::WriteRequest { offset, data } = request.into_inner();
        within_limit("write", data.len() as u64).map_err(status)?;
        answer(self.image().write(offset, data).await.map(|()| wire::WriteReply {}))
    }

    async fn discard(&self, request: Request<wire::DiscardRequest>) -> Answer<wire::DiscardReply> {
        let wire::DiscardRequest { offset, length } = request.into_inner();
        answer(self.image().discard(offset, length).await.map(|()| wire::DiscardReply {}))
    }

    async fn flush(&self, _: Request<wire::FlushRequest>) -> Answer<wire::FlushReply> {
        answer(self.image().flush().await.map(|()| wire::FlushReply {}))
    }

    type FlattenStream = Operation;
    async fn flatten(&self, request: Request<wire::FlattenRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.flatten(call_options(request.limits, sink)).await
        })))
    }

    type ResizeStream = Operation;
    async fn resize(&self, request: Request<wire::ResizeRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.resize(request.size, request.allow_shrink, call_options(request.limits, sink)).await
        })))
    }

    type SnapCreateStream = Operation;
    async fn snap_create(&self, request: Request<wire::SnapCreateRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.snap_create(&request.name, call_options(request.limits, sink)).await
        })))
    }

    type SnapRemoveStream = Operation;
    async fn snap_remove(&self, request: Request<wire::SnapRemoveRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.snap_remove(&request.name, call_options(request.limits, sink)).await
        })))
    }

    type RenameStream = Operation;
    async fn rename(&self, request: Request<wire::RenameRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.rename(&request.name, call_options(request.limits, sink)).await
        })))
    }

    type SnapRollbackStream = Operation;
    async fn snap_rollback(&self, request: Request<wire::SnapRollbackRequest>) -> Answer<Operation> {
        let (image, request) = (self.image(), request.into_inner());
        Ok(Response::new(operation_stream(self.shutdown.clone(), |sink| async move {
            image.snap_rollback(&request.name, call_options(request.limits, sink)).await
        })))
    }

    async fn snap_protect(
        &self,
        request: Request<wire::SnapProtectRequest>,
    ) -> Answer<wire::SnapProtectReply> {
        let name = request.into_inner().name;
        answer(self.image().snap_protect(&name).await.map(|()| wire::SnapProtectReply {}))
    }

    async fn snap_unprotect(
        &self,
        request: Request<wire::SnapUnprotectRequest>,
    ) -> Answer<wire::SnapUnprotectReply> {
        let name = request.into_inner().name;
        answer(self.image().snap_unprotect(&name).await.map(|()| wire::SnapUnprotectReply {}))
    }

    async fn acquire_lock(&self, _: Request<wire::AcquireLockRequest>) -> Answer<wire::AcquireLockReply> {
        answer(self.image().acquire_lock().await.map(|()| wire::AcquireLockReply {}))
    }

    async fn release_lock(&self, _: Request<wire::ReleaseLockRequest>) -> Answer<wire::ReleaseLockReply> {
        answer(self.image().release_lock().await.map(|()| wire::ReleaseLockReply {}))
    }

    async fn lock_owner(&self, _: Request<wire::LockOwnerRequest>) -> Answer<wire::LockOwnerReply> {
        let owner = self.image().lock_owner().await;
        answer(owner.map(|owner| wire::LockOwnerReply { owner: owner.map(lock_owner) }))
    }

    type EventsStream = BoxStream<'static, Result<wire::ClientEvent, Status>>;
    async fn events(&self, _: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        Ok(Response::new(client_events(&self.held, self.shutdown.clone())))
    }

    async fn reopen(&self, _: Request<wire::ReopenRequest>) -> Answer<wire::ReopenReply> {
        let gid = self.held.reopen().await.map_err(status)?;
        Ok(Response::new(wire::ReopenReply { gid }))
    }

    async fn create_image(
        &self,
        request: Request<wire::CreateImageRequest>,
    ) -> Answer<wire::CreateImageReply> {
        new_images::create(&self.held, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(wire::CreateImageReply {}))
    }

    async fn clone_image(&self, request: Request<wire::CloneImageRequest>) -> Answer<wire::CloneImageReply> {
        new_images::clone(&self.held, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(wire::CloneImageReply {}))
    }

    async fn import_image(
        &self,
        request: Request<Streaming<wire::ImportImageRequest>>,
    ) -> Answer<wire::ImportImageReply> {
        let (held, shutdown) = (self.held.clone(), self.shutdown.clone());
        let parts = request.into_inner().take_until(Box::pin(shutdown.clone().cancelled_owned()));
        // Beside the call, which is dropped when its caller goes away: what was begun is removed all the same.
        let importing = tokio::spawn(async move { new_images::import(&held, parts).await });
        let failed = |error| Failure::new(Errno::EIO, format!("the import did not end: {error}"));
        match importing.await.unwrap_or_else(|error| Err(failed(error))) {
            Ok(()) => Ok(Response::new(wire::ImportImageReply {})),
            Err(_) if shutdown.is_cancelled() => {
                Err(status(Failure::new(Errno::ESHUTDOWN, "import: this client was told to end")))
            }
            Err(failure) => Err(status(failure)),
        }
    }
}
