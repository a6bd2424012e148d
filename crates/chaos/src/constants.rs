//! The programs' constants, as far as bounds follow from them.

use std::time::Duration;

use harness::cluster::Preset;

/// What a preset means in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constants {
    /// `osd_client_watch_timeout`.
    pub watch_timeout: Duration,
    /// `osd_client_watch_grace`: how long a watch lives whose connection is known to be gone.
    pub watch_grace: Duration,
    /// `rbd_request_timed_out_seconds`.
    pub request_timeout: Duration,
    /// What `osd_client_session_timeout` is set to: runs wait for the sessions of killed clients to end.
    pub session_timeout: Duration,
}

impl Constants {
    /// Those of a preset.
    pub const fn of(preset: Preset) -> Self {
        let long = Duration::from_secs(30);
        match preset {
            Preset::Ceph => Self {
                watch_timeout: long,
                watch_grace: long,
                request_timeout: long,
                session_timeout: Duration::from_secs(31),
            },
            Preset::Default => Self {
                watch_timeout: long,
                watch_grace: Duration::from_millis(500),
                request_timeout: long,
                session_timeout: Duration::from_secs(5),
            },
            Preset::Ci => Self {
                watch_timeout: Duration::from_secs(3),
                watch_grace: Duration::from_millis(300),
                request_timeout: Duration::from_secs(3),
                session_timeout: Duration::from_secs(4),
            },
        }
    }

    /// The same for runs with Ceph's own librbd: a watch of it lives for two of its ping intervals, and its notifies wait for 5 s.
    pub fn with_librbd(self) -> Self {
        Self {
            watch_timeout: self.watch_timeout.max(Duration::from_secs(10)),
            request_timeout: self.request_timeout.max(Duration::from_secs(5)),
            ..self
        }
    }

    /// How long a call may take when nothing was broken (I5): no dead owner to outlive, and no request to time out. What remains is
    /// the work itself on a slow machine, and an owner who holds on to the lock until its operation has ended.
    pub fn calm_max(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// How long a call may take because of an error or a delay of one op: a request may have to be made once more.
    pub fn step_max(&self) -> Duration {
        self.request_timeout + self.calm_max()
    }

    /// How long a call may take when clients were lost (I5): twice a dead owner to outlive and a request to time out, and the work
    /// itself on a slow machine.
    pub fn call_max(&self) -> Duration {
        2 * (self.watch_timeout + self.request_timeout) + Duration::from_secs(15)
    }

    /// How long remains of the dead may be found: their sessions must time out first.
    pub fn rest_max(&self) -> Duration {
        self.session_timeout + self.call_max()
    }
}
