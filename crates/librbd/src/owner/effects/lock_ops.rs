//! The exclusive lock at the OSD: class `lock` on the header object.

use std::sync::atomic::Ordering;

use errno::Errno;
use rados::ObjectOp;
use rbd_protocol::OpResult;
use rbd_protocol::acquire::{self, AcquireRequest, Outcome, Step};
use rbd_protocol::locker::{LockInfo, encode_cookie};

use crate::breaking::Breaking;
use crate::header::with_header;
use crate::held_lock::Giver;
use crate::lock_class;
use crate::opened::OpenImage;
use crate::operations::LEFTOVERS;
use crate::owner::{Acquired, millis, seed};

/// Takes the lock under this watch handle, or finds out why not. After an error it may be held all the same, if only the answer
/// went wrong: then it is given back, since nobody else may break it and nobody here would answer for it.
pub(super) async fn acquire(image: &OpenImage, handle: u64) -> (Outcome, Option<Acquired>) {
    let mut request = AcquireRequest::new(image.gid(), handle, image.config.rbd_blocklist_on_break_lock);
    let mut breaking = Breaking::new(&image.io, &image.header, &image.config);
    let mut acquired = None;
    let mut step = request.start();
    loop {
        let event = match step {
            Step::Lock { cookie } => {
                // Polled, hence sent, in this order; ops on one object happen in the order in which they were sent.
                let (locker, read) = tokio::join!(biased; get_locker(image), lock(image, &cookie));
                acquire::Event::Locked { locker, locked: read.map(|read| acquired = Some(read)) }
            }
            Step::Break(step) => acquire::Event::Break(breaking.perform(step).await),
            Step::Finished(outcome) => {
                if matches!(outcome, Outcome::Failed(errno) if errno != Errno::EAGAIN) {
                    // It is gone, or the session is, which ends it too.
                    let _gone = giver(image, handle).give_back().await;
                }
                return (outcome, acquired);
            }
        };
        step = request.step(event);
    }
}

async fn get_locker(image: &OpenImage) -> Result<LockInfo, Errno> {
    lock_class::info(&image.io, &image.header).await.map_err(|error| error.errno())
}

async fn lock(image: &OpenImage, cookie: &str) -> Result<Acquired, Errno> {
    let op = lock_class::lock(ObjectOp::new(), cookie, true);
    let op = LEFTOVERS.iter().fold(op, |op, prefix| op.omap_list("", *prefix, 1));
    let (header, reply) = with_header(&image.io, &image.header, op).await.map_err(|error| error.errno())?;
    let mut lists = (1..=LEFTOVERS.len()).map(|index| reply.omap(index));
    let has_leftovers = lists.any(|list| list.is_ok_and(|list| !list.entries.is_empty()));
    Ok(Acquired { header, has_leftovers })
}

/// Changes the cookie of the held lock and puts the header in place that was read with it.
pub(super) async fn set_cookie(image: &OpenImage, old: u64, new: u64) -> OpResult {
    let op = lock_class::set_cookie(ObjectOp::new(), &encode_cookie(old), &encode_cookie(new));
    let (header, _) = with_header(&image.io, &image.header, op).await.map_err(|error| error.errno())?;
    image.install_or_mark_stale(header).await;
    Ok(())
}

/// Gives the lock back. A cookie that was to be changed may have been, if only the answer went wrong.
pub(super) async fn unlock(image: &OpenImage, handle: u64) -> OpResult {
    let given_back = giver(image, handle).give_back().await;
    let newest = image.watch_handle.load(Ordering::Relaxed);
    if given_back == Err(Errno::ENOENT) && newest != handle {
        return giver(image, newest).give_back().await;
    }
    given_back
}

/// Gives the lock back that is held under this watch handle.
pub(crate) fn giver(image: &OpenImage, handle: u64) -> Giver {
    Giver {
        io: image.io.clone(),
        header: image.header.clone(),
        cookie: encode_cookie(handle),
        retry_delay: millis(image.config.retry_delay),
        seed: seed(image),
    }
}
