use clap::Args;

use crate::{failure::Failure, named::Named, progress::Progress, session::Session, spec::ImageSpec};

/// Remove an image and its data
#[derive(Args, Debug)]
#[command(
    visible_alias = "remove",
    after_help = "An image with snapshots is not removed: ENOTEMPTY; one that somebody has open: EBUSY.
What an interrupted `create`, `clone` or `rm` left is removed, too.

Examples:
  rbd-client rm vm"
)]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(super) image: Named<ImageSpec>,
}

impl Rm {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("rm {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let progress = Progress::new("Removing image", session.console);
        let removing =
            async { Ok(librbd::remove(&io, &self.image.image, &session.config, progress.sink()).await?) };
        progress.ended(session.until_interrupted(removing).await)
    }
}
