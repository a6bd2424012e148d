//! The event log for followers: streams and the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use errno::Errno;
use futures_util::{Stream, stream};
use osd::{Event, OpError};
use proto::osd::v1 as wire;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::daemon::Daemon;
use crate::wire as convert;

/// Events that are taken from the log at a time.
const BATCH_MAX: usize = 1024;

/// A reader of the log who is at some place in it.
struct Follower {
    daemon: Arc<Daemon>,
    newest: watch::Receiver<u64>,
    /// The last one that was taken; 0 = none.
    at: u64,
}

impl Follower {
    fn new(daemon: Arc<Daemon>, after: u64) -> Self {
        let newest = daemon.newest_event();
        Self { daemon, newest, at: after }
    }

    /// The next events, none when there are none yet. ESTALE when they are no longer kept.
    fn take(&mut self) -> Result<Vec<Arc<Event>>, OpError> {
        self.newest.mark_unchanged();
        let events = self.daemon.events_after(self.at, BATCH_MAX);
        let Some(first) = events.first() else { return Ok(events) };
        if self.at != 0 && first.sequence != self.at + 1 {
            let text = format!("event {} is no longer kept, the oldest is {}", self.at + 1, first.sequence);
            return Err(OpError { errno: Errno::ESTALE, failed_op: None, text });
        }
        self.at = self.at.max(events.last().map_or(0, |last| last.sequence));
        Ok(events)
    }

    /// Until there are further events, or the server closes.
    async fn wait(&mut self, closing: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            changed = self.newest.changed() => changed.is_ok(),
            () = closing.cancelled() => false,
        }
    }
}

/// Events after `after`, and further ones as they happen unless `until_now`.
pub(crate) fn stream(
    daemon: Arc<Daemon>,
    after: u64,
    until_now: bool,
) -> impl Stream<Item = Result<wire::Event, Status>> {
    let closing = daemon.closing.clone();
    let follower = Follower::new(daemon, after);
    let until = until_now.then(|| *follower.newest.borrow());
    let taken = VecDeque::<Arc<Event>>::new();
    stream::unfold(Some((follower, taken, closing)), move |state| async move {
        let (mut follower, mut taken, closing) = state?;
        while taken.is_empty() {
            match follower.take() {
                Ok(events) => taken.extend(events),
                Err(error) => return Some((Err(convert::status(error)), None)),
            }
            let is_complete = until.is_some_and(|until| follower.at >= until);
            if taken.is_empty() && (is_complete || !follower.wait(&closing).await) {
                return None;
            }
        }
        let event = taken.pop_front()?;
        if until.is_some_and(|until| event.sequence > until) {
            return None;
        }
        Some((Ok(convert::event(&event)), Some((follower, taken, closing))))
    })
}

/// Writes every event as a line until `stop`, what happened before it included.
pub(crate) async fn write(
    daemon: Arc<Daemon>,
    file: File,
    stop: CancellationToken,
) -> Result<(), EventsError> {
    let mut file = BufWriter::new(file);
    let mut follower = Follower::new(daemon, 0);
    loop {
        let events = follower.take().map_err(|error| EventsError::Behind(error.text))?;
        for event in &events {
            serde_json::to_writer(&mut file, &Line::of(event)).map_err(io::Error::from)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        if events.is_empty() && !follower.wait(&stop).await {
            return Ok(());
        }
    }
}

/// The events file is not complete.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// It cannot be written.
    #[error("the events file cannot be written: {0}")]
    Io(#[from] io::Error),
    /// Events came faster than they could be written.
    #[error("the events file cannot keep up: {0}")]
    Behind(String),
}

/// An event as osd.proto has it; fields that do not apply are left out.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    time_ms: u64,
    kind: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    tid: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pool: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    object: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    version: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cookie: u64,
    #[serde(skip_serializing_if = "is_zero")]
    notify_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    arguments: &'a [String],
    #[serde(skip_serializing_if = "String::is_empty")]
    payload_hex: String,
}

impl<'a> Line<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            sequence: event.sequence,
            time_ms: event.time.0,
            kind: event.kind.name(),
            gid: event.gid,
            tid: event.tid,
            pool: &event.pool,
            object: &event.object,
            version: event.version,
            cookie: event.cookie,
            notify_id: event.notify_id,
            error: event.error.map(Errno::name),
            detail: &event.detail,
            arguments: &event.arguments,
            payload_hex: hex(&event.payload),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
