//! In what order this client's announcements reach the others.

use tokio_util::sync::{CancellationToken, DropGuard};

use rbd_protocol::Message;

/// Announcements on their way. Notifies travel as calls of their own, which may overtake each other and the ops of the lock;
/// so each one is sent when the OSD has taken the one before, and the lock is taken again after the last. Nobody hears that a
/// client gave the lock back when it owns it again (facts 3.6: pre-acquire flushes notifies).
///
/// The OSD has taken one when this client, a watcher like the others, hears it; or when its notify has ended, in whatever way.
/// The others need not have acked it: a watcher that never acks delays no one's lock.
#[derive(Debug)]
pub(super) struct Announcements {
    /// Each is cancelled when the OSD has taken it.
    under_way: Vec<(Message, CancellationToken)>,
    newest: CancellationToken,
}

/// One announcement: sent after `before`, taken when it is dropped at the latest.
pub(super) struct Turn {
    before: CancellationToken,
    _taken: DropGuard,
}

impl Announcements {
    pub(super) fn new() -> Self {
        let newest = CancellationToken::new();
        newest.cancel();
        Self { under_way: Vec::new(), newest }
    }

    /// The turn of the next one.
    pub(super) fn announce(&mut self, message: Message) -> Turn {
        self.under_way.retain(|(_, taken)| !taken.is_cancelled());
        let taken = CancellationToken::new();
        self.under_way.push((message, taken.clone()));
        let before = std::mem::replace(&mut self.newest, taken.clone());
        Turn { before, _taken: taken.drop_guard() }
    }

    /// This client hears a message of its own session.
    pub(super) fn heard(&mut self, message: &Message) {
        let first = self.under_way.iter().find(|(own, taken)| own == message && !taken.is_cancelled());
        first.into_iter().for_each(|(_, taken)| taken.cancel());
    }

    /// Ends when the OSD has taken all there are.
    pub(super) fn taken(&self) -> impl Future<Output = ()> + Send + 'static {
        self.newest.clone().cancelled_owned()
    }
}

impl Turn {
    /// Ends when it may be sent.
    pub(super) async fn comes(&self) {
        self.before.cancelled().await;
    }
}
