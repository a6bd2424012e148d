//! The op vector by which an operation becomes true.

use errno::Errno;
use marks::Mark;
use rados::ObjectOp;
use rbd_protocol::{Ended, Failure, RequestId};

use super::Run;
use crate::done::{self, Known, Record, Recorded};
use crate::error::{Error, Result};
use crate::header::{Header, with_header};
use crate::lock_class;
use crate::opened::{Held, OpenImage};
use crate::throttle::interrupted;

/// Rounds of one commit. A second one is needed when the requester closed meanwhile, which it does once; more mean that
/// somebody else writes its records.
const ROUNDS_MAX: usize = 8;

impl Run {
    /// Changes the header in one op vector: the lock is asserted, `change` is made, the result of an operation that was sent
    /// to an owner is recorded, records that it makes superfluous go, and the header is read, which is then put in place.
    ///
    /// ERESTART when the lock is not held any more: then nothing has changed. Other errors are those of `change`.
    pub(super) async fn commit(&self, what: &str, change: impl Fn(ObjectOp) -> ObjectOp) -> Result<()> {
        self.end_with(self.recorded, &Ok(()), what, change).await
    }

    /// Leaves only the record that the operation has failed for good: a late copy of the request is not to run it at another
    /// owner. Unrecorded operations leave none. ERESTART when the lock is not held any more.
    pub(super) async fn record_failure(&self, failure: Failure) -> Result<()> {
        self.record_end(self.recorded, &Err(failure)).await
    }

    /// Leaves only the record of an operation that has become true elsewhere than in the header. Unrecorded operations leave none.
    pub(super) async fn record_success(&self) -> Result<()> {
        self.record_end(self.recorded, &Ok(())).await
    }

    /// The same for a request whose owner may have died before it did.
    pub(super) async fn record_success_of(&self, id: RequestId) -> Result<()> {
        match done::look_up(&self.image.io, &self.image.header, id).await? {
            Known::New => {
                let request = Recorded { id, low_water_mark: done::FIRST };
                self.record_end(Some(request), &Ok(())).await
            }
            Known::Ended(_) | Known::Forgotten => Ok(()),
        }
    }

    async fn record_end(&self, request: Option<Recorded>, ended: &Ended) -> Result<()> {
        let Some(Recorded { id, .. }) = request else { return Ok(()) };
        let what = format!("record the end of request {id}");
        self.end_with(request, ended, &what, ObjectOp::assert_exists).await
    }

    async fn end_with(
        &self,
        request: Option<Recorded>,
        ended: &Ended,
        what: &str,
        change: impl Fn(ObjectOp) -> ObjectOp,
    ) -> Result<()> {
        let mut rounds = 0;
        let header = loop {
            rounds += 1;
            let record = self.record(request, ended).await?;
            match change_header(&self.image, what, |op| record.write(change(op))).await {
                Err(error) if error.errno() == Errno::ECANCELED && rounds < ROUNDS_MAX => {
                    marks::hit(Mark::InsideEcanceled);
                }
                header => break header?,
            }
        };
        self.image.install_or_mark_stale(header).await;
        Ok(())
    }

    async fn record(&self, request: Option<Recorded>, ended: &Ended) -> Result<Record> {
        match request {
            Some(_) if planted::is(planted::Mistake::CommitUnrecorded) => Ok(Record::default()),
            Some(request) => Record::of(&self.image.io, &self.image.header, request, ended).await,
            None => Ok(Record::default()),
        }
    }
}

/// Sends `[lock.assert_locked, ...vector]` and reads the header behind it. A cookie that changed meanwhile is no loss of the
/// lock: the vector is sent again.
async fn change_header(
    image: &OpenImage,
    what: &str,
    vector: impl Fn(ObjectOp) -> ObjectOp,
) -> Result<Header> {
    loop {
        let cookie = held_cookie(image).await?;
        let start = ObjectOp::new();
        let start = match &cookie {
            Some(cookie) => lock_class::assert_locked(start, cookie),
            None => start,
        };
        let error = match with_header(&image.io, &image.header, vector(start)).await {
            Ok((header, _)) => return Ok(header),
            Err(error) => error,
        };
        let lock_refused = cookie.is_some() && error.failed_op() == Some(0) && error.errno() == Errno::EBUSY;
        if !lock_refused {
            return Err(Error::osd(what)(error));
        }
        if held_cookie(image).await? == cookie {
            marks::hit(Mark::InsideEbusy);
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

/// Whether the OSD confirms that this client holds the lock under `cookie`. EBLOCKLISTED when the client is fenced.
pub(crate) async fn is_confirmed(image: &OpenImage, cookie: &str) -> Result<bool> {
    match image.io.operate(&image.header, lock_class::assert_locked(ObjectOp::new(), cookie)).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno(), Errno::EBUSY | Errno::ENOENT) => Ok(false),
        Err(error) => Err(Error::osd(format!("ask whether image {} is locked", image.name))(error)),
    }
}
