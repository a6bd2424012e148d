//! States of the exclusive lock, by Ceph's names (facts 3.6).

use std::fmt;

/// Where the lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Just made.
    Uninitialized,
    /// The gate is being closed.
    Initializing,
    /// Stable, not owner.
    Unlocked,
    /// Stable, owner.
    Locked,
    /// The server part of taking the lock runs.
    Acquiring,
    /// The lock is held; the state read with it is being installed.
    PostAcquiring,
    /// An acquire is wanted and there is no watch handle.
    WaitingForRegister,
    /// Somebody else has the lock; RequestLock was sent, or a foreign lock stands.
    WaitingForLock,
    /// The cookie is being changed after a rewatch.
    Reacquiring,
    /// Operations and I/O are being drained before the unlock.
    PreReleasing,
    /// The unlock is being sent.
    Releasing,
    /// Like PreReleasing, at close.
    PreShuttingDown,
    /// Like Releasing, at close.
    ShuttingDown,
    /// Final.
    Shutdown,
}

impl State {
    /// Ceph's name, e.g. "WAITING_FOR_LOCK".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uninitialized => "UNINITIALIZED",
            Self::Initializing => "INITIALIZING",
            Self::Unlocked => "UNLOCKED",
            Self::Locked => "LOCKED",
            Self::Acquiring => "ACQUIRING",
            Self::PostAcquiring => "POST_ACQUIRING",
            Self::WaitingForRegister => "WAITING_FOR_REGISTER",
            Self::WaitingForLock => "WAITING_FOR_LOCK",
            Self::Reacquiring => "REACQUIRING",
            Self::PreReleasing => "PRE_RELEASING",
            Self::Releasing => "RELEASING",
            Self::PreShuttingDown => "PRE_SHUTTING_DOWN",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Shutdown => "SHUTDOWN",
        }
    }

    /// Whether a client in this state may write and run operations.
    pub const fn is_owner(self) -> bool {
        matches!(
            self,
            Self::Locked
                | Self::PostAcquiring
                | Self::Reacquiring
                | Self::PreReleasing
                | Self::PreShuttingDown
        )
    }

    /// Whether an acquire waits here for something outside.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::WaitingForRegister | Self::WaitingForLock)
    }

    /// Whether a queued action may start here.
    pub(crate) const fn is_stable(self) -> bool {
        matches!(self, Self::Unlocked | Self::Locked | Self::Shutdown)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
