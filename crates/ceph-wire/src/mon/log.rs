use std::fmt;

use crate::message::payloads;
use crate::{AddrVec, AuthName, EntityName, Utime, Uuid};

numbered! {
    /// How much an entry of the cluster's log matters; the later, the more.
    LogLevel: u16 {
        /// For those who look for a fault.
        Debug = 0,
        /// What goes on.
        Info = 1,
        /// Who is let in.
        Security = 2,
        /// What may go wrong.
        Warning = 3,
        /// What has gone wrong.
        Error = 4,
    }
}

impl LogLevel {
    /// By the word for it in commands and subscriptions.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|level| level.to_string() == name)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Security => "sec",
            Self::Warning => "warn",
            Self::Error => "error",
        })
    }
}

records! {
    /// Something that is said in the cluster's log.
    #[derive(Eq)]
    LogEntry version 5, 5 {
        /// Who says it.
        name: AuthName,
        /// The same, as others know him.
        rank: EntityName,
        /// Where he is.
        addresses: AddrVec,
        /// When.
        stamp: Utime,
        /// Number of what he has said.
        seq: u64,
        /// How much it matters.
        level: LogLevel,
        /// What.
        text: String,
        /// Which of the cluster's logs it is in.
        channel: String,
    }

    /// What is new in the cluster's log.
    #[derive(Eq)]
    Log {
        /// The newest version of the log.
        version: u64,
        /// Of no concern.
        session_mon: i16,
        /// Of no concern.
        session_tid: u64,
        /// The cluster.
        fsid: Uuid,
        /// The oldest one first.
        entries: Vec<LogEntry>,
    }
}

payloads! {
    Log = LOG, 1, 0;
}
