use bytes::Bytes;

use crate::message::payloads;
use crate::{EntityAddr, EntityName};

records! {
    /// What becomes of a watch or of a notify, from the OSD. Of a completed notify the message's data says who answered
    /// what, and who did not.
    #[derive(Eq)]
    WatchNotify {
        /// Always 1.
        form: u8,
        /// See [`notify_op`].
        op: u8,
        /// The watch's, or the notifier's.
        cookie: u64,
        /// Of the object.
        version: u64,
        /// Which notify.
        notify_id: u64,
        /// What it says; empty when it is complete.
        payload: Bytes,
        /// 0, or that somebody did not answer.
        result: i32,
        /// Who notifies.
        notifier: u64,
    }

    /// Says that a client with watches lives. Nobody answers.
    #[derive(Copy, Eq)]
    Ping {}

    /// The watches of an object.
    #[derive(Eq)]
    Watchers version 1, 1 {
        /// In no order.
        watchers: Vec<WatcherItem>,
    }

    /// One watch.
    #[derive(Copy, Eq)]
    WatcherItem version 2, 1 {
        /// Whose.
        name: EntityName,
        /// His name for it.
        cookie: u64,
        /// Seconds.
        timeout: u32,
        /// Where he is.
        address: EntityAddr,
    }
}

payloads! {
    WatchNotify = WATCH_NOTIFY, 3, 1;
    Ping = PING, 1, 1;
}

/// What a [`WatchNotify`] says.
pub mod notify_op {
    /// Somebody notifies.
    pub const NOTIFY: u8 = 1;
    /// The notify is complete.
    pub const NOTIFY_COMPLETE: u8 = 2;
    /// The watch is gone.
    pub const DISCONNECT: u8 = 3;
}
