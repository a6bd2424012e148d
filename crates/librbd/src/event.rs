use errno::Errno;
use rbd_protocol::RequestId;

/// What an open image sees and does. A reader that lags misses the oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageEvent {
    /// The exclusive lock's machine went to this state (facts 3.6, lower case, e.g. "waiting_for_lock").
    LockState(&'static str),
    /// A maintenance call of this client goes round its loop once more.
    Restarted {
        /// The errno's name and the cause.
        reason: String,
        /// Number of the attempt that begins.
        attempt: u32,
    },
    /// Of a maintenance call of this client.
    Progress {
        /// Objects done.
        offset: u64,
        /// All objects.
        total: u64,
        /// The attempt that it belongs to.
        attempt: u32,
    },
    /// This client runs an operation, for itself or for another.
    OperationStarted {
        /// E.g. "flatten".
        operation: &'static str,
        /// Whose call it is.
        request_id: RequestId,
        /// It was forwarded by another client.
        remote: bool,
    },
    /// An operation that this client ran has ended.
    OperationEnded {
        /// E.g. "flatten".
        operation: &'static str,
        /// Whose call it is.
        request_id: RequestId,
        /// 0 or a negative errno.
        result: i32,
    },
    /// Somebody changed the header: the next I/O or operation refreshes first.
    HeaderUpdated,
    /// Something happened to the image's watch.
    WatchState {
        /// "interrupted", "resumed", "reregistered" or "lost".
        state: &'static str,
        /// The watch's handle; 0 when lost.
        handle: u64,
        /// Why it was lost.
        error: Option<Errno>,
    },
}
