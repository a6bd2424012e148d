use clap::{Args, Subcommand};
use librbd::locks::{LockList, Locker};

use crate::{
    failure::Failure,
    named::{LockNames, LockerNames, Named},
    report::{Column, Lines, Object, Report, Value, list, table},
    session::Session,
    spec::ImageSpec,
};

/// Locks that are taken by hand on an image.
#[derive(Debug, Subcommand)]
pub(crate) enum LockVerb {
    Ls(LockLs),
    Add(LockAdd),
    Rm(LockRm),
    Break(LockBreak),
}

/// Show who locks an image
#[derive(Args, Debug)]
#[command(
    visible_alias = "list",
    after_help = "Lock ids that begin with \"auto \" are the exclusive lock of a client that has the image open.

Examples:
  rbd-client lock ls vm --format json"
)]
pub(crate) struct LockLs {
    #[command(flatten)]
    image: Named<ImageSpec>,
}

/// Take a lock on an image by hand
#[derive(Args, Debug)]
#[command(
    after_help = "It stays until it is removed, also when this command has ended. EBUSY if somebody else holds it; EEXIST if it is \
held already by this client with this id.

Examples:
  rbd-client lock add vm maintenance
  rbd-client lock add vm reader-1 --shared readers"
)]
pub(crate) struct LockAdd {
    #[command(flatten)]
    names: Named<LockNames>,

    /// Take it together with all others that name the same tag
    #[arg(long, value_name = "TAG")]
    shared: Option<String>,
}

/// Remove a lock from an image, whoever holds it
#[derive(Args, Debug)]
#[command(
    visible_alias = "remove",
    after_help = "A client that took the exclusive lock by itself (the id begins with \"auto \") is fenced first, dead or alive, unless \
--rbd-blocklist-on-break-lock false: nothing that it sends is applied any more.

Examples:
  rbd-client lock rm vm maintenance client.4107
  rbd-client lock rm vm 'auto 1' client.4107"
)]
pub(crate) struct LockRm {
    #[command(flatten)]
    names: Named<LockerNames>,
}

/// Break the exclusive lock of an image whose owner is dead
#[derive(Args, Debug)]
#[command(
    after_help = "An owner that still watches the image is alive: EBUSY, unless --force. Before its lock is broken the owner is \
fenced (unless --rbd-blocklist-on-break-lock false), so that nothing it sends is applied any more.

Examples:
  rbd-client lock break vm
  rbd-client lock break vm --force"
)]
pub(crate) struct LockBreak {
    #[command(flatten)]
    image: Named<ImageSpec>,

    /// Break it although the owner is alive
    #[arg(long)]
    force: bool,
}

impl LockVerb {
    pub(super) fn attempted(&self, pool: &str) -> String {
        match self {
            Self::Ls(verb) => format!("lock ls {}", verb.image.in_pool(pool)),
            Self::Add(verb) => format!("lock add {} '{}'", verb.names.image.in_pool(pool), verb.names.id),
            Self::Rm(LockRm { names }) => {
                format!("lock rm {} '{}' client.{}", names.image.in_pool(pool), names.id, names.locker)
            }
            Self::Break(verb) => format!("lock break {}", verb.image.in_pool(pool)),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Ls(verb) => verb.run(session).await,
            Self::Add(verb) => verb.run(session).await,
            Self::Rm(verb) => verb.run(session).await,
            Self::Break(verb) => verb.run(session).await,
        }
    }
}

impl LockLs {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let listing = async { Ok(librbd::locks::lock_list(&io, &self.image.image).await?) };
        let lockers = session.until_interrupted(listing).await?;
        session.console.report(&Lockers(lockers))
    }
}

impl LockAdd {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.names.image).await?;
        let (image, tag) = (&self.names.image.image, self.shared.as_deref());
        session
            .until_interrupted(async { Ok(librbd::locks::lock_add(&io, image, &self.names.id, tag).await?) })
            .await
    }
}

impl LockRm {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.names.image).await?;
        let image = &self.names.image.image;
        session
            .until_interrupted(async {
                Ok(librbd::locks::lock_remove(&io, image, self.names.locker, &self.names.id, &session.config)
                    .await?)
            })
            .await
    }
}

impl LockBreak {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let io = session.io(&self.image).await?;
        let image = &self.image.image;
        session
            .until_interrupted(async {
                Ok(librbd::locks::lock_break(&io, image, self.force, &session.config).await?)
            })
            .await
    }
}

struct Lockers(LockList);

impl Report for Lockers {
    const ELEMENT: &'static str = "locks";

    fn value(&self) -> Value {
        list("lock", self.0.lockers.iter().map(locker))
    }

    fn plain(&self) -> Lines {
        let LockList { exclusive, tag, lockers } = &self.0;
        if lockers.is_empty() {
            return Lines::default();
        }
        let kind = if *exclusive { "exclusive" } else { "shared" };
        let head = Lines::default().line(match lockers.len() {
            1 => format!("There is 1 {kind} lock on this image."),
            count => format!("There are {count} {kind} locks on this image."),
        });
        let head = if *exclusive { head } else { head.line(format_args!("Lock tag: {tag}")) };
        let rows = lockers
            .iter()
            .map(|locker| [format!("client.{}", locker.gid), locker.cookie.clone(), locker.address.clone()]);
        head.then(table([Column::Left("Locker"), Column::Left("ID"), Column::Left("Address")], rows))
    }
}

fn locker(locker: &Locker) -> Object {
    Object::default()
        .with("id", &locker.cookie)
        .with("locker", format!("client.{}", locker.gid))
        .with("address", &locker.address)
}
