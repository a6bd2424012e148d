//! The OSD's constants.

use crate::{Limits, Millis};

/// Time spans under Ceph's names, and limits. Every span is in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a watch may be silent, unless it asks for its own time.
    pub osd_client_watch_timeout: Millis,
    /// How long a watch lives whose connection is known to be gone.
    pub osd_client_watch_grace: Millis,
    /// How long a notify waits for acks, unless it asks for its own time.
    pub osd_default_notify_timeout: Millis,
    /// How long a blocklist entry lasts, unless it asks for its own time.
    pub mon_osd_blocklist_default_expire: Millis,
    /// How long a session lives that has neither a stream nor a call.
    pub osd_client_session_timeout: Millis,
    /// Wall clock at [`Millis`] 0, in milliseconds of Unix time: what happens at `now` is stamped with `started_unix_ms + now`.
    pub started_unix_ms: u64,
    /// What one client may ask for.
    pub limits: Limits,
    /// Live sessions (EAGAIN).
    pub sessions_max: usize,
    /// Stored replies of one session, which its watermark has not passed (EAGAIN).
    pub stored_replies_per_session_max: usize,
    /// Replies of one client of Ceph's that are kept for when it sends again; the oldest go first. Ceph's
    /// `osd_pg_log_dups_tracked`.
    pub replays_per_entity_max: usize,
    /// Bytes of stored replies of one session (EAGAIN; of a client of Ceph's the oldest go first).
    pub stored_reply_bytes_per_session_max: u64,
    /// Bytes of all notifies that wait for acks, with the acks that came: one more notify is refused (EAGAIN), one more ack
    /// counts without its payload.
    pub pending_notify_bytes_max: usize,
    /// Fenced instances that are remembered, at least 1: beyond it the oldest are forgotten and are refused with
    /// ENOTCONN instead of EBLOCKLISTED, for their sessions have ended.
    pub fenced_instances_max: usize,
    /// Pools (EAGAIN).
    pub pools_max: usize,
    /// Events that are kept; the oldest go first.
    pub events_kept_max: usize,
    /// Bytes of the events that are kept; the oldest go first.
    pub event_bytes_kept_max: usize,
}

impl Default for Config {
    /// Ceph's constants with a grace of 500 ms, started at the beginning of Unix time.
    fn default() -> Self {
        Self {
            osd_client_watch_timeout: Millis(30_000),
            osd_client_watch_grace: Millis(500),
            osd_default_notify_timeout: Millis(30_000),
            mon_osd_blocklist_default_expire: Millis(3_600_000),
            osd_client_session_timeout: Millis(600_000),
            started_unix_ms: 0,
            limits: Limits::default(),
            sessions_max: 10_000,
            stored_replies_per_session_max: 100_000,
            replays_per_entity_max: 3_000,
            stored_reply_bytes_per_session_max: 64 << 20,
            pending_notify_bytes_max: 64 << 20,
            fenced_instances_max: 1_000_000,
            pools_max: 1_000,
            events_kept_max: 100_000,
            event_bytes_kept_max: 32 << 20,
        }
    }
}
