use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clock::Clock;
use osd::{Limits, Millis};

use crate::ceph::CephConfig;

/// What a server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where [`Server::start`](crate::Server::start) listens; port 0 = any free one.
    pub listen: SocketAddr,
    /// How long a watch may be silent, unless it asks for its own time.
    pub osd_client_watch_timeout: Duration,
    /// How long a watch lives whose connection is known to be gone.
    pub osd_client_watch_grace: Duration,
    /// How long a notify waits for acks, unless it asks for its own time.
    pub osd_default_notify_timeout: Duration,
    /// How long a blocklist entry lasts, unless it asks for its own time.
    pub mon_osd_blocklist_default_expire: Duration,
    /// How long a session lives that has neither a stream nor a call.
    pub osd_client_session_timeout: Duration,
    /// What one client may ask for.
    pub limits: Limits,
    /// Connections at a time; whoever comes then waits.
    pub connections_max: usize,
    /// Bytes of the replies that one op stream, or the unary calls of one connection, have not taken: what comes then waits.
    pub reply_bytes_in_flight_max: usize,
    /// Bytes of the replies to all clients, of either door, that are encoded and not yet taken: what is larger than 4 KiB waits.
    pub all_reply_bytes_in_flight_max: usize,
    /// How long such a reply may stand still while another waits for its room, by the machine's time; then its connection ends.
    pub reply_stall_time_max: Duration,
    /// Events that wait for one watch stream; one more cuts the stream.
    pub watch_queue_events_max: usize,
    /// Bytes of these events; one more cuts the stream.
    pub watch_queue_bytes_max: usize,
    /// Bytes of all notifies that wait for acks, with the acks that came.
    pub pending_notify_bytes_max: usize,
    /// Bytes of all that fault rules delay or hold: requests that would be more are refused.
    pub delayed_bytes_max: usize,
    /// Events that are kept for followers.
    pub events_kept_max: usize,
    /// Bytes of these events.
    pub event_bytes_kept_max: usize,
    /// Pools that exist from the start, besides "rbd".
    pub pools: Vec<String>,
    /// Where every event is written, as one JSON object a line.
    pub events_file: Option<PathBuf>,
    /// Whether service osd.v1.Faults may be used.
    pub enable_faults: bool,
    /// Wall clock at the start, in milliseconds of Unix time, by which images and snapshots are stamped. The program reads it
    /// once; a test that does not care has 0.
    pub started_unix_ms: u64,
    /// Where Ceph's own clients are let in; `None` = nowhere.
    pub ceph: Option<CephConfig>,
    /// What every time above goes by; a manual one is advanced with [`Server::clock`](crate::Server::clock).
    pub clock: Clock,
}

impl Default for Config {
    /// Ceph's constants, with a grace of 500 ms.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            osd_client_watch_timeout: Duration::from_secs(30),
            osd_client_watch_grace: Duration::from_millis(500),
            osd_default_notify_timeout: Duration::from_secs(30),
            mon_osd_blocklist_default_expire: Duration::from_secs(3600),
            osd_client_session_timeout: Duration::from_secs(600),
            limits: Limits::default(),
            connections_max: 4096,
            reply_bytes_in_flight_max: 16 << 20,
            all_reply_bytes_in_flight_max: 32 << 20,
            reply_stall_time_max: Duration::from_secs(10),
            watch_queue_events_max: 16_384,
            watch_queue_bytes_max: 64 << 20,
            pending_notify_bytes_max: 64 << 20,
            delayed_bytes_max: 64 << 20,
            events_kept_max: 100_000,
            event_bytes_kept_max: 32 << 20,
            pools: Vec::new(),
            events_file: None,
            enable_faults: false,
            started_unix_ms: 0,
            ceph: None,
            clock: Clock::Real,
        }
    }
}

impl Config {
    /// As Ceph behaves: a lost connection changes nothing about the time a watch has left.
    pub fn ceph() -> Self {
        let ceph = Self::default();
        Self { osd_client_watch_grace: ceph.osd_client_watch_timeout, ..ceph }
    }

    /// One order shorter, for tests that wait for timeouts.
    pub fn ci() -> Self {
        Self {
            osd_client_watch_timeout: Duration::from_secs(3),
            osd_client_watch_grace: Duration::from_millis(300),
            osd_default_notify_timeout: Duration::from_secs(3),
            mon_osd_blocklist_default_expire: Duration::from_secs(360),
            osd_client_session_timeout: Duration::from_secs(60),
            ..Self::default()
        }
    }

    pub(crate) fn of_osd(&self) -> osd::Config {
        osd::Config {
            osd_client_watch_timeout: millis(self.osd_client_watch_timeout),
            osd_client_watch_grace: millis(self.osd_client_watch_grace),
            osd_default_notify_timeout: millis(self.osd_default_notify_timeout),
            mon_osd_blocklist_default_expire: millis(self.mon_osd_blocklist_default_expire),
            osd_client_session_timeout: millis(self.osd_client_session_timeout),
            started_unix_ms: self.started_unix_ms,
            limits: self.limits,
            pending_notify_bytes_max: self.pending_notify_bytes_max,
            events_kept_max: self.events_kept_max,
            event_bytes_kept_max: self.event_bytes_kept_max,
            ..osd::Config::default()
        }
    }
}

/// Whole milliseconds, rounded up: a span that is not zero stays so.
pub(crate) fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// Whole milliseconds, rounded down: what has not passed yet does not count.
pub(crate) fn whole_millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
