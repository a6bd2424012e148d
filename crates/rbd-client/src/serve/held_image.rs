use std::sync::Arc;

use librbd::{Image, OpenOptions};
use rados::{IoCtx, Rados};
use tokio::sync::{Mutex, watch};

use crate::{
    failure::Failure,
    session::{Connector, Session, close_image, close_session},
};

/// The image that a serving process keeps open, and how to open it again with a new session.
pub(crate) struct HeldImage {
    connector: Connector,
    pool: String,
    name: String,
    options: OpenOptions,
    config: librbd::Config,
    /// Written by `reopen` alone; calls take a copy and keep it until they end.
    current: watch::Sender<Opened>,
    /// One `reopen` or `close` at a time.
    replacing: Mutex<()>,
}

/// An open image and its session.
#[derive(Clone)]
pub(crate) struct Opened {
    /// The image.
    pub(crate) image: Image,
    /// The session that it was opened with.
    pub(crate) rados: Rados,
}

impl HeldImage {
    /// Opens image `name` of `io`'s pool with the session's options.
    pub(crate) async fn open(
        session: &Session,
        io: &IoCtx,
        name: &str,
        options: OpenOptions,
    ) -> Result<Arc<Self>, Failure> {
        let image = Image::open(io, name, options.clone(), session.config.clone()).await?;
        let opened = Opened { image, rados: session.rados.clone() };
        Ok(Arc::new(Self {
            connector: session.connector.clone(),
            pool: io.pool().to_owned(),
            name: name.to_owned(),
            options,
            config: session.config.clone(),
            current: watch::Sender::new(opened),
            replacing: Mutex::new(()),
        }))
    }

    /// How its sessions behave.
    pub(crate) fn session_config(&self) -> &rados::Config {
        self.connector.config()
    }

    /// Name of its pool.
    pub(crate) fn pool(&self) -> &str {
        &self.pool
    }

    /// What images are opened with.
    pub(crate) fn config(&self) -> &librbd::Config {
        &self.config
    }

    /// The image as it is open now. After a failed `reopen` it is a closed one.
    pub(crate) fn current(&self) -> Opened {
        self.current.borrow().clone()
    }

    /// Sees every image that `reopen` opens.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Opened> {
        self.current.subscribe()
    }

    /// Closes the image and its session, each within a bound, since a fenced session cannot be asked anything, and opens
    /// the image with a new session. Returns the new gid. When opening fails the old, closed image stays and `reopen`
    /// can be called again.
    pub(crate) async fn reopen(&self) -> Result<u64, Failure> {
        let _alone = self.replacing.lock().await;
        let old = self.current();
        close_image(&old.image).await;
        close_session(&old.rados).await;
        let rados = self.connector.connect().await?;
        let opened = self.open_with(&rados).await;
        let image = match opened {
            Ok(image) => image,
            Err(failure) => {
                close_session(&rados).await;
                return Err(failure);
            }
        };
        let gid = rados.gid();
        self.current.send_replace(Opened { image, rados });
        Ok(gid)
    }

    /// Closes the image, and the session if it was opened by `reopen` or not; both within a bound.
    pub(crate) async fn close(&self) {
        let _alone = self.replacing.lock().await;
        let current = self.current();
        close_image(&current.image).await;
        close_session(&current.rados).await;
    }

    /// By the name that it has by now.
    async fn open_with(&self, rados: &Rados) -> Result<Image, Failure> {
        let io = rados.io_ctx(&self.pool).await?;
        let renamed = librbd::image_name(&io, self.current().image.id()).await?;
        let name = renamed.as_ref().unwrap_or(&self.name);
        Ok(Image::open(&io, name, self.options.clone(), self.config.clone()).await?)
    }
}
