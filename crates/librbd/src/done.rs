//! The exactly-once record: the commit op vector of a forwarded operation leaves its result in the header, where whoever
//! owns the lock later finds it when the same request comes again.
//!
//! Key `done_<gid>.<open>_<number, 16 hex digits>`, value the i32 result, little endian. Removed when the requester's
//! low-water mark has passed the number, when its session has gone, and by the requester itself when it closes.

use std::collections::BTreeSet;

use rados::{IoCtx, ObjectOp};
use rbd_protocol::{Request, RequestId};

use crate::error::{Error, Result};

/// Every key of the record starts with this.
const PREFIX: &str = "done_";

/// The key of one request.
pub(crate) fn key(id: RequestId) -> String {
    format!("{}{:016x}", prefix_of(id.gid, id.open), id.number)
}

/// The value of one result: 0 or a negative errno.
pub(crate) fn value(result: i32) -> Vec<u8> {
    result.to_le_bytes().to_vec()
}

/// Start of the keys of one image open.
fn prefix_of(gid: u64, open: u64) -> String {
    format!("{PREFIX}{gid}.{open}_")
}

/// The result with which request `id` was committed, if it was.
pub(crate) async fn recorded(io: &IoCtx, header: &str, id: RequestId) -> Result<Option<i32>> {
    let key = key(id);
    let reply = io.operate(header, ObjectOp::new().omap_get([key.clone()])).await;
    let omap =
        reply.and_then(|reply| reply.omap(0)).map_err(Error::osd(format!("reading {key} of {header}")))?;
    Ok(omap.entries.get(&key).map(|value| decoded(value)))
}

/// A value of any other length counts as success: the key alone proves that the commit happened.
fn decoded(value: &[u8]) -> i32 {
    value.try_into().map_or(0, i32::from_le_bytes)
}

/// The keys that `request` makes superfluous: those of its open below its low-water mark.
pub(crate) async fn superseded(io: &IoCtx, header: &str, request: &Request) -> Result<Vec<String>> {
    let prefix = prefix_of(request.id.gid, request.id.open);
    let first_kept = format!("{prefix}{:016x}", request.low_water_mark);
    let keys = list(io, header, &prefix).await?;
    Ok(keys.into_iter().filter(|key| *key < first_kept).collect())
}

/// Removes every key of one image open: its requests have all ended.
pub(crate) async fn forget_open(io: &IoCtx, header: &str, gid: u64, open: u64) -> Result<()> {
    let keys = list(io, header, &prefix_of(gid, open)).await?;
    remove(io, header, keys).await
}

/// Removes every key whose requester's session has ended: nobody will send those requests again.
pub(crate) async fn forget_gone_sessions(io: &IoCtx, header: &str) -> Result<()> {
    let keys = list(io, header, PREFIX).await?;
    if keys.is_empty() {
        return Ok(());
    }
    // Listed after the keys: a requester that recorded one of them and lives is in the list.
    let sessions =
        io.rados().sessions().await.map_err(Error::osd(format!("listing sessions for {header}")))?;
    let live: BTreeSet<u64> = sessions.into_iter().map(|session| session.gid).collect();
    let gone =
        keys.into_iter().filter(|key| requester(key).is_some_and(|gid| !live.contains(&gid))).collect();
    remove(io, header, gone).await
}

/// The requester's gid in a key.
fn requester(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.split_once('.')?.0.parse().ok()
}

async fn list(io: &IoCtx, header: &str, prefix: &str) -> Result<Vec<String>> {
    let attempted = || Error::osd(format!("listing {prefix} of {header}"));
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let reply =
            io.operate(header, ObjectOp::new().omap_list(after, prefix, 0)).await.map_err(attempted())?;
        let page = reply.omap(0).map_err(attempted())?;
        keys.extend(page.entries.into_keys());
        match keys.last() {
            Some(last) if page.more => after = last.clone(),
            _ => return Ok(keys),
        }
    }
}

async fn remove(io: &IoCtx, header: &str, keys: Vec<String>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let removed = io.operate(header, ObjectOp::new().assert_exists().omap_remove(keys)).await;
    removed.map(drop).map_err(Error::osd(format!("removing done records of {header}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_open_sort_by_number_and_name_their_requester() {
        let id = |number| RequestId { gid: 41, open: 2, number };
        assert_eq!(key(id(255)), "done_41.2_00000000000000ff");
        assert!(key(id(9)) < key(id(10)));
        assert_eq!(requester(&key(id(9))), Some(41));
        assert_eq!(requester("done_nonsense"), None);
    }

    #[test]
    fn a_result_survives_its_encoding() {
        for result in [0, -30, i32::MIN] {
            assert_eq!(decoded(&value(result)), result);
        }
    }
}
