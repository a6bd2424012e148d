use clap::Args;
use serde::Serialize;

use crate::{console::Report, failure::Failure, session::Session};

/// List the images of a pool
#[derive(Args, Debug)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  rbd-client ls
  rbd-client ls scratch --format json"
)]
pub(crate) struct Ls {
    /// The pool; without it that of --pool
    // Not "pool": that is the option.
    #[arg(id = "listed_pool", value_name = "POOL")]
    pub(super) pool: Option<String>,
}

impl Ls {
    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.pool(self.pool.as_deref()).await?;
        let names = session.until_interrupted(async { Ok(librbd::list(&io).await?) }).await?;
        session.console.report(&Names(names))
    }
}

/// Names, one a line.
#[derive(Serialize)]
pub(super) struct Names(pub(super) Vec<String>);

impl Report for Names {
    fn plain(&self) -> String {
        self.0.join("\n")
    }
}
