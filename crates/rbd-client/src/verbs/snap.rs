use clap::{Args, Subcommand};
use errno::Errno;
use librbd::{CallOptions, OpenOptions, Protection, Snapshot};

use super::call::Call;
use crate::{
    failure::Failure,
    named::{Named, SnapRenameNames},
    progress::Progress,
    report::{Column, Lines, Object, Report, Value, list, table},
    session::Session,
    size::Human,
    spec::{ImageSpec, SnapSpec},
    timestamp::timestamp,
};

/// Snapshots of an image.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapVerb {
    Create(SnapCreate),
    Ls(SnapLs),
    Rm(SnapRm),
    Rename(SnapRename),
    Purge(SnapPurge),
    Protect(SnapProtect),
    Unprotect(SnapUnprotect),
    Rollback(SnapRollback),
}

/// Take a snapshot
#[derive(Args, Debug)]
#[command(visible_alias = "add", after_help = "Examples:\n  rbd-client snap create vm@base")]
pub(crate) struct SnapCreate {
    #[command(flatten)]
    snap: Named<SnapSpec>,
    #[command(flatten)]
    call: Call,
}

/// List the snapshots of an image
#[derive(Args, Debug)]
#[command(visible_alias = "list", after_help = "Examples:\n  rbd-client snap ls vm --format json")]
pub(crate) struct SnapLs {
    #[command(flatten)]
    image: Named<ImageSpec>,
}

/// Remove a snapshot
#[derive(Args, Debug)]
#[command(
    visible_alias = "remove",
    after_help = "A protected snapshot is not removed: EBUSY. One with clones loses its name at once, and goes with the last of them.

Examples:
  rbd-client snap rm vm@base"
)]
pub(crate) struct SnapRm {
    #[command(flatten)]
    snap: Named<SnapSpec>,
    #[command(flatten)]
    call: Call,
}

/// Give a snapshot another name
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client snap rename vm@base vm@first")]
pub(crate) struct SnapRename {
    #[command(flatten)]
    names: Named<SnapRenameNames>,
}

/// Remove all snapshots of an image that are not protected
#[derive(Args, Debug)]
#[command(after_help = "With protected snapshots it ends with EBUSY, after the others have gone.

Examples:
  rbd-client snap purge vm")]
pub(crate) struct SnapPurge {
    #[command(flatten)]
    image: Named<ImageSpec>,
}

/// Protect a snapshot from being removed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  rbd-client snap protect vm@base")]
pub(crate) struct SnapProtect {
    #[command(flatten)]
    snap: Named<SnapSpec>,
}

/// Allow a snapshot to be removed again
#[derive(Args, Debug)]
#[command(after_help = "Clones of it, which are of format 2, do not need its protection.

Examples:
  rbd-client snap unprotect vm@base")]
pub(crate) struct SnapUnprotect {
    #[command(flatten)]
    snap: Named<SnapSpec>,
}

/// Put an image back to what a snapshot holds
#[derive(Args, Debug)]
#[command(
    visible_alias = "revert",
    after_help = "It is not forwarded: it takes the lock, and is refused with EROFS if the lock's owner keeps it.

Examples:
  rbd-client snap rollback vm@base"
)]
pub(crate) struct SnapRollback {
    #[command(flatten)]
    snap: Named<SnapSpec>,
    #[command(flatten)]
    call: Call,
}

impl SnapVerb {
    pub(super) fn attempted(&self, pool: &str) -> String {
        match self {
            Self::Create(verb) => format!("snap create {}", verb.snap.in_pool(pool)),
            Self::Ls(verb) => format!("snap ls {}", verb.image.in_pool(pool)),
            Self::Rm(verb) => format!("snap rm {}", verb.snap.in_pool(pool)),
            Self::Rename(verb) => format!("snap rename {}", verb.names.source.in_pool(pool)),
            Self::Purge(verb) => format!("snap purge {}", verb.image.in_pool(pool)),
            Self::Protect(verb) => format!("snap protect {}", verb.snap.in_pool(pool)),
            Self::Unprotect(verb) => format!("snap unprotect {}", verb.snap.in_pool(pool)),
            Self::Rollback(verb) => format!("snap rollback {}", verb.snap.in_pool(pool)),
        }
    }

    pub(super) async fn run(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(verb) => verb.run(session).await,
            Self::Ls(verb) => verb.run(session).await,
            Self::Rm(verb) => verb.run(session).await,
            Self::Rename(verb) => verb.run(session).await,
            Self::Purge(verb) => verb.run(session).await,
            Self::Protect(verb) => verb.run(session).await,
            Self::Unprotect(verb) => verb.run(session).await,
            Self::Rollback(verb) => verb.run(session).await,
        }
    }
}

impl SnapCreate {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Creating snap", session.console);
        let create = async |image: &librbd::Image, options| image.snap_create(&self.snap.snap, options).await;
        self.call.call(session, &self.snap.image, &progress, create).await
    }
}

impl SnapRm {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Removing snap", session.console);
        let remove = async |image: &librbd::Image, options| image.snap_remove(&self.snap.snap, options).await;
        self.call.call(session, &self.snap.image, &progress, remove).await
    }
}

impl SnapRename {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let SnapRenameNames { source, dest } = &*self.names;
        if source.image != dest.image {
            let text = "a snapshot is renamed within its image: both names must be of the same one";
            return Err(Failure::new(Errno::EINVAL, text));
        }
        let work = async |image: &librbd::Image| Ok(image.snap_rename(&source.snap, &dest.snap).await?);
        session.with_image(&source.image, OpenOptions::default(), work).await
    }
}

impl SnapPurge {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Removing all snapshots", session.console);
        let purge = async |image: &librbd::Image| purge(image, &progress).await;
        session.with_image_in_progress(&self.image, OpenOptions::default(), &progress, purge).await
    }
}

/// EBUSY names the protected ones.
async fn purge(image: &librbd::Image, progress: &Progress) -> Result<(), Failure> {
    let (free, kept): (Vec<_>, Vec<_>) = image
        .snapshots()
        .await?
        .into_iter()
        .partition(|snapshot| snapshot.protection == Protection::Unprotected);
    for (removed, snapshot) in (1..).zip(&free) {
        image.snap_remove(&snapshot.name, CallOptions::default()).await?;
        progress.at(removed, free.len() as u64);
    }
    if kept.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = kept.iter().map(|snapshot| snapshot.name.as_str()).collect();
    let text = format!("protected snapshots stay: {}; `snap unprotect` lets them go", names.join(", "));
    Err(Failure::new(Errno::EBUSY, text))
}

impl SnapRollback {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let progress = Progress::new("Rolling back to snapshot", session.console);
        let rollback =
            async |image: &librbd::Image, options| image.snap_rollback(&self.snap.snap, options).await;
        self.call.call(session, &self.snap.image, &progress, rollback).await
    }
}

impl SnapProtect {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let work = async |image: &librbd::Image| Ok(image.snap_protect(&self.snap.snap).await?);
        session.with_image(&self.snap.image, OpenOptions::default(), work).await
    }
}

impl SnapUnprotect {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let work = async |image: &librbd::Image| Ok(image.snap_unprotect(&self.snap.snap).await?);
        session.with_image(&self.snap.image, OpenOptions::default(), work).await
    }
}

impl SnapLs {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let open = OpenOptions { read_only: true, snapshot: None };
        let work = async |image: &librbd::Image| Ok(image.snapshots().await?);
        let snapshots = session.with_image(&self.image, open, work).await?;
        session.console.report(&Snapshots(snapshots))
    }
}

/// Newest first.
struct Snapshots(Vec<Snapshot>);

impl Snapshots {
    fn oldest_first(&self) -> impl Iterator<Item = &Snapshot> {
        self.0.iter().rev()
    }
}

fn is_protected(snapshot: &Snapshot) -> bool {
    snapshot.protection != Protection::Unprotected
}

impl Report for Snapshots {
    const ELEMENT: &'static str = "snapshots";

    fn value(&self) -> Value {
        let fields = |snapshot: &Snapshot| {
            Object::default()
                .with("id", snapshot.id)
                .with("name", &snapshot.name)
                .with("size", snapshot.size)
                .with("protected", is_protected(snapshot).to_string())
                .with("timestamp", timestamp(snapshot.created_unix_ms))
        };
        list("snapshot", self.oldest_first().map(fields))
    }

    fn plain(&self) -> Lines {
        let row = |snapshot: &Snapshot| {
            [
                snapshot.id.to_string(),
                snapshot.name.clone(),
                Human(snapshot.size).to_string(),
                if is_protected(snapshot) { "yes" } else { "" }.to_owned(),
                timestamp(snapshot.created_unix_ms),
            ]
        };
        let columns = [
            Column::Right("SNAPID"),
            Column::Left("NAME"),
            Column::Right("SIZE"),
            Column::Left("PROTECTED"),
            Column::Left("TIMESTAMP"),
        ];
        table(columns, self.oldest_first().map(row))
    }
}
