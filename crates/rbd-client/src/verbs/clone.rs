use clap::Args;
use librbd::CloneOptions;

use crate::{
    failure::Failure,
    session::Session,
    shape::Shape,
    spec::{ImageSpec, SnapSpec},
};

/// Make an image that shows a snapshot's data until it is written
#[derive(Args, Debug)]
#[command(after_help = "The snapshot need not be protected.

Examples:
  rbd-client clone vm@base child
  rbd-client clone rbd/vm@base scratch/child --object-size 64K")]
pub(crate) struct Clone {
    /// [POOL/]IMAGE@SNAP: what is cloned
    pub(super) parent: SnapSpec,

    /// [POOL/]IMAGE: the clone
    pub(super) child: ImageSpec,

    #[command(flatten)]
    shape: Shape,
}

impl Clone {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let options = CloneOptions {
            order: self.shape.order(),
            features: self.shape.features()?,
            stripe_unit: self.shape.stripe_unit,
            stripe_count: self.shape.stripe_count,
        };
        let parent_io = session.io(&self.parent.image).await?;
        let child_io = session.io(&self.child).await?;
        let (parent, snap) = (&self.parent.image.image, &self.parent.snap);
        let cloning = async {
            Ok(librbd::clone(&parent_io, parent, snap, &child_io, &self.child.image, &options).await?)
        };
        session.until_interrupted(cloning).await
    }
}
