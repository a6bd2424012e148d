//! The end of an open whose owner task has panicked. Nothing is known of what the task was about to do, so the open ends: its
//! calls get an error, what is under way ends, and the lock is given back. Otherwise everybody would wait for a lock whose
//! session lives, or fence that session with all its other images.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use errno::Errno;
use futures_util::FutureExt;
use rados::{Watch, WatchEvent};
use rbd_protocol::lock::ExclusiveLock;
use tokio::sync::mpsc;

use super::close::finish;
use super::effects::giver;
use super::{Event, Owner, Panic};
use crate::opened::{Held, OpenImage};

impl Owner {
    /// Waits until nothing of this open is under way and it holds nothing any more. The panic then goes on.
    pub(super) async fn give_everything_back(
        mut self,
        panic: Panic,
        mut watch: Watch,
        mut mailbox: mpsc::UnboundedReceiver<Event>,
    ) {
        tracing::error!(image = self.image.name, "a task of the image panicked: its open ends");
        self.end(Errno::EIO, &format!("a task of the client panicked: {}", message(&panic)));
        // Dropped, they answer.
        self.callers.clear();
        self.forwards.clear();
        self.acks.clear();
        self.image.held.send_replace(Held::No);

        let lock_handles = self.lock_handles();
        let operations = self.operations.cancel_and_drain();
        let image = self.image.clone();
        let mut given_back = pin!(async move {
            operations.await;
            finish(&image).await;
            for handle in lock_handles {
                // It was not held under this one, or the session has ended.
                let _gone = giver(&image, handle).give_back().await;
            }
        });
        let mut closing = Vec::new();
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                Some(event) = mailbox.recv() => match event {
                    Event::OperationEnded(operation) => self.operations.ended(operation),
                    // Answered in the end.
                    Event::Close { done } => closing.push(done),
                    // Dropped, it answers.
                    _ => {}
                },
                // A notification that is dropped is acked: nobody waits for this image.
                event = watch.next(), if !is_lost => is_lost = matches!(event, WatchEvent::Lost(_)),
                () = &mut given_back => break,
            }
        }
        self.stop(watch).await;
        drop(closing);
        resume_unwind(panic);
    }

    /// Handles under which the OSD may have the lock for this open.
    fn lock_handles(&self) -> BTreeSet<u64> {
        let handles = self.lock.iter().flat_map(ExclusiveLock::handles);
        handles
            .chain([self.image.watch_handle.load(Ordering::Relaxed)])
            .filter(|handle| *handle != 0)
            .collect()
    }
}

/// A task without whose end the owner task would wait for ever: its panic is the owner task's.
pub(super) async fn or_panic(image: Arc<OpenImage>, task: impl Future<Output = ()>) {
    // The image ends: nobody looks at what the panic has left.
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        image.tell(Event::Panicked(panic));
    }
}

/// As `panic!` makes it.
fn message(panic: &Panic) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
