use clap::Args;
use librbd::CloneOptions;

use crate::{
    failure::Failure,
    named::{Named, SourceAndDest},
    session::Session,
    shape::Shape,
};

/// Make an image that shows a snapshot's data until it is written
#[derive(Args, Debug)]
#[command(after_help = "The snapshot need not be protected.

Examples:
  rbd-client clone vm@base child
  rbd-client clone rbd/vm@base scratch/child --object-size 64K")]
pub(crate) struct Clone {
    #[command(flatten)]
    pub(super) names: Named<SourceAndDest>,

    #[command(flatten)]
    shape: Shape,
}

impl Clone {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("clone {} {}", self.names.source.in_pool(pool), self.names.dest.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let options = CloneOptions {
            order: self.shape.order(),
            features: self.shape.features()?,
            stripe_unit: self.shape.stripe_unit,
            stripe_count: self.shape.stripe_count,
        };
        let SourceAndDest { source, dest } = &*self.names;
        let parent_io = session.io(&source.image).await?;
        let child_io = session.io(dest).await?;
        let (parent, snap) = (&source.image.image, &source.snap);
        let cloning =
            async { Ok(librbd::clone(&parent_io, parent, snap, &child_io, &dest.image, &options).await?) };
        session.until_interrupted(cloning).await
    }
}
