use std::{sync::Arc, time::Duration};

use rpc::{clock::clock_server::ClockServer, rbd::rbd_client_server::RbdClientServer};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{clock::ClockService, held_image::HeldImage, service::Service};
use crate::failure::Failure;
use errno::Errno;

/// A caller that is silent for twice this long is cut off.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long calls that are running when the process is told to end may take to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `held` on `listener` until `shutdown`, then ends the streams, lets the calls finish within a bound, and closes
/// the image, which gives its lock and watch back.
pub(crate) async fn until(
    held: Arc<HeldImage>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let served = serve(held.clone(), listener, shutdown.clone());
    tokio::pin!(served);
    let result = tokio::select! {
        biased;
        result = &mut served => result,
        () = shutdown.cancelled() => match timeout(DRAIN_TIMEOUT, &mut served).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(timeout = ?DRAIN_TIMEOUT, "calls were still running and are abandoned");
                Ok(())
            }
        },
    };
    held.close().await;
    result
}

async fn serve(
    held: Arc<HeldImage>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let clock = ClockServer::new(ClockService::new(held.clone()));
    let service = RbdClientServer::new(Service::new(held, shutdown.clone()))
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_serving::<RbdClientServer<Service>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("rbd.v1.RbdClient")
            .with_service_name("clock.v1.Clock")
            .with_service_name("grpc.health.v1.Health")
    };
    let unusable = |error: tonic_reflection::server::Error| {
        Failure::new(Errno::EINVAL, format!("the descriptors of this build: {error}"))
    };
    rpc::server(SILENCE_MAX)
        .add_service(service)
        .add_service(clock)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(unusable)?)
        .add_service(reflection().build_v1alpha().map_err(unusable)?)
        .serve_with_incoming_shutdown(rpc::incoming(listener), shutdown.cancelled_owned())
        .await
        .map_err(|error| Failure::new(Errno::EIO, format!("the gRPC server: {error}")))
}
