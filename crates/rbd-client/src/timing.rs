//! The constants of the client: Ceph's names as flags and environment variables, on top of a preset.

use std::time::Duration;

use clap::{Args, ValueEnum, builder::BoolishValueParser};

use crate::duration::duration;

/// A set of values for every constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// Ceph's: watch 30 s, ping 5 s, notify 5 s, request 30 s, retry 1 s, blocklist 1 h.
    Ceph,
    /// One order shorter, for tests: watch 3 s, ping 0.5 s, notify 0.5 s, request 3 s, retry 0.1 s, blocklist 6 min.
    Ci,
}

/// Flags that change single constants. Each has an environment variable.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Constants (Ceph's names; see --help)")]
pub(crate) struct Timing {
    /// Values of all constants below that are not given
    #[arg(long, env = "RBD_CLIENT_PRESET", global = true, default_value = "ceph")]
    pub(crate) preset: Preset,

    /// Timeout of this client's watches; without it the OSD's
    #[arg(
        long,
        env = "RBD_CLIENT_OSD_CLIENT_WATCH_TIMEOUT",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    osd_client_watch_timeout: Option<Duration>,

    /// Time between two pings of a watch
    #[arg(
        long,
        env = "RBD_CLIENT_OBJECTER_TICK_INTERVAL",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    objecter_tick_interval: Option<Duration>,

    /// A connection on which nothing was heard for this long is opened anew
    #[arg(
        long,
        env = "RBD_CLIENT_OBJECTER_TIMEOUT",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    objecter_timeout: Option<Duration>,

    /// How long the watchers have to answer a notify of an image
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_NOTIFY_TIMEOUT",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_notify_timeout: Option<Duration>,

    /// Wait between two requests for the lock, and between two rounds of a call
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_RETRY_DELAY",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_retry_delay: Option<Duration>,

    /// When a request for the lock that nobody has granted is sent again
    #[arg(
        long,
        env = "RBD_CLIENT_CLIENT_NOTIFY_TIMEOUT",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    client_notify_timeout: Option<Duration>,

    /// A forwarded request without progress for this long is started over
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_REQUEST_TIMED_OUT_SECONDS",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_request_timed_out_seconds: Option<Duration>,

    /// How long the lock owner remembers an ended request
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_COMPLETED_REQUEST_TTL",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_completed_request_ttl: Option<Duration>,

    /// How long an owner that runs an operation may keep the lock from a peer that wants it
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_LOCK_HOLD_MAX",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_lock_hold_max: Option<Duration>,

    /// Fence a dead lock owner before its lock is broken
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_BLOCKLIST_ON_BREAK_LOCK",
        global = true,
        value_parser = BoolishValueParser::new(),
        value_name = "BOOL",
        hide_short_help = true
    )]
    rbd_blocklist_on_break_lock: Option<bool>,

    /// How long a fence lasts; without it the OSD's mon_osd_blocklist_default_expire
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_BLOCKLIST_EXPIRE_SECONDS",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_blocklist_expire_seconds: Option<Duration>,

    /// Objects that an operation (flatten, trim, import, export) works on at once, 1 or more
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_CONCURRENT_MANAGEMENT_OPS",
        global = true,
        value_parser = at_least_one,
        value_name = "N",
        hide_short_help = true
    )]
    rbd_concurrent_management_ops: Option<usize>,

    /// Give the lock away on request until it was taken by hand
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_AUTO_EXCLUSIVE_LOCK_UNTIL_MANUAL_REQUEST",
        global = true,
        value_parser = BoolishValueParser::new(),
        value_name = "BOOL",
        hide_short_help = true
    )]
    rbd_auto_exclusive_lock_until_manual_request: Option<bool>,

    /// How old the recorded time of the last write may become; 0s = writes are not recorded
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_MTIME_UPDATE_INTERVAL",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_mtime_update_interval: Option<Duration>,

    /// The same of reads
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_ATIME_UPDATE_INTERVAL",
        global = true,
        allow_hyphen_values = true,
        value_parser = duration,
        value_name = "DURATION",
        hide_short_help = true
    )]
    rbd_atime_update_interval: Option<Duration>,

    /// Copy an object up from the parent when it is read, not only when it is written
    #[arg(
        long,
        env = "RBD_CLIENT_RBD_CLONE_COPY_ON_READ",
        global = true,
        value_parser = BoolishValueParser::new(),
        value_name = "BOOL",
        hide_short_help = true
    )]
    rbd_clone_copy_on_read: Option<bool>,
}

impl Timing {
    /// What images are opened with.
    pub(crate) fn librbd(&self) -> librbd::Config {
        let mut config = match self.preset {
            Preset::Ceph => librbd::Config::ceph(),
            Preset::Ci => librbd::Config::ci(),
        };
        config.osd_client_watch_timeout = self.osd_client_watch_timeout.or(config.osd_client_watch_timeout);
        config.rbd_blocklist_expire = self.rbd_blocklist_expire_seconds.or(config.rbd_blocklist_expire);
        set(&mut config.notify_timeout, self.rbd_notify_timeout);
        set(&mut config.retry_delay, self.rbd_retry_delay);
        set(&mut config.client_notify_timeout, self.client_notify_timeout);
        set(&mut config.rbd_request_timed_out_seconds, self.rbd_request_timed_out_seconds);
        set(&mut config.completed_request_ttl, self.rbd_completed_request_ttl);
        set(&mut config.rbd_lock_hold_max, self.rbd_lock_hold_max);
        set(&mut config.rbd_blocklist_on_break_lock, self.rbd_blocklist_on_break_lock);
        set(&mut config.rbd_concurrent_management_ops, self.rbd_concurrent_management_ops);
        set(
            &mut config.rbd_auto_exclusive_lock_until_manual_request,
            self.rbd_auto_exclusive_lock_until_manual_request,
        );
        set(&mut config.rbd_mtime_update_interval, self.rbd_mtime_update_interval);
        set(&mut config.rbd_atime_update_interval, self.rbd_atime_update_interval);
        set(&mut config.rbd_clone_copy_on_read, self.rbd_clone_copy_on_read);
        config
    }

    /// What sessions are opened with.
    pub(crate) fn rados(&self) -> rados::Config {
        let mut config = match self.preset {
            Preset::Ceph => rados::Config::ceph(),
            Preset::Ci => rados::Config::ci(),
        };
        set(&mut config.ping_interval, self.objecter_tick_interval);
        set(&mut config.silence_max, self.objecter_timeout);
        config
    }
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&number| number >= 1);
    number.ok_or_else(|| format!("'{text}': expected a whole number, 1 or more"))
}
