//! The verbs of the command line: each module holds a verb's arguments and what it does, and each has a line in the table below.

mod blocklist;
mod call;
mod children;
mod clock;
mod clock_report;
mod clone;
mod create;
mod du;
mod export;
mod fault;
mod fault_report;
mod fault_rule;
mod flatten;
mod import;
mod info;
mod lock;
mod ls;
mod pool;
mod rename;
mod resize;
mod rm;
mod serve;
mod snap;
mod status;
mod watch;

use ::clock::Clock;
use clap::Subcommand;
use errno::Errno;

use crate::{failure::Failure, session::Session};

/// Each line names a verb, and the type of its arguments with its `attempted` and `run`.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $verb:ident($arguments:ty),)*) => {
        /// What the program is asked to do.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* $verb($arguments),)*
        }

        impl Verb {
            /// What is attempted, for messages: "flatten rbd/child". `pool` is that of `--pool`.
            pub(crate) fn attempted(&self, pool: &str) -> String {
                match self {
                    $(Self::$verb(verb) => verb.attempted(pool),)*
                }
            }

            /// Does it.
            pub(crate) async fn run(&self, session: &Session) -> Result<(), Failure> {
                match self {
                    $(Self::$verb(verb) => verb.run(session).await,)*
                }
            }
        }
    };
}

verbs! {
    Create(create::Create),
    Ls(ls::Ls),
    Info(info::Info),
    Du(du::Du),
    /// Snapshots of an image
    #[command(subcommand)]
    Snap(snap::SnapVerb),
    Clone(clone::Clone),
    Children(children::Children),
    Flatten(flatten::Flatten),
    Resize(resize::Resize),
    Rename(rename::Rename),
    Rm(rm::Rm),
    Import(import::Import),
    Export(export::Export),
    /// Locks that are taken by hand on an image
    #[command(subcommand)]
    Lock(lock::LockVerb),
    Status(status::Status),
    Watch(watch::Watch),
    Serve(serve::Serve),
    /// Pools of the OSD
    #[command(subcommand)]
    Pool(pool::PoolVerb),
    /// Client instances that the OSD has fenced
    #[command(subcommand)]
    Blocklist(blocklist::BlocklistVerb),
    /// Break things on purpose, at an OSD with --enable-faults
    #[command(subcommand)]
    Fault(fault::FaultVerb),
    /// Let time pass, at an OSD and clients with --clock manual
    #[command(subcommand)]
    Clock(clock::ClockVerb),
}

impl Verb {
    /// Whether a fault rule is added.
    pub(crate) fn adds_fault_rule(&self) -> bool {
        matches!(self, Self::Fault(fault::FaultVerb::Add(_)))
    }

    /// What to do next after this failure, where something can be said.
    pub(crate) fn advice(&self, failure: &Failure) -> Option<&'static str> {
        match self {
            Self::Fault(_) if failure.errno() == Errno::ENOENT => Some("list the rules: rbd-client fault ls"),
            _ => failure.advice(),
        }
    }

    /// What the session goes by; made here.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::Serve(verb) => verb.clock(),
            _ => Clock::Real,
        }
    }
}
