use clap::Args;

use crate::{
    failure::Failure,
    report::{Lines, Report, Value, list},
    session::Session,
};

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
    pub(super) fn attempted(&self, pool: &str) -> String {
        format!("ls {}", self.pool.as_deref().unwrap_or(pool))
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.pool(self.pool.as_deref()).await?;
        let names = session.until_interrupted(async { Ok(librbd::list(&io).await?) }).await?;
        session.console.report(&Images(names))
    }
}

/// Names, one a line.
struct Images(Vec<String>);

impl Report for Images {
    const ELEMENT: &'static str = "images";

    fn value(&self) -> Value {
        list("name", &self.0)
    }

    fn plain(&self) -> Lines {
        self.0.iter().collect()
    }
}
