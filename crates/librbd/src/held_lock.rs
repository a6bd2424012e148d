//! The automatic exclusive lock in the hands of a sequence that has no owner task, as the removal of an image holds it.

use std::time::Duration;

use errno::Errno;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::locker::encode_cookie;
use rbd_protocol::retry::Backoff;
use rbd_protocol::{Millis, OpResult};
use tasks::{Running, Tasks};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::lock_class;
use crate::owner::millis;

/// Answers for a lock: nobody may break the lock of a session that watches the image, so one whose sequence goes away in the
/// middle, or fails to give it back, is given back by a task of the session.
#[derive(Debug)]
pub(crate) struct HeldLock {
    cookie: String,
    /// Dropped without a word: the lock is still to be given back.
    settled: oneshot::Sender<()>,
    ended: Running<()>,
}

impl HeldLock {
    /// Of a sequence that watches `header` under `handle`. To be made before the lock is taken: also what is on its way when
    /// the sequence goes away is given back.
    pub(crate) fn new(io: &IoCtx, header: &str, handle: u64, config: &Config) -> Self {
        let (settled, is_settled) = oneshot::channel();
        let cookie = encode_cookie(handle);
        let giver = Giver {
            io: io.clone(),
            header: header.to_owned(),
            cookie: cookie.clone(),
            retry_delay: millis(config.retry_delay),
            seed: io.rados().gid() ^ handle,
        };
        let ended = Tasks::new(io.rados().executor().clone()).run(async move {
            if is_settled.await.is_err() {
                // It is gone, or its session is, which ends it too.
                let _gone = giver.give_back().await;
            }
        });
        Self { cookie, settled, ended }
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Gives it back, and waits until it is gone, or the session is.
    pub(crate) async fn give_back(self) {
        drop(self.settled);
        let _program_ends = self.ended.await;
    }

    /// The lock was not taken, or is gone with its header.
    pub(crate) fn settle(self) {
        let _task_ended = self.settled.send(());
    }
}

/// Gives one lock of this session back.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    pub(crate) io: IoCtx,
    pub(crate) header: String,
    pub(crate) cookie: String,
    /// Longest pause between two attempts.
    pub(crate) retry_delay: Millis,
    /// Of the pauses' jitter.
    pub(crate) seed: u64,
}

impl Giver {
    /// Nobody may break the lock of a client that lives, so it is tried until the OSD has said that the lock is gone, or the
    /// session has ended.
    pub(crate) async fn give_back(&self) -> OpResult {
        let mut backoff = Backoff::new(Millis(self.retry_delay.0 / 10), self.retry_delay, self.seed);
        loop {
            let op = lock_class::unlock(ObjectOp::new(), &self.cookie);
            let errno = match self.io.operate(&self.header, op).await.map_err(|error| error.errno()) {
                Ok(_) => return Ok(()),
                Err(errno @ (Errno::ENOENT | Errno::EBLOCKLISTED | Errno::ENOTCONN | Errno::ESHUTDOWN)) => {
                    return Err(errno);
                }
                Err(errno) => errno,
            };
            let delay = Duration::from_millis(backoff.next_delay().0);
            let header = &self.header;
            tracing::warn!(header, %errno, ?delay, "the exclusive lock could not be given back yet");
            self.io.rados().clock().sleep(delay).await;
        }
    }
}
