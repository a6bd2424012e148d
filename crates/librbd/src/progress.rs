//! What the caller of a maintenance operation sets and sees.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where the events of one call go. Called from the image's tasks: it must not block.
pub type ProgressSink = Arc<dyn Fn(OperationEvent) + Send + Sync>;

/// What happens to one call of a maintenance operation, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationEvent {
    /// An attempt begins.
    Placed {
        /// Counts from 1.
        attempt: u32,
        /// True: it runs at the lock owner. False: this client runs it.
        forwarded: bool,
        /// The owner's instance when forwarded and known, else 0.
        owner_gid: u64,
    },
    /// Never runs backwards within an attempt.
    Progress {
        /// Objects done.
        offset: u64,
        /// All objects.
        total: u64,
        /// The attempt that it belongs to.
        attempt: u32,
    },
    /// The call goes round its loop once more.
    Restarted {
        /// The errno's name and the cause, e.g. "ERESTART: the lock changed hands".
        reason: String,
        /// Number of the attempt that begins.
        attempt: u32,
    },
}

/// Bounds of one call and where its events go. The default: go on until it is decided, tell nobody.
#[derive(Clone)]
pub struct CallOptions {
    /// Rounds of the loop that takes the lock or forwards. When they are used up, the last reason is the error
    /// (ERESTART, ETIMEDOUT, ...). `None` = no limit.
    pub attempts_max: Option<u32>,
    /// How long the caller waits in all, from the call on: ETIMEDOUT. What has been sent to an owner may still happen.
    pub deadline: Option<Duration>,
    /// Gets the call's events.
    pub progress: ProgressSink,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { attempts_max: None, deadline: None, progress: Arc::new(|_| {}) }
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts_max, deadline, progress: _ } = self;
        f.debug_struct("CallOptions")
            .field("attempts_max", attempts_max)
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}
