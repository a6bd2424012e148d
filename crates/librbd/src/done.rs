//! The exactly-once record: the commit op vector of an operation that was sent to an owner leaves its result in the header,
//! where whoever owns the lock later finds it when the same request comes again. A failure that is final leaves one by itself, at the
//! owner or, when an owner was asked and its answer did not come, at the requester, which thereby withdraws the request.
//!
//! * Key `done_<gid>.<open>_<number, 16 hex digits>`, value the i32 result, little endian, and the reason of a failure. Removed when the requester's
//!   low-water mark has passed the number, when the requester closes, and when its session has gone.
//! * Key `low_<gid>.<open>`, value the u64 mark, little endian: every smaller number of that open has ended, and its record
//!   may have been removed. It is raised by the op vector that removes records, so that a late copy of a request whose record
//!   has gone is refused (ESTALE) and never run again; a requester that closes sets it to `u64::MAX`. It never falls, and
//!   goes only with the requester's session. For a requester that says no mark, as Ceph's librbd (its `open` is the handle of its watch), it is
//!   raised so that the newest [`UNMARKED_MAX`] results stay. A gid is never given out again, so a request without a session is as old as one
//!   below the mark.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use errno::Errno;
use marks::Mark;
use rados::{IoCtx, ObjectOp};
use rbd_protocol::{Ended, Failure, RequestId, ended_from_message, ended_to_message};

use crate::error::{Error, Result};
use crate::omap;

/// Every key of a result starts with this.
pub(crate) const DONE: &str = "done_";
/// Every key of a mark starts with this.
pub(crate) const LOW: &str = "low_";
/// Without a mark nothing has ended: requests are numbered from 1.
pub(crate) const FIRST: u64 = 1;
/// The mark of a requester that has closed.
const CLOSED: u64 = u64::MAX;

/// A requester that does not say which of its requests have ended.
const NO_MARK: u64 = 0;
/// Results that are kept of one open whose requester says no mark. It sends a request again until it has heard of its end, and runs a few
/// at a time: one that is older than so many later ones has been heard of.
pub(crate) const UNMARKED_MAX: usize = 128;

/// What the header knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it is to be run.
    New,
    /// It has ended so.
    Ended(Ended),
    /// Its requester has heard of its end, or does not listen any more; nobody knows whether it was committed.
    Forgotten,
}

/// A request whose end leaves a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) id: RequestId,
    /// All requests of the same open with a smaller number have ended; 0 = its requester does not say.
    pub(crate) low_water_mark: u64,
}

/// How a record gets into the header: these ops belong into the op vector of the commit. ECANCELED from it: another one
/// raised the mark in between, look again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// (key, value as it must be found).
    guard: Vec<(String, Option<Bytes>)>,
    set: BTreeMap<String, Bytes>,
    remove: Vec<String>,
}

fn done_key(id: RequestId) -> String {
    format!("{}{:016x}", prefix_of(id.gid, id.open), id.number)
}

/// Start of the keys of the results of one image open.
fn prefix_of(gid: u64, open: u64) -> String {
    format!("{DONE}{gid}.{open}_")
}

fn low_key(gid: u64, open: u64) -> String {
    format!("{LOW}{gid}.{open}")
}

/// The requester's gid in a key of either kind.
fn requester(key: &str) -> Option<u64> {
    key.strip_prefix(DONE).or_else(|| key.strip_prefix(LOW))?.split_once('.')?.0.parse().ok()
}

fn encode_result(ended: &Ended) -> Bytes {
    let (result, reason) = ended_to_message(ended);
    [&result.to_le_bytes()[..], reason.as_bytes()].concat().into()
}

/// A value that is too short counts as success: the key alone proves that the commit happened.
fn decode_result(value: &[u8]) -> Ended {
    let Some((result, reason)) = value.split_first_chunk() else { return Ok(()) };
    ended_from_message(i32::from_le_bytes(*result), String::from_utf8_lossy(reason))
}

/// A value of any other length, or none, says nothing.
fn decode_mark(value: Option<&Bytes>) -> u64 {
    value.and_then(|value| value[..].try_into().ok()).map_or(FIRST, u64::from_le_bytes)
}

fn encode_mark(mark: u64) -> Bytes {
    Bytes::copy_from_slice(&mark.to_le_bytes())
}

/// Looks a request up. Result and mark are read together, and the sessions after them: records go only when their
/// requester's session has ended, so a requester that lives then has had all its records there.
pub(crate) async fn look_up(io: &IoCtx, header: &str, id: RequestId) -> Result<Known> {
    let found = get(io, header, [&done_key(id), &low_key(id.gid, id.open)]).await?;
    Ok(match known_without_sessions(&found, id, io.rados().gid()) {
        Some(known) => known,
        None if live_sessions(io, header).await?.contains(&id.gid) => Known::New,
        None => Known::Forgotten,
    })
}

/// `None`: whether the requester lives decides. An own request is no late copy: should the own session have ended meanwhile, then
/// nothing that is sent is taken any more, and EBLOCKLISTED or ENOTCONN is what the caller is to hear.
fn known_without_sessions(found: &BTreeMap<String, Bytes>, id: RequestId, own_gid: u64) -> Option<Known> {
    let mark = decode_mark(found.get(&low_key(id.gid, id.open)));
    let mark = mark.saturating_add(u64::from(planted::is(planted::Mistake::WatermarkOffByOne)));
    match found.get(&done_key(id)) {
        Some(_) if planted::is(planted::Mistake::ForgetCommitted) => Some(Known::New),
        Some(value) => Some(Known::Ended(decode_result(value))),
        None if id.number < mark => Some(Known::Forgotten),
        None => (id.gid == own_gid).then_some(Known::New),
    }
}

async fn get<const N: usize>(
    io: &IoCtx,
    header: &str,
    keys: [&String; N],
) -> Result<BTreeMap<String, Bytes>> {
    let reply = io.operate(header, ObjectOp::new().omap_get(keys.map(String::as_str))).await;
    let failed = || Error::osd(format!("reading {keys:?} of {header}"));
    Ok(reply.and_then(|reply| reply.omap(0)).map_err(failed())?.entries)
}

impl Record {
    /// The record of how a request has ended. Results below the requester's mark go with it; as long as the mark
    /// stands still there are none. A request that its requester has withdrawn cannot succeed any more: the error is what its caller was
    /// told.
    pub(crate) async fn of(io: &IoCtx, header: &str, request: Recorded, ended: &Ended) -> Result<Self> {
        let Recorded { id, low_water_mark } = request;
        let (done, low) = (done_key(id), low_key(id.gid, id.open));
        let mut found = get(io, header, [&done, &low]).await?;
        if let Some(value) = found.get(&done) {
            return match (ended, decode_result(value)) {
                (Ok(()), Err(Failure { errno, .. })) => {
                    Err(Error::refused(errno, format!("request {id} was withdrawn")))
                }
                // A commit whose answer was lost, or what its caller was told: it stands.
                _ => Ok(Self::default()),
            };
        }
        let found = found.remove(&low);
        let mark = decode_mark(found.as_ref());
        let mut record = Self::default();
        if id.number >= mark {
            record.set.insert(done.clone(), encode_result(ended));
        }
        if low_water_mark > mark || low_water_mark == NO_MARK {
            let prefix = prefix_of(id.gid, id.open);
            let keys: BTreeSet<_> = omap::list(io, header, &prefix).await?.into_keys().collect();
            let low_water_mark = match low_water_mark {
                NO_MARK => mark_without_word(&prefix, keys.iter().chain(record.set.keys())),
                said => said,
            };
            if low_water_mark > mark {
                let first_kept = done_key(RequestId { number: low_water_mark, ..id });
                record.remove = keys.into_iter().filter(|key| *key < first_kept).collect();
                record.set.retain(|key, _| *key >= first_kept);
                record.set.insert(low.clone(), encode_mark(low_water_mark));
            }
        }
        record.guard = vec![(low, found), (done, None)];
        Ok(record)
    }

    /// Appends the record to the op vector of the commit.
    pub(crate) fn write(&self, op: ObjectOp) -> ObjectOp {
        let guard = self.guard.iter();
        let op = guard.fold(op, |op, (key, found)| op.omap_compare(key, found.clone()));
        let op = if self.set.is_empty() { op } else { op.omap_set(self.set.clone()) };
        if self.remove.is_empty() { op } else { op.omap_remove(self.remove.clone()) }
    }
}

/// The mark that leaves the newest results of an open; none while all may stay.
fn mark_without_word<'a>(prefix: &str, keys: impl Iterator<Item = &'a String>) -> u64 {
    let number = |key: &String| u64::from_str_radix(key.strip_prefix(prefix)?, 16).ok();
    let numbers: BTreeSet<u64> = keys.filter_map(number).collect();
    let first_kept = numbers.len().checked_sub(UNMARKED_MAX).filter(|too_many| *too_many > 0);
    first_kept.and_then(|first| numbers.into_iter().nth(first)).unwrap_or(NO_MARK)
}

/// The requester tells its caller that the request has failed: from here on no owner can commit it. How it has ended, when one has.
pub(crate) async fn withdraw(
    io: &IoCtx,
    header: &str,
    id: RequestId,
    failure: &Failure,
) -> Result<Option<Ended>> {
    let done = done_key(id);
    let set = BTreeMap::from([(done.clone(), encode_result(&Err(failure.clone())))]);
    let op = ObjectOp::new().assert_exists().omap_compare(&done, None).omap_set(set);
    match io.operate(header, op).await {
        Err(error) if error.errno() == Errno::ECANCELED => {
            marks::hit(Mark::InvokeWithdrawnTooLate);
            let found = get(io, header, [&done]).await?;
            Ok(found.get(&done).map(|value| decode_result(value)))
        }
        withdrawn => {
            marks::hit(Mark::InvokeWithdrawn);
            withdrawn.map(|_| None).map_err(Error::osd(format!("withdraw request {id} in {header}")))
        }
    }
}

/// The requests of one image open have all ended, those of its past included.
pub(crate) async fn close_open(io: &IoCtx, header: &str, gid: u64, open: u64) -> Result<()> {
    let keys: Vec<_> = omap::list(io, header, &prefix_of(gid, open)).await?.into_keys().collect();
    let mark = BTreeMap::from([(low_key(gid, open), encode_mark(CLOSED))]);
    let op = ObjectOp::new().assert_exists().omap_set(mark);
    let op = if keys.is_empty() { op } else { op.omap_remove(keys) };
    let closed = io.operate(header, op).await;
    closed.map(drop).map_err(Error::osd(format!("closing the done records of {gid}.{open} in {header}")))
}

/// Removes every key whose requester's session has ended: nobody will send those requests again.
pub(crate) async fn forget_gone_sessions(io: &IoCtx, header: &str) -> Result<()> {
    let mut keys = omap::list(io, header, DONE).await?;
    keys.extend(omap::list(io, header, LOW).await?);
    if keys.is_empty() {
        return Ok(());
    }
    // Listed after the keys: a requester that recorded one of them and lives is in the list.
    let live = live_sessions(io, header).await?;
    let is_gone = |key: &String| requester(key).is_some_and(|gid| !live.contains(&gid));
    omap::remove(io, header, keys.into_keys().filter(is_gone).collect()).await
}

/// The client instances that may still send requests.
async fn live_sessions(io: &IoCtx, header: &str) -> Result<BTreeSet<u64>> {
    let sessions = io.rados().sessions().await;
    let sessions = sessions.map_err(Error::osd(format!("listing sessions for {header}")))?;
    Ok(sessions.into_iter().map(|session| session.gid).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_open_sort_by_number_and_name_their_requester() {
        let id = |number| RequestId { gid: 41, open: 2, number };
        assert_eq!(done_key(id(255)), "done_41.2_00000000000000ff");
        assert!(done_key(id(9)) < done_key(id(10)));
        assert_eq!(requester(&done_key(id(9))), Some(41));
        assert_eq!(requester(&low_key(41, 2)), Some(41));
        assert_eq!(requester("done_nonsense"), None);
    }

    #[test]
    fn whether_the_requester_lives_decides_about_others_requests_only() {
        let id = RequestId { gid: 41, open: 2, number: 7 };
        let mark = |mark| BTreeMap::from([(low_key(41, 2), encode_mark(mark))]);
        let done = BTreeMap::from([(done_key(id), encode_result(&Ok(())))]);
        for own in [41, 42] {
            assert_eq!(known_without_sessions(&done, id, own), Some(Known::Ended(Ok(()))));
            assert_eq!(known_without_sessions(&mark(8), id, own), Some(Known::Forgotten));
        }
        assert_eq!(known_without_sessions(&mark(7), id, 41), Some(Known::New));
        assert_eq!(known_without_sessions(&mark(7), id, 42), None);
    }

    #[test]
    fn a_result_survives_its_encoding() {
        for ended in [Ok(()), Err(Errno::EROFS.into()), Err(Failure::new(Errno::EROFS, "why"))] {
            assert_eq!(decode_result(&encode_result(&ended)), ended);
        }
        assert_eq!(decode_result(b"x"), Ok(()));
    }

    #[test]
    fn the_newest_results_of_a_requester_that_says_no_mark_stay() {
        let id = |number| RequestId { gid: 41, open: 2, number };
        let mark = |numbers: std::ops::RangeInclusive<u64>| {
            let keys: Vec<_> = numbers.map(|number| done_key(id(number))).collect();
            mark_without_word(&prefix_of(41, 2), keys.iter())
        };
        let max = UNMARKED_MAX as u64;
        assert_eq!([mark(5..=5), mark(1..=max)], [NO_MARK; 2]);
        assert_eq!((mark(1..=max + 1), mark(7..=max + 9)), (2, 10));
    }

    #[test]
    fn a_mark_survives_its_encoding_and_none_is_the_first() {
        for mark in [2, CLOSED] {
            assert_eq!(decode_mark(Some(&encode_mark(mark))), mark);
        }
        assert_eq!(decode_mark(None), FIRST);
    }
}
