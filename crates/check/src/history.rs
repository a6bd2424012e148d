//! What clients asked for and what they were told.

mod build;
mod line;
mod operation;
mod writer;

use std::collections::BTreeMap;

use errno::Errno;

pub use build::{HistoryBuilder, HistoryError};
pub use operation::{Entry, Kind, Operation, Place};
pub use writer::HistoryWriter;

/// A position after every other.
pub const NEVER: u64 = u64::MAX;

/// Calls in the order in which they were made. Every image is seen as blocks of one size, each a register whose value is the
/// tag of the write that filled it; 0 = zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Bytes in a block.
    pub block_bytes: u64,
    /// By position of their invocation.
    pub calls: Vec<Call>,
    /// Of images that were renamed: the first name by each later one.
    first_names: BTreeMap<String, String>,
    /// The same of snapshots, by image and later name.
    first_snapshot_names: BTreeMap<(String, String), String>,
    /// By call: the later name that it called its snapshot by.
    later_names: BTreeMap<u64, String>,
}

/// A call from its invocation to its completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number in the history.
    pub id: u64,
    /// Who called.
    pub client: String,
    /// The image it is about, by its first name; of `clone` the new one.
    pub image: String,
    /// What was asked; snapshots are called by their first names, too.
    pub operation: Operation,
    /// How long its caller would wait, if it said so.
    pub deadline_ms: Option<u64>,
    /// When it was asked.
    pub invoked: Moment,
    /// When and how it ended; `None` = never.
    pub completed: Option<(Moment, Outcome)>,
}

/// A point of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Number of the record, ascending: what ended at a lower position happened before.
    pub position: u64,
    /// Milliseconds by the driver's clock.
    pub time_ms: u64,
    /// Newest event in the OSD's log at this moment; see the README for which way it may err.
    pub osd_sequence: Option<u64>,
}

/// How a call ended, as far as its caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Ok {
        /// Of a read: the tag of each block, `None` for a torn one. Else empty.
        tags: Vec<Option<u64>>,
    },
    /// It was answered with an error.
    Error {
        /// Which.
        errno: Errno,
    },
    /// Nobody knows: the client was killed, or its answer was lost.
    Unknown,
}

/// Whether and until when a call can have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It did, before this position.
    Happened(u64),
    /// It did or did not; if it did, before this position.
    Perhaps(u64),
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The call's number.
    pub id: u64,
    /// Who calls.
    pub client: String,
    /// Milliseconds, never less than in the record before.
    pub time_ms: u64,
    /// See [`Moment::osd_sequence`].
    pub osd_sequence: Option<u64>,
    /// Begin or end.
    pub what: What,
}

/// Begin or end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is made; recorded before it is sent.
    Invoke {
        /// On this image.
        image: String,
        /// This is asked.
        operation: Operation,
        /// The caller waits so long; `None`: for ever.
        deadline_ms: Option<u64>,
    },
    /// It has ended; recorded after the answer came.
    Complete(Outcome),
}

impl Call {
    /// An error that was answered ends the effect with the call, but for those that end only the wait: ETIMEDOUT and ERESTART; and the end
    /// of the caller's session, when the lock's owner may have the request.
    pub fn effect(&self) -> Effect {
        match &self.completed {
            Some((at, Outcome::Ok { .. })) => Effect::Happened(at.position),
            Some((_, Outcome::Error { errno })) if self.ends_the_wait_only(*errno) => Effect::Perhaps(NEVER),
            Some((at, Outcome::Error { .. })) => Effect::Perhaps(at.position),
            Some((_, Outcome::Unknown)) | None => Effect::Perhaps(NEVER),
        }
    }

    fn ends_the_wait_only(&self, errno: Errno) -> bool {
        match errno {
            Errno::ETIMEDOUT | Errno::ERESTART => true,
            Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ESHUTDOWN => {
                self.operation.entry().place == Place::Owner
            }
            _ => false,
        }
    }

    /// What a successful read saw.
    pub fn tags(&self) -> Option<&[Option<u64>]> {
        match &self.completed {
            Some((_, Outcome::Ok { tags })) => Some(tags),
            _ => None,
        }
    }

    /// Position of the end; [`NEVER`] without one.
    pub fn end(&self) -> u64 {
        self.completed.as_ref().map_or(NEVER, |(at, _)| at.position)
    }

    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.effect(), Effect::Happened(_))
    }
}

impl History {
    /// The name that an image had first: calls are about it, whatever it was called when they were made.
    pub fn first_name<'a>(&'a self, image: &'a str) -> &'a str {
        self.first_names.get(image).map_or(image, String::as_str)
    }

    /// The name that this call used for its snapshot, if another call was to give it that name.
    pub(crate) fn later_name(&self, call: u64) -> Option<&str> {
        self.later_names.get(&call).map(String::as_str)
    }

    /// The name that a snapshot of an image had first; the image by its first name.
    pub(crate) fn first_snapshot_name<'a>(&'a self, image: &str, snap: &'a str) -> &'a str {
        let renamed = self.first_snapshot_names.get(&(image.to_owned(), snap.to_owned()));
        renamed.map_or(snap, String::as_str)
    }

    /// Numbers of the blocks that an operation reads, writes or discards.
    pub(crate) fn blocks(&self, operation: &Operation) -> std::ops::Range<u64> {
        let (offset, length) = operation.range().unwrap_or((0, 0));
        offset / self.block_bytes..(offset + length) / self.block_bytes
    }
}
