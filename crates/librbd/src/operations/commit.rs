//! The op vector by which an operation becomes true.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;
use proto::cls::lock::v1 as cls;
use proto::cls::rbd::v1 as rbd;
use rados::ObjectOp;
use rbd_protocol::locker::{LOCK_NAME, LOCK_TAG};

use super::Run;
use crate::done;
use crate::error::{Error, Result};
use crate::header::Header;
use crate::opened::{Held, OpenImage};
use crate::throttle::interrupted;

impl Run {
    /// Changes the header in one op vector: the lock is asserted, `change` is made, the result of a forwarded operation is
    /// recorded, records that it makes superfluous go, and the header is read, which is then put in place.
    ///
    /// ERESTART when the lock is not held any more: then nothing has changed. Other errors are those of `change`.
    pub(super) async fn commit(&self, what: &str, change: impl Fn(ObjectOp) -> ObjectOp) -> Result<()> {
        let superseded = match &self.forwarded {
            Some(request) => done::superseded(&self.image.io, &self.image.header, request).await?,
            None => Vec::new(),
        };
        let finish = |op: ObjectOp| self.record(change(op), &superseded).exec_empty("rbd", "get_header");
        let header = change_header(&self.image, what, finish).await?;
        if let Err(error) = self.image.install(header).await {
            // It has happened all the same. The next I/O reads the header before it starts.
            tracing::warn!(image = self.image.name, %error, "the state after a commit could not be loaded");
            self.image.mark_stale();
        }
        Ok(())
    }

    fn record(&self, op: ObjectOp, superseded: &[String]) -> ObjectOp {
        let Some(request) = &self.forwarded else { return op };
        let record = BTreeMap::from([(done::key(request.id), Bytes::from(done::value(0)))]);
        let op = op.omap_set(record);
        if superseded.is_empty() { op } else { op.omap_remove(superseded) }
    }
}

/// Sends `[lock.assert_locked, ...vector]`, whose last op reads the header. A cookie that changed meanwhile is no loss of
/// the lock: the vector is sent again.
async fn change_header(
    image: &OpenImage,
    what: &str,
    vector: impl Fn(ObjectOp) -> ObjectOp,
) -> Result<Header> {
    loop {
        let cookie = held_cookie(image).await?;
        let op = vector(assert_locked(cookie.as_deref()));
        let last = op.len() - 1;
        let error = match image.io.operate(&image.header, op).await {
            Ok(reply) => {
                let header = reply.exec::<rbd::Header>(last).map_err(Error::osd(what))?;
                return Ok(Header { version: reply.version, ..Header::from(header) });
            }
            Err(error) => error,
        };
        let lock_refused = cookie.is_some() && error.failed_op() == Some(0) && error.errno() == Errno::EBUSY;
        if !lock_refused {
            return Err(Error::osd(what)(error));
        }
        if held_cookie(image).await? == cookie {
            return Err(interrupted());
        }
    }
}

/// The cookie of the lock, once it is not being changed. None: the image does not use the lock. ERESTART: it is not held.
async fn held_cookie(image: &OpenImage) -> Result<Option<String>> {
    if !image.uses_lock() {
        return Ok(None);
    }
    let mut held = image.held.subscribe();
    let held = held.wait_for(|held| *held != Held::Changing).await;
    // The sender is part of the image.
    match held.as_deref() {
        Ok(Held::Under(cookie)) => Ok(Some(cookie.clone())),
        _ => Err(interrupted()),
    }
}

fn assert_locked(cookie: Option<&str>) -> ObjectOp {
    let op = ObjectOp::new();
    let Some(cookie) = cookie else { return op };
    let input = cls::AssertLocked {
        name: LOCK_NAME.to_owned(),
        r#type: cls::LockType::Exclusive.into(),
        cookie: cookie.to_owned(),
        tag: LOCK_TAG.to_owned(),
    };
    op.exec("lock", "assert_locked", &input)
}

/// Whether the OSD confirms that this client holds the lock under `cookie`. EBLOCKLISTED when the client is fenced.
pub(crate) async fn is_confirmed(image: &OpenImage, cookie: &str) -> Result<bool> {
    match image.io.operate(&image.header, assert_locked(Some(cookie))).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno(), Errno::EBUSY | Errno::ENOENT) => Ok(false),
        Err(error) => Err(Error::osd(format!("ask whether image {} is locked", image.name))(error)),
    }
}
