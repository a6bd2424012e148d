//! What waits to go down a watch stream, within limits of its number and its bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use errno::Errno;
use osd::{OpError, WatchEvent};
use tokio::sync::mpsc;
use tonic::Status;

use crate::wire;

/// What an event that waits costs, beside its names and its payload.
const EVENT_BYTES: usize = 256;

/// What an answer to a notify costs beside its payload.
const ANSWER_BYTES: usize = 32;

/// How much may wait for one watch stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueMax {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The sending end of a watch stream. Dropping it ends the stream.
pub(super) struct Outlet {
    events: mpsc::UnboundedSender<Queued>,
    waiting: Arc<Waiting>,
    max: QueueMax,
    /// The notify that the newest event carries, 0 = none. Its payload is shared by the events that follow: it counts once.
    newest_notify: u64,
    cut: Arc<OnceLock<Status>>,
}

/// The sending end of a watch stream before it is open.
pub(crate) struct OutletEnd(pub(super) Outlet);

/// The receiving end of a watch stream.
pub(crate) struct Inlet {
    events: mpsc::UnboundedReceiver<Queued>,
    waiting: Arc<Waiting>,
    /// Why the OSD ended the stream; set before the last event is taken.
    pub(crate) cut: Arc<OnceLock<Status>>,
}

struct Queued {
    event: WatchEvent,
    bytes: usize,
}

/// What the sender has sent and the receiver not taken.
#[derive(Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// Both ends of a watch stream that is not open yet.
pub(super) fn channel(max: QueueMax) -> (OutletEnd, Inlet) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (waiting, cut) = (Arc::new(Waiting::default()), Arc::new(OnceLock::new()));
    let outlet = Outlet { events: sender, waiting: waiting.clone(), max, newest_notify: 0, cut: cut.clone() };
    (OutletEnd(outlet), Inlet { events: receiver, waiting, cut })
}

impl Outlet {
    /// EAGAIN at a limit. An event is taken by an empty queue however large it is.
    pub(super) fn send(&mut self, event: WatchEvent) -> Result<(), OpError> {
        let notify_id = if let WatchEvent::Notification(heard) = &event { heard.notify_id } else { 0 };
        let is_shared = notify_id != 0 && notify_id == self.newest_notify;
        let bytes = EVENT_BYTES + bytes_of(&event, is_shared);
        let QueueMax { events: events_max, bytes: bytes_max } = self.max;
        let waiting = &self.waiting;
        let (events, queued_bytes) =
            (waiting.events.load(Ordering::Acquire), waiting.bytes.load(Ordering::Acquire));
        if events >= events_max {
            return Err(full(format!("{events} events wait: watch_queue_events_max")));
        }
        if events > 0 && queued_bytes + bytes > bytes_max {
            let text = format!("{queued_bytes} bytes of events wait: watch_queue_bytes_max = {bytes_max}");
            return Err(full(text));
        }
        waiting.events.fetch_add(1, Ordering::AcqRel);
        waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.newest_notify = notify_id;
        // A client that is gone takes nothing; that its stream is lost is said elsewhere.
        let _ = self.events.send(Queued { event, bytes });
        Ok(())
    }

    pub(super) fn cut(self, reason: Status) {
        let first = self.cut.set(reason);
        debug_assert!(first.is_ok(), "a stream is cut once");
    }
}

impl OutletEnd {
    /// Tells the client of a stream that never opened.
    pub(super) fn refuse(mut self, error: OpError) {
        // The queue is empty.
        let _ = self.0.send(WatchEvent::Result { cookie: 0, error: Some(error) });
    }

    /// Ends a stream that never opened.
    pub(crate) fn cut(self, reason: OpError) {
        self.0.cut(wire::status(reason));
    }
}

impl Inlet {
    /// `None` when the outlet is gone.
    pub(crate) async fn next(&mut self) -> Option<WatchEvent> {
        let Queued { event, bytes } = self.events.recv().await?;
        self.waiting.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.waiting.events.fetch_sub(1, Ordering::AcqRel);
        Some(event)
    }
}

pub(super) fn bytes_of(event: &WatchEvent, is_shared: bool) -> usize {
    match event {
        WatchEvent::Notification(heard) => {
            heard.pool.len() + heard.object.len() + if is_shared { 0 } else { heard.payload.len() }
        }
        WatchEvent::Disconnected { pool, object, error, .. } => pool.len() + object.len() + error.text.len(),
        WatchEvent::Result { error, .. } => error.as_ref().map_or(0, |error| error.text.len()),
        WatchEvent::NotifyDone { reply, .. } => {
            let answers: usize = reply.replies.iter().map(|ack| ANSWER_BYTES + ack.payload.len()).sum();
            answers + ANSWER_BYTES * reply.missed.len()
        }
        WatchEvent::Pong { .. } | WatchEvent::Ask => 0,
    }
}

fn full(text: String) -> OpError {
    OpError { errno: Errno::EAGAIN, failed_op: None, text }
}

#[cfg(test)]
mod tests {
    use osd::Notification;

    use super::*;

    fn notify(notify_id: u64, cookie: u64, bytes: usize) -> WatchEvent {
        let (pool, object) = ("rbd".to_owned(), "header".to_owned());
        let payload = vec![0; bytes].into();
        WatchEvent::Notification(Notification {
            pool,
            object,
            notify_id,
            cookie,
            notifier_gid: 1,
            door: osd::op::Door::Grpc,
            version: 1,
            payload,
        })
    }

    #[tokio::test]
    async fn a_queue_takes_what_its_client_has_made_room_for() {
        let (OutletEnd(mut outlet), mut inlet) = channel(QueueMax { events: 100, bytes: 2 << 20 });
        outlet.send(notify(1, 1, 1 << 20)).expect("the first");
        let full = outlet.send(notify(2, 1, 1 << 20)).expect_err("too many bytes");
        assert!(full.text.contains("watch_queue_bytes_max = 2097152"), "{full}");
        inlet.next().await.expect("the first");
        outlet.send(notify(2, 1, 16 << 20)).expect("an empty queue takes everything");
    }

    #[tokio::test]
    async fn a_payload_counts_once_for_all_watches_of_a_stream() {
        let (OutletEnd(mut outlet), mut inlet) = channel(QueueMax { events: 100, bytes: 2 << 20 });
        for cookie in 1..=100 {
            outlet.send(notify(1, cookie, 1 << 20)).expect("it is one payload");
        }
        let full = outlet.send(notify(1, 101, 1 << 20)).expect_err("too many events");
        assert!(full.text.contains("watch_queue_events_max"), "{full}");
        for _ in 0..100 {
            inlet.next().await.expect("they were taken");
        }
        assert_eq!(outlet.waiting.bytes.load(Ordering::Acquire), 0);
    }
}
