use clap::{Args, Subcommand};

use crate::{
    failure::Failure,
    report::{Lines, Report, Value, list},
    session::Session,
    spec,
};

/// Pools of the OSD.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolVerb {
    Ls(PoolLs),
    Create(PoolCreate),
}

/// List the pools
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client pool ls")]
pub(crate) struct PoolLs {}

/// Make a pool
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client pool create scratch")]
pub(crate) struct PoolCreate {
    /// Name of the new pool
    // Not "name": that is the client's.
    #[arg(id = "new_pool", value_name = "POOL", value_parser = spec::pool_name)]
    name: String,
}

impl PoolVerb {
    pub(super) fn attempted(&self, _pool: &str) -> String {
        match self {
            Self::Ls(_) => "pool ls".to_owned(),
            Self::Create(verb) => format!("pool create {}", verb.name),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Ls(_) => {
                let pools = session.until_interrupted(async { Ok(session.rados.pools().await?) }).await?;
                session.console.report(&Pools(pools.into_iter().map(|pool| pool.name).collect()))
            }
            Self::Create(verb) => {
                session.until_interrupted(async { Ok(session.rados.create_pool(&verb.name).await?) }).await?;
                Ok(())
            }
        }
    }
}

/// Names, one a line.
struct Pools(Vec<String>);

impl Report for Pools {
    const ELEMENT: &'static str = "pools";

    fn value(&self) -> Value {
        list("name", &self.0)
    }

    fn plain(&self) -> Lines {
        self.0.iter().collect()
    }
}
