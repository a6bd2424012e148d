//! The end of an open image, in the order of facts 3.12: no more messages, operations stopped, I/O flushed, lock shut down,
//! own notifies and everything else that goes on for the image ended, own records removed, unwatched.

use errno::Errno;
use rbd_protocol::Token;
use rbd_protocol::{lock, watcher};
use tokio::sync::oneshot;

use super::panicked::or_panic;
use super::{Event, Owner, Work};
use crate::done;
use crate::error::Error;
use crate::opened::OpenImage;

/// An image that is being closed.
#[derive(Debug)]
pub(super) struct Closing {
    /// Names the lock's shut-down.
    token: Token,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Closing {
    /// Whether `token` is the lock's shut-down.
    pub(super) fn is_shut_down(&self, token: Token) -> bool {
        self.token == token
    }

    /// The image is closed.
    pub(super) fn done(self) {
        for waiting in self.waiting {
            let _gone = waiting.send(());
        }
    }
}

impl Owner {
    pub(super) fn close(&mut self, done: oneshot::Sender<()>) {
        if let Some(closing) = &mut self.closing {
            closing.waiting.push(done);
            return;
        }
        let token = self.next_token();
        self.closing = Some(Closing { token, waiting: vec![done] });
        self.image.end(closed(&self.image));
        self.work.push_back(Work::WatcherEvent(watcher::Event::Closing));
        if self.lock.is_some() {
            self.work.push_back(Work::LockEvent(lock::Event::ShutDown { token }));
        } else {
            self.lock_is_shut_down();
        }
    }

    /// Nothing of this client changes the image under the lock any more.
    pub(super) fn lock_is_shut_down(&mut self) {
        let operations = self.operations.cancel_and_drain();
        let image = self.image.clone();
        self.image.tasks.executor().spawn(or_panic(image.clone(), async move {
            operations.await;
            finish(&image).await;
            image.tell(Event::Stop);
        }));
    }
}

pub(super) async fn finish(image: &OpenImage) {
    image.gate.fail(&closed(image));
    image.gate.drained().await;
    image.data.drain_copyups().await;
    // The last announcements are on their way; the own watch still acks them. Requests of this open, too, may be.
    // So is what this client has begun as the owner, which nobody else waits for.
    if !planted::is(planted::Mistake::OwnerTaskUntracked) {
        image.tasks.ended().await;
    }
    if image.requests.has_forwarded() {
        let closed = done::close_open(&image.io, &image.header, image.gid(), image.open_number).await;
        if let Err(error) = closed {
            // Whoever takes the lock after this session has ended removes them.
            tracing::debug!(image = image.name, %error, "own done records were not removed at close");
        }
    }
}

fn closed(image: &OpenImage) -> Error {
    Error::refused(Errno::ESHUTDOWN, format!("image {} is closed", image.name))
}
