use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use errno::Errno;
use proto::osd::v1 as wire;
use tokio::sync::{mpsc, oneshot};

use super::{Command, queue::Queue};
use crate::{Error, Rados, io_ctx::millis, session::CountedWatch};

/// A watch on one object. It outlives broken connections and its own expiry; dropping it unwatches in the background.
#[derive(Debug)]
pub struct Watch {
    rados: Rados,
    /// Names the watch in this session; unlike the cookie it never changes.
    id: u64,
    queue: Arc<Queue>,
    attempted: String,
    /// Lasts as long as the handle.
    _counted: CountedWatch,
}

/// What a watch sees, in order.
#[derive(Debug)]
pub enum WatchEvent {
    /// Somebody notified the object.
    Notify(Notification),
    /// The stream is lost, or the OSD dropped the watch; it is being repaired.
    Interrupted,
    /// Attached again under the same cookie. Notifies that wait for this watch are delivered again; those that have timed out
    /// meanwhile were missed.
    Resumed,
    /// Registered again under a new cookie: notifies may have been missed.
    Reregistered {
        /// The cookie that is gone.
        old: u64,
        /// The cookie that counts.
        new: u64,
    },
    /// Gone for good; the last event. EBLOCKLISTED or ENOTCONN: the session has ended; ENOENT: the object is gone.
    Lost(Error),
}

/// One delivery of a notify. It may be delivered twice: after a reconnect, and when the notifier's connection broke.
#[derive(Debug)]
pub struct Notification {
    /// Number of the notify at the OSD.
    pub notify_id: u64,
    /// Instance that notified.
    pub notifier_gid: u64,
    /// What it sent.
    pub payload: Bytes,
    /// The notifier waits for it.
    pub ack: Ack,
}

/// The answer to one notify; may be kept and used later. Dropping it sends an empty ack.
#[derive(Debug)]
pub struct Ack {
    commands: mpsc::UnboundedSender<Command>,
    /// Taken when it is sent.
    ack: Option<wire::NotifyAck>,
}

impl Watch {
    pub(crate) async fn register(
        rados: Rados,
        pool: &str,
        object: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        let (done, registered) = oneshot::channel();
        let session = rados.session().clone();
        let queue = Arc::new(Queue::default());
        let id = session.next_watch();
        let command = Command::Register {
            id,
            pool: pool.to_owned(),
            object: object.to_owned(),
            timeout_ms: timeout.map_or(0, millis),
            queue: queue.clone(),
            done,
        };
        let attempted = format!("watch {pool}/{object}");
        let _ = session.watch_commands.send(command);
        // From here on dropping `watch` unwatches, also when the caller goes away before the registration is answered.
        let watch = Self { _counted: session.count_watch(pool, object), rados, id, queue, attempted };
        match registered.await {
            Ok(Ok(())) => Ok(watch),
            Ok(Err(error)) => Err(error.seen_by(&watch.attempted)),
            Err(_) => Err(watch.rados.session().why_over(&watch.attempted)),
        }
    }

    /// The cookie under which the OSD knows the watch at this moment; 0 before the first registration.
    pub fn handle(&self) -> u64 {
        self.queue.handle()
    }

    /// The next event. After `Lost` it answers `Lost` for ever. Dropping the future loses nothing.
    pub async fn next(&mut self) -> WatchEvent {
        let (event, is_unparked) = self.queue.next().await;
        if is_unparked {
            let _ = self.rados.session().watch_commands.send(Command::Unpark { id: self.id });
        }
        event
    }

    /// Removes the watch; answered when the OSD has done so. ENOENT when the object is gone.
    pub async fn unwatch(self) -> Result<(), Error> {
        let (done, unwatched) = oneshot::channel();
        let session = self.rados.session().clone();
        let _ = session.watch_commands.send(Command::Unwatch { id: self.id, done: Some(done) });
        let attempted = format!("un{}", self.attempted);
        match unwatched.await {
            Ok(answer) => answer.map_err(|error| error.seen_by(&attempted)),
            Err(_) => Err(session.why_over(&attempted)),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.rados.session().watch_commands.send(Command::Unwatch { id: self.id, done: None });
    }
}

impl Ack {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>, notify: &wire::Notification) -> Self {
        let ack = wire::NotifyAck {
            pool: notify.pool.clone(),
            object: notify.object.clone(),
            notify_id: notify.notify_id,
            cookie: notify.cookie,
            payload: Bytes::new(),
        };
        Self { commands, ack: Some(ack) }
    }

    /// Sends the ack; never waits. Without an open stream it is dropped: the OSD delivers the notify again.
    pub fn send(mut self, payload: Bytes) {
        self.give(payload);
    }

    fn give(&mut self, payload: Bytes) {
        if let Some(ack) = self.ack.take() {
            let _ = self.commands.send(Command::Ack(wire::NotifyAck { payload, ..ack }));
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.give(Bytes::new());
    }
}

/// The watch is not known any more.
pub(super) fn no_such_watch() -> Error {
    Error::new(Errno::ENOTCONN, "", "the watch is lost already")
}
