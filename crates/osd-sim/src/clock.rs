//! The OSD's clock: for tests in Rust, and as service Clock.

mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use osd::{OpError, SilentWatch};

use crate::daemon::{Daemon, milliseconds};
pub(crate) use service::ClockService;

/// The clock of a running server.
#[derive(Clone)]
pub struct ServerClock {
    daemon: Arc<Daemon>,
}

impl ServerClock {
    pub(crate) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    /// What has passed since the server's start.
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.daemon.now().0)
    }

    /// Lets time pass, in steps of a sixth of the shortest watch timeout; at each step everything that is due happens, and
    /// every client that has a watch gets the occasion to say that it lives. The watches that were silent at the end.
    ///
    /// EPERM unless the server was started with a [manual](clock::Clock::manual) clock; EINVAL for less than 1 ms and more than
    /// [`ADVANCE_MAX`](clock::ADVANCE_MAX).
    pub async fn advance(&self, by: Duration) -> Result<Vec<SilentWatch>, OpError> {
        self.daemon.advance(milliseconds(by), 0, 0).await
    }
}

impl fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerClock").field("passed", &self.passed()).finish_non_exhaustive()
    }
}
