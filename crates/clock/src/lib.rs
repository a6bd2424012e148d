//! The time that the protocol is stated in: watch timeouts, pings, request timeouts, retry delays. It is real, or it stands
//! still and passes only when it is told to.
//!
//! A program reads no other time for these: the clock is made in `main` and handed down. What guards against the machine
//! (connecting, keep-alive, reconnect back-off, the time to close) goes by real time also under a manual clock.

mod advance;
mod manual;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

pub use advance::{ADVANCE_MAX, ADVANCE_STEPS_MAX, Advance, AdvanceError, PATIENCE, PATIENCE_MAX, StepLimit};
pub use manual::Manual;

/// Where protocol code takes the time from. Cheap to clone; clones are one clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// tokio's: the machine's in programs, simulated in a simulation.
    #[default]
    Real,
    /// Stands still until it is advanced.
    Manual(Manual),
}

/// The time given to something was over before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Clock {
    /// A clock that stands still.
    pub fn manual() -> Self {
        Self::Manual(Manual::new())
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        match self {
            Self::Real => Instant::now(),
            Self::Manual(manual) => manual.now(),
        }
    }

    /// Until `span` has passed.
    pub async fn sleep(&self, span: Duration) {
        match self {
            Self::Real => tokio::time::sleep(span).await,
            Self::Manual(manual) => manual.sleep(span).await,
        }
    }

    /// Until the time is `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        match self {
            Self::Real => tokio::time::sleep_until(deadline).await,
            Self::Manual(manual) => manual.sleep_until(deadline).await,
        }
    }

    /// Does `work` for at most `span`. Work that is done when the time is over has been in time.
    pub async fn timeout<T>(&self, span: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.sleep(span) => Err(Elapsed),
        }
    }
}
