use clap::Args;

use super::call::Call;
use crate::{failure::Failure, named::Named, progress::Progress, session::Session, size, spec::ImageSpec};

/// Make an image larger or smaller
#[derive(Args, Debug)]
#[command(after_help = "What is cut off is gone, also when the image grows again.

Examples:
  rbd-client resize --size 2G vm
  rbd-client resize --size 512M --allow-shrink vm")]
pub(crate) struct Resize {
    #[command(flatten)]
    pub(super) image: Named<ImageSpec>,

    /// New size with B, K, M, G, T, P or E; a plain number is in MiB
    #[arg(long, short, allow_hyphen_values = true, value_parser = size::image_size)]
    size: u64,

    /// Allow a size below the present one; without it that is EINVAL
    #[arg(long)]
    allow_shrink: bool,

    #[command(flatten)]
    call: Call,
}

impl Resize {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("resize {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Resizing image", session.console);
        let resize =
            async |image: &librbd::Image, options| image.resize(self.size, self.allow_shrink, options).await;
        self.call.call(session, &self.image, &progress, resize).await
    }
}
