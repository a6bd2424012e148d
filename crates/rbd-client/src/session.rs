//! A verb's connection to the OSD: the session, the pools and images it opens, and the signal that ends it.

use std::{future::Future, time::Duration};

use errno::Errno;
use librbd::{Image, OpenOptions};
use rados::{IoCtx, Rados};
use rpc::{Address, Network};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{console::Console, failure::Failure, options::Options, progress::Progress, spec::ImageSpec};

/// How long closing an image, or ending a session, may take. What is not done by then is left to the timeouts of the
/// OSD: the watch expires, and the next client that wants the lock breaks it.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How sessions are opened. Kept by a serving process, which opens a new one after it was fenced.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    address: Address,
    config: rados::Config,
}

impl Connector {
    /// From the command line; `identity` is drawn by the caller, names this client and seeds its back-off.
    pub(crate) fn new(options: &Options, identity: Uuid) -> Result<Self, Failure> {
        let address = options.osd.clone().ok_or_else(|| {
            Failure::new(Errno::EINVAL, "no OSD address: give --osd HOST:PORT or set RBD_CLIENT_OSD")
        })?;
        let mut config = options.timing.rados();
        config.clock = options.verb.clock();
        config.client_name = options.name.clone().unwrap_or_else(|| format!("rbd-client-{identity}"));
        config.backoff_seed = identity.as_u64_pair().0;
        Ok(Self { address, config })
    }

    /// Opens a session: a client instance of its own. ENOTCONN when the OSD cannot be reached.
    pub(crate) async fn connect(&self) -> Result<Rados, Failure> {
        let network = Network::tcp(self.config.silence_max);
        Ok(Rados::connect(network, self.address.clone(), self.config.clone()).await?)
    }

    /// How the sessions behave.
    pub(crate) fn config(&self) -> &rados::Config {
        &self.config
    }

    /// Where the OSD is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A connection to the OSD beside the session. ENOTCONN when it cannot be reached.
    pub(crate) async fn channel(&self) -> Result<Channel, Failure> {
        let connected = Network::tcp(self.config.silence_max).connect(&self.address).await;
        connected.map_err(|error| Failure::new(Errno::ENOTCONN, format!("OSD {}: {error}", self.address)))
    }
}

/// What a verb works with.
pub(crate) struct Session {
    /// How `rados` was opened.
    pub(crate) connector: Connector,
    /// The session at the OSD.
    pub(crate) rados: Rados,
    /// What images are opened with.
    pub(crate) config: librbd::Config,
    /// Where output goes.
    pub(crate) console: Console,
    /// Cancelled by a signal.
    pub(crate) interrupted: CancellationToken,
    pool: String,
}

impl Session {
    /// Connects as the command line says.
    pub(crate) async fn open(
        options: &Options,
        console: Console,
        identity: Uuid,
        interrupted: CancellationToken,
    ) -> Result<Self, Failure> {
        let connector = Connector::new(options, identity)?;
        let rados = until(&interrupted, connector.connect()).await?;
        let config = options.timing.librbd();
        Ok(Self { connector, rados, config, console, interrupted, pool: options.pool.clone() })
    }

    /// Ends the session at the OSD, within a bound.
    pub(crate) async fn close(self) {
        close_session(&self.rados).await;
    }

    /// The pool of `spec`, or of `--pool`.
    pub(crate) async fn io(&self, spec: &ImageSpec) -> Result<IoCtx, Failure> {
        self.pool(spec.pool.as_deref()).await
    }

    /// The pool named, or that of `--pool`.
    pub(crate) async fn pool(&self, name: Option<&str>) -> Result<IoCtx, Failure> {
        self.until_interrupted(async { Ok(self.rados.io_ctx(name.unwrap_or(&self.pool)).await?) }).await
    }

    /// Does `work`; a signal ends it with ECANCELED. For work that leaves nothing open.
    pub(crate) async fn until_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        until(&self.interrupted, work).await
    }

    /// Opens an image, does `work` with it and closes it, however the work ended and also when a signal ended it.
    pub(crate) async fn with_image<T>(
        &self,
        spec: &ImageSpec,
        options: OpenOptions,
        work: impl AsyncFnOnce(&Image) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let image = self.open_image(spec, options).await?;
        let result = self.until_interrupted(work(&image)).await;
        close_image(&image).await;
        result
    }

    /// The same, and `progress` says how the work ended; as with `rbd`, it says nothing of an image that cannot be opened.
    pub(crate) async fn with_image_in_progress<T>(
        &self,
        spec: &ImageSpec,
        options: OpenOptions,
        progress: &Progress,
        work: impl AsyncFnOnce(&Image) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.in_progress(self.open_image(spec, options).await?, progress, work).await
    }

    /// The same with an image that is open already.
    pub(crate) async fn in_progress<T>(
        &self,
        image: Image,
        progress: &Progress,
        work: impl AsyncFnOnce(&Image) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let result = self.until_interrupted(work(&image)).await;
        close_image(&image).await;
        progress.ended(result)
    }

    pub(crate) async fn open_image(&self, spec: &ImageSpec, options: OpenOptions) -> Result<Image, Failure> {
        let io = self.io(spec).await?;
        let opening = async { Ok(Image::open(&io, &spec.image, options, self.config.clone()).await?) };
        self.until_interrupted(opening).await
    }
}

/// Closes `image`, which gives its lock and watch back, within a bound.
pub(crate) async fn close_image(image: &Image) {
    if timeout(CLOSE_TIMEOUT, image.close()).await.is_err() {
        tracing::warn!(timeout = ?CLOSE_TIMEOUT, "the image was not closed in time");
    }
}

/// Ends a session at the OSD, within a bound.
pub(crate) async fn close_session(rados: &Rados) {
    if timeout(CLOSE_TIMEOUT, rados.shutdown()).await.is_err() {
        tracing::warn!(timeout = ?CLOSE_TIMEOUT, "the session was not ended in time");
    }
}

async fn until<T>(
    interrupted: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        result = work => result,
        () = interrupted.cancelled() => Err(Failure::interrupted()),
    }
}
