//! When an image was last read and last written: recorded in its header beside the I/O (Ceph: `ImageRequest::update_timestamp`).
//!
//! What is recorded is the OSD's time. A client only decides when it is worth recording: when what stands in the header is as old as an
//! interval, by what the OSD said when the header was read, and by the session's clock since then. Nobody waits for it, and its errors
//! mean nothing to the I/O.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rados::{IoCtx, ObjectOp};
use tokio::time::Instant;

use crate::header::Header;

/// What one open image, or one parent, knows of its two timestamps.
#[derive(Debug)]
pub(crate) struct Timestamps {
    pub(crate) access: Timestamp,
    pub(crate) modify: Timestamp,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Timestamp {
    /// The class method that sets it to the OSD's time.
    method: &'static str,
    /// The latest moment that is known to be recorded, by the session's clock; `None` = before that began.
    recorded: Mutex<Option<Instant>>,
}

impl Timestamps {
    /// As they stand in a header that was read at `now`.
    pub(crate) fn new(now: Instant, header: &Header) -> Self {
        let timestamp = |method| Timestamp { method, recorded: Mutex::default() };
        let timestamps =
            Self { access: timestamp("set_access_timestamp"), modify: timestamp("set_modify_timestamp") };
        timestamps.heard(now, header);
        timestamps
    }

    /// The header was read again: others record, too.
    pub(crate) fn heard(&self, now: Instant, header: &Header) {
        let age = |unix_ms| Duration::from_millis(header.read_unix_ms.saturating_sub(unix_ms));
        self.access.heard(now.checked_sub(age(header.times.accessed_unix_ms)));
        self.modify.heard(now.checked_sub(age(header.times.modified_unix_ms)));
    }
}

impl Timestamp {
    /// A header may come late.
    fn heard(&self, recorded: Option<Instant>) {
        let mut known = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        *known = recorded.max(*known);
    }

    /// The image is used: recorded when what is recorded is `interval` old, never when that is 0. Sent at once, so that what the caller
    /// sends to the header afterwards, like the end of its lock, comes behind it.
    pub(crate) fn touch(&self, io: &IoCtx, header: &str, interval: Duration) {
        let now = io.rados().clock().now();
        if self.is_due(now, interval) {
            drop(io.operate(header, ObjectOp::new().exec_empty("rbd", self.method)));
        }
    }

    fn is_due(&self, now: Instant, interval: Duration) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = !interval.is_zero()
            && recorded.is_none_or(|recorded| now.saturating_duration_since(recorded) >= interval);
        if is_due {
            *recorded = Some(now);
        }
        is_due
    }
}
