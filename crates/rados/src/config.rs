use std::time::Duration;

use clock::Clock;
use tasks::Executor;

/// How a session behaves. Every value is an input: the crate reads no clock and draws no randomness of its own.
#[derive(Clone, Debug)]
pub struct Config {
    /// Free text for people and timelines, e.g. "client-2"; may be empty.
    pub client_name: String,
    /// Time between two pings of the watch stream (Ceph: `objecter_tick_interval`, 5 s).
    pub ping_interval: Duration,
    /// Shortest wait before a broken connection is opened again.
    pub reconnect_min: Duration,
    /// Longest wait before a broken connection is opened again.
    pub reconnect_max: Duration,
    /// A watch stream on which nothing was heard for this long is treated as lost. Longer than `ping_interval`, shorter
    /// than the watch timeout, so that a frozen OSD or a cut link is noticed while the watch can still be resumed.
    pub silence_max: Duration,
    /// Seeds the jitter of the waits between reconnects.
    pub backoff_seed: u64,
    /// What pings, the silence of a watch stream and the timeouts of notifies go by, and those of whoever uses the session.
    pub clock: Clock,
    /// What guards against the machine goes by: opening connections, the wait before the next try, the bounds of an orderly end. Real
    /// also under a manual `clock`; a simulation gives its own.
    pub machine: Clock,
    /// Where the session's tasks run, and those of whoever uses the session.
    pub executor: Executor,
}

impl Config {
    /// Ceph's ping interval and waits that fit its watch timeout of 30 s and a grace of 500 ms.
    pub fn ceph() -> Self {
        Self {
            client_name: String::new(),
            ping_interval: Duration::from_secs(5),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
            silence_max: Duration::from_secs(15),
            backoff_seed: 0,
            clock: Clock::Real,
            machine: Clock::Real,
            executor: Executor::default(),
        }
    }

    /// One order shorter, for a watch timeout of 3 s and a grace of 300 ms.
    pub fn ci() -> Self {
        Self {
            ping_interval: Duration::from_millis(500),
            reconnect_min: Duration::from_millis(10),
            reconnect_max: Duration::from_millis(200),
            silence_max: Duration::from_millis(1_500),
            ..Self::ceph()
        }
    }

    /// When a silent watch stream is given up: a ping must have the time to be answered.
    pub fn watch_silence_max(&self) -> Duration {
        self.silence_max.max(self.ping_interval * 2)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::ceph()
    }
}
