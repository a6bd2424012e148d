use clap::Subcommand;
use clock::Clock;
use errno::Errno;

use super::{
    blocklist::BlocklistVerb, children::Children, clock::ClockVerb, clone::Clone, create::Create, du::Du,
    export::Export, fault::FaultVerb, flatten::Flatten, import::Import, info::Info, lock::LockVerb, ls::Ls,
    pool::PoolVerb, rename::Rename, resize::Resize, rm::Rm, serve::Serve, snap::SnapVerb, status::Status,
    watch::Watch,
};
use crate::{failure::Failure, session::Session};

/// What the program is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    Ls(Ls),
    Info(Info),
    Du(Du),
    /// Snapshots of an image
    #[command(subcommand)]
    Snap(SnapVerb),
    Clone(Clone),
    Children(Children),
    Flatten(Flatten),
    Resize(Resize),
    Rename(Rename),
    Rm(Rm),
    Import(Import),
    Export(Export),
    /// Locks that are taken by hand on an image
    #[command(subcommand)]
    Lock(LockVerb),
    Status(Status),
    Watch(Watch),
    Serve(Serve),
    /// Pools of the OSD
    #[command(subcommand)]
    Pool(PoolVerb),
    /// Client instances that the OSD has fenced
    #[command(subcommand)]
    Blocklist(BlocklistVerb),
    /// Break things on purpose, at an OSD with --enable-faults
    #[command(subcommand)]
    Fault(FaultVerb),
    /// Let time pass, at an OSD and clients with --clock manual
    #[command(subcommand)]
    Clock(ClockVerb),
}

impl Verb {
    /// Whether a fault rule is added.
    pub(crate) fn adds_fault_rule(&self) -> bool {
        matches!(self, Self::Fault(FaultVerb::Add(_)))
    }

    /// What to do next after this failure, where something can be said.
    pub(crate) fn advice(&self, failure: &Failure) -> Option<&'static str> {
        match self {
            Self::Fault(_) if failure.errno() == Errno::ENOENT => Some("list the rules: rbd-client fault ls"),
            _ => failure.advice(),
        }
    }

    /// What is attempted, for messages: "flatten rbd/child". `pool` is that of `--pool`.
    pub(crate) fn attempted(&self, pool: &str) -> String {
        match self {
            Self::Create(verb) => format!("create {}", verb.image.in_pool(pool)),
            Self::Ls(verb) => format!("ls {}", verb.pool.as_deref().unwrap_or(pool)),
            Self::Info(verb) => format!("info {}", verb.image.in_pool(pool)),
            Self::Du(verb) => verb.attempted(pool),
            Self::Snap(verb) => verb.attempted(pool),
            Self::Clone(verb) => {
                format!("clone {} {}", verb.names.source.in_pool(pool), verb.names.dest.in_pool(pool))
            }
            Self::Children(verb) => format!("children {}", verb.image.in_pool(pool)),
            Self::Flatten(verb) => format!("flatten {}", verb.image.in_pool(pool)),
            Self::Resize(verb) => format!("resize {}", verb.image.in_pool(pool)),
            Self::Rename(verb) => {
                format!("rename {} {}", verb.names.source.in_pool(pool), verb.names.dest)
            }
            Self::Rm(verb) => format!("rm {}", verb.image.in_pool(pool)),
            Self::Import(verb) => format!("import {}", verb.names.path.display()),
            Self::Export(verb) => format!("export {}", verb.names.image.in_pool(pool)),
            Self::Lock(verb) => verb.attempted(pool),
            Self::Status(verb) => format!("status {}", verb.image.in_pool(pool)),
            Self::Watch(verb) => format!("watch {}", verb.image.in_pool(pool)),
            Self::Serve(verb) => format!("serve {}", verb.image.in_pool(pool)),
            Self::Pool(verb) => verb.attempted(),
            Self::Blocklist(verb) => verb.attempted(),
            Self::Fault(verb) => verb.attempted(),
            Self::Clock(verb) => verb.attempted(),
        }
    }

    /// What the session goes by; made here.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::Serve(verb) => verb.clock(),
            _ => Clock::Real,
        }
    }

    /// Does it.
    pub(crate) async fn run(&self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Create(verb) => verb.run(session).await,
            Self::Ls(verb) => verb.run(session).await,
            Self::Info(verb) => verb.run(session).await,
            Self::Du(verb) => verb.run(session).await,
            Self::Snap(verb) => verb.run(session).await,
            Self::Clone(verb) => verb.run(session).await,
            Self::Children(verb) => verb.run(session).await,
            Self::Flatten(verb) => verb.run(session).await,
            Self::Resize(verb) => verb.run(session).await,
            Self::Rename(verb) => verb.run(session).await,
            Self::Rm(verb) => verb.run(session).await,
            Self::Import(verb) => verb.run(session).await,
            Self::Export(verb) => verb.run(session).await,
            Self::Lock(verb) => verb.run(session).await,
            Self::Status(verb) => verb.run(session).await,
            Self::Watch(verb) => verb.run(session).await,
            Self::Serve(verb) => verb.run(session).await,
            Self::Pool(verb) => verb.run(session).await,
            Self::Blocklist(verb) => verb.run(session).await,
            Self::Fault(verb) => verb.run(session).await,
            Self::Clock(verb) => verb.run(session).await,
        }
    }
}
