//! The server as a function of its connections, and the server that tests start.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::Stream;
use osd::OpError;
use rpc::clock::clock_server::ClockServer;
use rpc::faults::faults_server::FaultsServer;
use rpc::osd::osd_server::OsdServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::transport::server::{Connected, Router};
use tower::layer::util::{Identity, Stack};
use tower::util::MapResponseLayer;

use crate::Config;
use crate::ceph::{CephAddresses, Door};
use crate::clock::{ClockService, ServerClock};
use crate::daemon::Daemon;
use crate::events::EventsFile;
use crate::faults::{FaultRules, FaultService};
use crate::service::Service;
use crate::{connections, replies};

/// How long calls in flight may take to end after the server began to close.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The server cannot start, or has failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The events file cannot be created.
    #[error("events file {path}: {error}")]
    EventsFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A pool of the configuration cannot be created.
    #[error("configuration: {0}")]
    Config(OpError),
    /// Ceph's own clients cannot be let in.
    #[error("the door for Ceph's clients: {0}")]
    Ceph(io::Error),
    /// The transport failed.
    #[error("transport: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors are not understood by server reflection.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves one OSD on the connections that come in, until `shutdown`; then its streams are ended and calls in flight are
/// given a few seconds. `seed` tells the client instances of this run from those of others.
pub async fn serve<I, IO>(
    incoming: I,
    config: Config,
    seed: u64,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<IO>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    Prepared::new(config, seed)?.serve(incoming, shutdown).await
}

/// A server that has everything but connections.
pub(crate) struct Prepared {
    daemon: Arc<Daemon>,
    router: Router<Layers>,
    door: Option<Door>,
    events_file: Option<EventsFile>,
    connections_max: usize,
}

impl Prepared {
    pub(crate) fn new(config: Config, seed: u64) -> Result<Self, ServeError> {
        let create = |path: &PathBuf| {
            EventsFile::create(path).map_err(|error| ServeError::EventsFile { path: path.clone(), error })
        };
        let events_file = config.events_file.as_ref().map(create).transpose()?;
        let daemon = Arc::new(Daemon::new(&config, seed).map_err(ServeError::Config)?);
        let open = |ceph| Door::open(ceph, &daemon, fsid(seed), config.started_unix_ms);
        let door = config.ceph.as_ref().map(open).transpose().map_err(ServeError::Ceph)?;
        let connections_max = config.connections_max;
        let router = router(daemon.clone(), config)?;
        Ok(Self { daemon, router, door, events_file, connections_max })
    }

    /// Where Ceph's own clients are let in.
    pub(crate) fn ceph(&self) -> Option<&CephAddresses> {
        self.door.as_ref().map(|door| &door.addresses)
    }

    pub(crate) async fn serve<I, IO>(
        self,
        incoming: I,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        I: Stream<Item = io::Result<IO>>,
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let Self { daemon, router, door, events_file, connections_max } = self;
        let incoming = connections::at_most(connections_max, daemon.reply_bytes_in_flight_max(), incoming);
        let stop_writing = CancellationToken::new();
        let writing = async {
            if let Some(file) = events_file {
                file.follow(daemon.clone(), stop_writing.clone()).await;
            }
        };
        // It ends with the calls, not before them.
        let ceph = async {
            if let Some(door) = door {
                door.serve().await;
            }
            std::future::pending::<()>().await;
        };
        let serving = async {
            let _stop_writing = stop_writing.clone().drop_guard();
            let closing = daemon.closing.clone().cancelled_owned();
            tokio::select! {
                biased;
                served = router.serve_with_incoming_shutdown(incoming, closing) => served,
                () = close(&daemon, shutdown) => Ok(()),
                () = daemon.keep_time() => Ok(()),
                () = ceph => Ok(()),
            }
        };
        let (served, ()) = futures_util::join!(serving, writing);
        Ok(served?)
    }
}

/// The identity of a run's cluster, in the form of a random one.
fn fsid(seed: u64) -> [u8; 16] {
    let mut fsid = [0; 16];
    let (head, tail) = fsid.split_at_mut(8);
    head.copy_from_slice(&seed.to_be_bytes());
    tail.copy_from_slice(&seed.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    fsid[6] = fsid[6] & 0x0f | 0x40;
    fsid[8] = fsid[8] & 0x3f | 0x80;
    fsid
}

/// Ends when the time for calls in flight is over.
async fn close(daemon: &Daemon, shutdown: impl Future<Output = ()>) {
    shutdown.await;
    daemon.closing.cancel();
    tokio::time::sleep(DRAIN_MAX).await;
    tracing::warn!("calls did not end within {DRAIN_MAX:?} and are dropped");
}

/// What becomes of every response.
type InPieces = fn(http::Response<Body>) -> http::Response<Body>;

type Layers = Stack<MapResponseLayer<InPieces>, Identity>;

fn router(daemon: Arc<Daemon>, config: Config) -> Result<Router<Layers>, ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("osd.v1.Osd")
            .with_service_name("osd.v1.Faults")
            .with_service_name("clock.v1.Clock")
            .with_service_name("grpc.health.v1.Health")
    };
    let (_, health) = tonic_health::server::health_reporter();
    // A silent client must not look like one that has gone before its watches time out.
    let silence_max = config.osd_client_watch_timeout;
    let faults = FaultsServer::new(FaultService(FaultRules::new(daemon.clone())));
    let clock = ClockServer::new(ClockService(ServerClock::new(daemon.clone())));
    let service = OsdServer::new(Service::new(daemon, config))
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
    Ok(rpc::server(silence_max)
        .trace_fn(|request| tracing::debug_span!("call", path = request.uri().path()))
        .layer(MapResponseLayer::new(replies::in_pieces as InPieces))
        .add_service(service)
        .add_service(faults)
        .add_service(clock)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

/// A server for tests, in the runtime that starts it. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: rpc::Address,
    ceph: Option<CephAddresses>,
    faults: FaultRules,
    clock: ServerClock,
    shutdown: DropGuard,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Listens where the configuration says: on any free port of 127.0.0.1, unless it says otherwise. Clients may connect
    /// when it returns.
    ///
    /// # Panics
    /// When it cannot listen there, or the configuration is refused.
    pub fn start(config: Config) -> Self {
        static SEEDS: AtomicU64 = AtomicU64::new(1);
        Self::start_with(config, SEEDS.fetch_add(1, Ordering::Relaxed))
    }

    /// The same with a seed: runs with the same seed give out the same gids.
    ///
    /// # Panics
    /// When it cannot listen there, or the configuration is refused.
    pub fn start_with(config: Config, seed: u64) -> Self {
        let listener =
            listen(&config).unwrap_or_else(|error| panic!("listening on {}: {error}", config.listen));
        let local = listener.local_addr().expect("a listener has an address");
        let address = local.to_string().parse().expect("a socket address is an address");
        let prepared = Prepared::new(config, seed).unwrap_or_else(|error| panic!("starting: {error}"));
        let ceph = prepared.ceph().cloned();
        let faults = FaultRules::new(prepared.daemon.clone());
        let clock = ServerClock::new(prepared.daemon.clone());
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone().cancelled_owned();
        let task = tokio::spawn(prepared.serve(rpc::incoming(listener), stopped));
        Self { address, ceph, faults, clock, shutdown: shutdown.drop_guard(), task }
    }

    /// Where it listens.
    pub fn address(&self) -> rpc::Address {
        self.address.clone()
    }

    /// Where Ceph's own clients are let in, with [`Config::ceph`].
    pub fn ceph(&self) -> Option<&CephAddresses> {
        self.ceph.as_ref()
    }

    /// What is broken on purpose; with [`Config::enable_faults`].
    pub fn faults(&self) -> &FaultRules {
        &self.faults
    }

    /// What it goes by; with a manual [`Config::clock`], time passes when it is advanced.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Ends its streams, lets calls in flight end, and closes.
    pub async fn stop(self) {
        drop(self.shutdown);
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the server failed: {error}"),
            Err(error) => tracing::error!("the server panicked: {error}"),
        }
    }
}

/// A listener that accepts at once, within a runtime.
pub(crate) fn listen(config: &Config) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(config.listen)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
