use std::time::Duration;

use clap::{Args, Subcommand};

use crate::{
    client_name,
    duration::{millis, some_milliseconds},
    failure::Failure,
    report::{Column, Lines, Object, Report, Value, list, table},
    session::Session,
};

/// Client instances that the OSD has fenced.
#[derive(Debug, Subcommand)]
pub(crate) enum BlocklistVerb {
    Ls(BlocklistLs),
    Add(BlocklistAdd),
    Rm(BlocklistRm),
}

/// List the fenced client instances
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client blocklist ls --format json")]
pub(crate) struct BlocklistLs {}

/// Fence a client instance: nothing it sends is applied any more
#[derive(Args, Debug)]
#[command(
    after_help = "Its watches end at once. It stays fenced for good, also after the entry has expired; the way back for its process \
is a new session (Reopen of `serve`).

Examples:
  rbd-client blocklist add client.4107
  rbd-client blocklist add 4107 --expire 10m"
)]
pub(crate) struct BlocklistAdd {
    /// client.GID or GID, as `status` shows it
    #[arg(value_parser = client_name::gid)]
    client: u64,

    /// How long the entry is listed; without it the OSD's mon_osd_blocklist_default_expire
    #[arg(long, allow_hyphen_values = true, value_parser = some_milliseconds, value_name = "DURATION")]
    expire: Option<Duration>,
}

/// Take a client instance off the list
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client blocklist rm client.4107")]
pub(crate) struct BlocklistRm {
    /// client.GID or GID
    #[arg(value_parser = client_name::gid)]
    client: u64,
}

impl BlocklistVerb {
    pub(super) fn attempted(&self, _pool: &str) -> String {
        match self {
            Self::Ls(_) => "blocklist ls".to_owned(),
            Self::Add(verb) => format!("blocklist add client.{}", verb.client),
            Self::Rm(verb) => format!("blocklist rm client.{}", verb.client),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        let rados = &session.rados;
        let work = async {
            match self {
                Self::Ls(_) => {
                    let entries = rados
                        .blocklist()
                        .await?
                        .into_iter()
                        .map(|entry| Entry { client: entry.gid, expires_in_ms: millis(entry.expires_in) });
                    session.console.report(&Entries(entries.collect()))
                }
                Self::Add(verb) => Ok(rados.blocklist_add(verb.client, verb.expire).await?),
                Self::Rm(verb) => Ok(rados.blocklist_remove(verb.client).await?),
            }
        };
        session.until_interrupted(work).await
    }
}

struct Entries(Vec<Entry>);

struct Entry {
    client: u64,
    expires_in_ms: u64,
}

impl Report for Entries {
    const ELEMENT: &'static str = "blocklist";

    fn value(&self) -> Value {
        let fields = |entry: &Entry| {
            Object::default().with("client", entry.client).with("expires_in_ms", entry.expires_in_ms)
        };
        list("entry", self.0.iter().map(fields))
    }

    fn plain(&self) -> Lines {
        let rows = self.0.iter().map(|entry| {
            let left = Duration::from_secs(entry.expires_in_ms.div_ceil(1000));
            [format!("client.{}", entry.client), humantime::format_duration(left).to_string()]
        });
        table(["CLIENT", "EXPIRES IN"].map(Column::Left), rows)
    }
}
