//! The event log for followers.
//!
//! Whoever reads it too slowly misses events, and sees where: nobody's op waits for a reader of the log. An observer that
//! slowed what it observes would change the interleavings that it is there to show, and one that stands still would stop
//! the OSD.

mod file;
mod line;

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, stream};
use osd::Event;
use proto::osd::v1 as wire;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::daemon::Daemon;
use crate::wire as convert;
pub(crate) use file::EventsFile;

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

    /// The next events, none when there are none yet; behind a gap when some are no longer kept.
    fn take(&mut self) -> Vec<Arc<Event>> {
        self.newest.mark_unchanged();
        let events = self.daemon.events_after(self.at, BATCH_MAX);
        self.at = self.at.max(events.last().map_or(0, |last| last.sequence));
        events
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
    stream::unfold((follower, taken, closing), move |(mut follower, mut taken, closing)| async move {
        while taken.is_empty() {
            taken.extend(follower.take());
            let is_complete = until.is_some_and(|until| follower.at >= until);
            if taken.is_empty() && (is_complete || !follower.wait(&closing).await) {
                return None;
            }
        }
        let event = taken.pop_front()?;
        if until.is_some_and(|until| event.sequence > until) {
            return None;
        }
        Some((Ok(convert::event(&event)), (follower, taken, closing)))
    })
}
