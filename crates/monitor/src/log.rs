//! The cluster's log: what clients have had said in it, for those who follow it.

use std::collections::VecDeque;

use ceph_wire::mon::{self, LogEntry, LogLevel};
use ceph_wire::{Message, Uuid};

/// Entries that are kept, and bytes of one text (E2BIG).
const ENTRIES_MAX: usize = 500;
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 10;

/// The newest entries.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<LogEntry>,
    /// Entries that there were.
    version: u64,
}

impl Log {
    /// Grows with each entry.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The entry's number is the log's to give.
    pub(crate) fn add(&mut self, entry: LogEntry) {
        self.version += 1;
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(LogEntry { seq: self.version, ..entry });
    }

    /// What matters at least so much: the newest one for who has just come (0), else all from a version on. `None` = nothing.
    pub(crate) fn since(&self, start: u64, level: LogLevel, fsid: Uuid) -> Option<Message> {
        let matters = |entry: &&LogEntry| entry.level >= level;
        let entries: Vec<_> = match start {
            0 => self.entries.iter().rev().find(matters).into_iter().cloned().collect(),
            _ => self.entries.iter().filter(matters).filter(|entry| entry.seq >= start).cloned().collect(),
        };
        let log = mon::Log { version: self.version, session_mon: -1, session_tid: 0, fsid, entries };
        (!log.entries.is_empty()).then(|| Message::of(0, &log))
    }
}
