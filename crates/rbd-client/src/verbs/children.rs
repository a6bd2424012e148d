use clap::Args;
use serde::Serialize;

use crate::{console::Report, failure::Failure, session::Session, spec::ImageOrSnapSpec};

/// List the clones of an image, or of one snapshot of it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rbd-client children vm@base
  rbd-client children vm --format json")]
pub(crate) struct Children {
    /// [POOL/]IMAGE[@SNAP]
    pub(super) image: ImageOrSnapSpec,
}

impl Children {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image.image).await?;
        let name = &self.image.image.image;
        let listing = async { Ok(librbd::children(&io, name, self.image.snap.as_deref()).await?) };
        let children = session.until_interrupted(listing).await?;
        let rows = children.into_iter().map(|child| Child { pool: child.pool, image: child.name });
        session.console.report(&ChildList(rows.collect()))
    }
}

#[derive(Serialize)]
struct ChildList(Vec<Child>);

#[derive(Serialize)]
struct Child {
    pool: String,
    image: String,
}

impl Report for ChildList {
    fn plain(&self) -> String {
        self.0.iter().map(|child| format!("{}/{}", child.pool, child.image)).collect::<Vec<_>>().join("\n")
    }
}
