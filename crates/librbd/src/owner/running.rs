use std::collections::BTreeMap;
use std::sync::Arc;

use rbd_protocol::Token;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Event;
use crate::opened::OpenImage;

/// An operation that was admitted to run under the lock. The lock is not released before this has been dropped.
#[derive(Debug)]
pub(crate) struct Running {
    image: Arc<OpenImage>,
    operation: Token,
    /// Read between objects: stop at the next safe point.
    pub(crate) cancelled: CancellationToken,
}

impl Running {
    pub(super) fn new(image: Arc<OpenImage>, operation: Token, cancelled: CancellationToken) -> Self {
        Self { image, operation, cancelled }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.image.tell(Event::OperationEnded(self.operation));
    }
}

/// The operations that run, as the owner task knows them.
#[derive(Debug)]
pub(super) struct Operations {
    running: BTreeMap<Token, CancellationToken>,
    count: watch::Sender<usize>,
}

impl Default for Operations {
    fn default() -> Self {
        Self { running: BTreeMap::new(), count: watch::Sender::new(0) }
    }
}

impl Operations {
    pub(super) fn started(&mut self, operation: Token, cancelled: CancellationToken) {
        self.running.insert(operation, cancelled);
        self.count.send_replace(self.running.len());
    }

    pub(super) fn ended(&mut self, operation: Token) {
        self.running.remove(&operation);
        self.count.send_replace(self.running.len());
    }

    /// Each ends at its next safe point.
    pub(super) fn cancel_all(&self) {
        self.running.values().for_each(CancellationToken::cancel);
    }

    /// Cancels all and resolves when none runs.
    pub(super) fn cancel_and_drain(&self) -> impl Future<Output = ()> + use<> {
        self.cancel_all();
        let mut count = self.count.subscribe();
        async move {
            // The sender goes with the owner task: then nothing is left to wait for.
            let _task_ended = count.wait_for(|count| *count == 0).await;
        }
    }
}
