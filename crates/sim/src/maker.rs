//! Whoever makes the images before the clients come, and looks at them when they have gone.

use check::Operation;
use errno::Errno;
use librbd::{Image, OpenOptions};
use rados::IoCtx;

use crate::client::{Answer, connect, outcome_of, perform, spec};
use crate::pool::Life;
use crate::world::World;

/// Its name.
pub(crate) const MAKER: &str = "maker";

/// With a session of its own.
pub(crate) struct Maker {
    pub(crate) world: World,
    pub(crate) io: IoCtx,
    config: librbd::Config,
}

impl Maker {
    pub(crate) async fn arrive(world: World, life: Life, config: librbd::Config) -> Result<Self, Errno> {
        let io = connect(&world, life, MAKER).await.map_err(|error| error.errno())?;
        Ok(Self { world, io, config })
    }

    pub(crate) async fn leave(self) {
        self.io.rados().shutdown().await;
    }

    /// Opens an image.
    pub(crate) async fn open(&self, image: &str, options: OpenOptions) -> Result<Image, Errno> {
        let open = Image::open(&self.io, image, options, self.config.clone());
        open.await.map_err(|error| error.errno())
    }

    /// Removes an image, and nobody takes it down.
    pub(crate) async fn remove(&self, image: &str) -> librbd::Result<()> {
        let progress = librbd::CallOptions::default().progress;
        Box::pin(librbd::remove(&self.io, image, &self.config, progress)).await
    }

    /// Does something that has no open image.
    pub(crate) async fn recorded(
        &self,
        image: &str,
        operation: Operation,
        doing: impl Future<Output = librbd::Result<()>>,
    ) -> Result<(), Errno> {
        let done = async { doing.await.map(|()| Vec::new()).map_err(|error| error.errno()) };
        self.taken_down(image, operation, done).await
    }

    /// Opens an image and does these, one after the other.
    pub(crate) async fn change(&self, image: &str, operations: Vec<Operation>) -> Result<(), Errno> {
        let open = self.open(image, OpenOptions::default()).await?;
        for operation in operations {
            self.performed(&open, image, operation).await?;
        }
        open.close().await;
        Ok(())
    }

    /// Through an open image; one that reads at a snapshot is open there.
    pub(crate) async fn performed(
        &self,
        open: &Image,
        image: &str,
        operation: Operation,
    ) -> Result<(), Errno> {
        self.taken_down(image, operation.clone(), perform(open, operation)).await
    }

    async fn taken_down(
        &self,
        image: &str,
        operation: Operation,
        doing: impl Future<Output = Answer>,
    ) -> Result<(), Errno> {
        let world = &self.world;
        let id = world.recorder.invoke(world.now(), MAKER, &spec(image), operation, None);
        let done = doing.await;
        if let Some(id) = id {
            world.recorder.complete(world.now(), id, outcome_of(done.clone()));
        }
        done.map(drop)
    }
}
