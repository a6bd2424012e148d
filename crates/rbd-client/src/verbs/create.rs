use clap::Args;
use librbd::CreateOptions;

use crate::{failure::Failure, named::Named, session::Session, shape::Shape, size, spec::ImageSpec};

/// Make an empty image
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rbd-client create --size 1G vm
  rbd-client create --size 256M --object-size 64K --image-feature layering,exclusive-lock rbd/small
  rbd-client create --size 1G --object-size 4M --stripe-unit 64K --stripe-count 4 striped")]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) image: Named<ImageSpec>,

    /// Size with B, K, M, G, T, P or E; a plain number is in MiB
    #[arg(long, short, allow_hyphen_values = true, value_parser = size::image_size)]
    size: u64,

    #[command(flatten)]
    shape: Shape,
}

impl Create {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("create {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let options = create_options(self.size, &self.shape)?;
        let io = session.io(&self.image).await?;
        session.until_interrupted(async { Ok(librbd::create(&io, &self.image.image, &options).await?) }).await
    }
}

/// What `shape` leaves open is librbd's default.
pub(super) fn create_options(size: u64, shape: &Shape) -> Result<CreateOptions, Failure> {
    let mut options = CreateOptions { size, ..CreateOptions::default() };
    options.order = shape.order().unwrap_or(options.order);
    options.features = shape.features()?.unwrap_or(options.features);
    options.stripe_unit = shape.stripe_unit.unwrap_or(options.stripe_unit);
    options.stripe_count = shape.stripe_count.unwrap_or(options.stripe_count);
    Ok(options)
}
