use std::time::Duration;

use clap::Args;
use librbd::{CallOptions, OpenOptions};

use crate::{duration::duration, progress::Progress};

/// Options of the maintenance operations: they run here when this client gets the lock, else at the lock's owner.
#[derive(Args, Clone, Debug)]
pub(super) struct Call {
    /// Rounds of getting the lock or asking its owner; when they are used up the last reason is the error. Without it: until it is decided
    #[arg(
        long,
        env = "RBD_CLIENT_ATTEMPTS",
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    attempts: Option<u32>,

    /// Give up after this time, with ETIMEDOUT; the lock owner may finish the operation all the same
    #[arg(long, env = "RBD_CLIENT_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// Open the image read-only: the operation is refused with EROFS
    #[arg(long)]
    read_only: bool,
}

impl Call {
    /// How the image is opened, at `snap` when one is named.
    pub(super) fn open_options(&self, snap: Option<&str>) -> OpenOptions {
        OpenOptions { read_only: self.read_only, snapshot: snap.map(str::to_owned) }
    }

    /// How the operation is called.
    pub(super) fn options(&self, progress: &Progress) -> CallOptions {
        CallOptions { attempts_max: self.attempts, deadline: self.timeout, progress: progress.sink() }
    }
}
