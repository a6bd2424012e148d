use std::time::Duration;

use clap::Args;
use errno::Errno;
use librbd::{CallOptions, Image, OpenOptions};
use tokio::time::{Instant, timeout};

use crate::{duration::duration, failure::Failure, progress::Progress, session::Session, spec::ImageSpec};

/// Options of the maintenance operations: they run here when this client gets the lock, else at the lock's owner.
#[derive(Args, Clone, Debug)]
pub(super) struct Call {
    /// Rounds of getting the lock or asking its owner; when they are used up the last reason is the error. Without it: until it is decided
    #[arg(
        long,
        env = "RBD_CLIENT_ATTEMPTS",
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    attempts: Option<u32>,

    /// Give up after this time, with ETIMEDOUT; the lock owner may finish the operation all the same
    #[arg(long, env = "RBD_CLIENT_TIMEOUT", value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    timeout: Option<Duration>,

    /// Open the image read-only: the operation is refused with EROFS
    #[arg(long)]
    read_only: bool,
}

impl Call {
    /// Opens the image, calls the operation and closes the image. The opening counts as part of `--timeout`.
    pub(super) async fn call(
        &self,
        session: &Session,
        image: &ImageSpec,
        progress: &Progress,
        operation: impl AsyncFnOnce(&Image, CallOptions) -> librbd::Result<()>,
    ) -> Result<(), Failure> {
        let open = OpenOptions { read_only: self.read_only, snapshot: None };
        let began = Instant::now();
        let opened = session.open_image(image, open);
        let opened = match self.timeout {
            None => opened.await?,
            Some(patience) => timeout(patience, opened).await.unwrap_or_else(|_| {
                Err(Failure::new(
                    Errno::ETIMEDOUT,
                    format!("image {image} was not opened within {patience:?}"),
                ))
            })?,
        };
        let options = CallOptions {
            attempts_max: self.attempts,
            deadline: self.timeout.map(|patience| patience.saturating_sub(began.elapsed())),
            progress: progress.sink(),
        };
        let work = async |image: &Image| Ok(operation(image, options).await?);
        session.in_progress(opened, progress, work).await
    }
}
