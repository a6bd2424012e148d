use std::time::Duration;

/// How an open image behaves. Names are Ceph's where Ceph has the option; the defaults are Ceph's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A proxied request without progress for this long ends its attempt.
    pub rbd_request_timed_out_seconds: Duration,
    /// How long a notify of the image watcher waits for acks (a constant in Ceph).
    pub notify_timeout: Duration,
    /// Wait before RequestLock or a round of the invoke loop is tried again (a constant in Ceph).
    pub retry_delay: Duration,
    /// RequestLock is sent again after this long although it was acked.
    pub client_notify_timeout: Duration,
    /// How long the owner remembers completed requests for duplicates (a constant in Ceph).
    pub completed_request_ttl: Duration,
    /// Fence a dead lock owner before its lock is broken.
    pub rbd_blocklist_on_break_lock: bool,
    /// Length of that fence; `None` = the OSD's `mon_osd_blocklist_default_expire`.
    pub rbd_blocklist_expire: Option<Duration>,
    /// How many objects flatten, trim, remove and rollback work on at once; at least 1.
    pub rbd_concurrent_management_ops: usize,
    /// How many objects one read, write or discard works on at once; at least 1.
    pub rbd_concurrent_object_ops: usize,
    /// How long an owner that runs an operation may hold on to the lock after RequestLock; doubled with each attempt
    /// that was cancelled.
    pub rbd_lock_hold_max: Duration,
    /// The lock moves to whoever writes until it is acquired by hand.
    pub rbd_auto_exclusive_lock_until_manual_request: bool,
    /// A write records in the header when it was, if what stands there is this old; zero = never.
    pub rbd_mtime_update_interval: Duration,
    /// The same of reads, also those of parents.
    pub rbd_atime_update_interval: Duration,
    /// Reads of parent data by the lock owner copy it into the clone.
    pub rbd_clone_copy_on_read: bool,
    /// Timeout of the image's watch; `None` = the OSD's default.
    pub osd_client_watch_timeout: Option<Duration>,
}

impl Config {
    /// Ceph's values.
    pub fn ceph() -> Self {
        Self {
            rbd_request_timed_out_seconds: Duration::from_secs(30),
            notify_timeout: Duration::from_secs(5),
            retry_delay: Duration::from_secs(1),
            client_notify_timeout: Duration::from_secs(10),
            completed_request_ttl: Duration::from_secs(600),
            rbd_blocklist_on_break_lock: true,
            rbd_blocklist_expire: None,
            rbd_concurrent_management_ops: 10,
            rbd_concurrent_object_ops: 32,
            rbd_lock_hold_max: Duration::from_secs(1),
            rbd_auto_exclusive_lock_until_manual_request: true,
            rbd_mtime_update_interval: Duration::from_secs(60),
            rbd_atime_update_interval: Duration::from_secs(60),
            rbd_clone_copy_on_read: false,
            osd_client_watch_timeout: None,
        }
    }

    /// Every time that somebody waits for is one order shorter, for tests: request 3 s, notify 0.5 s, retry 0.1 s.
    pub fn ci() -> Self {
        Self {
            rbd_request_timed_out_seconds: Duration::from_secs(3),
            notify_timeout: Duration::from_millis(500),
            retry_delay: Duration::from_millis(100),
            client_notify_timeout: Duration::from_secs(1),
            completed_request_ttl: Duration::from_secs(60),
            rbd_lock_hold_max: Duration::from_millis(100),
            ..Self::ceph()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::ceph()
    }
}
