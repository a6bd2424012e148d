use clap::Args;

use super::call::Call;
use crate::{failure::Failure, named::Named, progress::Progress, session::Session, spec::ImageSpec};

/// Copy all that a clone still has from its parent, and detach it
#[derive(Args, Debug)]
#[command(
    after_help = "It runs at the owner of the exclusive lock: here if the lock is free, else forwarded. When the owner dies or gives \
the lock away it starts over, here or there, until it is done.

Examples:
  rbd-client flatten child
  rbd-client flatten --timeout 5m --no-progress rbd/child"
)]
pub(crate) struct Flatten {
    #[command(flatten)]
    pub(super) image: Named<ImageSpec>,

    #[command(flatten)]
    call: Call,
}

impl Flatten {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("flatten {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Image flatten", session.console);
        let flatten = async |image: &librbd::Image, options| image.flatten(options).await;
        self.call.call(session, &self.image, &progress, flatten).await
    }
}
