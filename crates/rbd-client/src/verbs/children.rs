use clap::Args;

use crate::{
    failure::Failure,
    named::Named,
    report::{Lines, Object, Report, Value, list},
    session::Session,
    spec::ImageOrSnapSpec,
};

/// List the clones of an image, or of one snapshot of it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rbd-client children vm@base
  rbd-client children vm --format json")]
pub(crate) struct Children {
    #[command(flatten)]
    pub(super) image: Named<ImageOrSnapSpec>,
}

impl Children {
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("children {}", self.image.in_pool(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image.image).await?;
        let name = &self.image.image.image;
        let listing = async { Ok(librbd::children(&io, name, self.image.snap.as_deref()).await?) };
        let children = session.until_interrupted(listing).await?;
        let rows = children.into_iter().map(|child| Child { pool: child.pool, image: child.name });
        session.console.report(&ChildList(rows.collect()))
    }
}

struct ChildList(Vec<Child>);

struct Child {
    pool: String,
    image: String,
}

impl Report for ChildList {
    const ELEMENT: &'static str = "children";

    fn value(&self) -> Value {
        list("child", self.0.iter().map(Child::value))
    }

    fn plain(&self) -> Lines {
        self.0.iter().map(|child| format!("{}/{}", child.pool, child.image)).collect()
    }
}

impl Child {
    /// There are no namespaces: `rbd` shows the empty one.
    fn value(&self) -> Object {
        Object::default().with("pool", &self.pool).with("pool_namespace", "").with("image", &self.image)
    }
}
