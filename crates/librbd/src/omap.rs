//! Records that clients keep in the omap of an image's header.

use std::collections::BTreeMap;

use bytes::Bytes;
use rados::{IoCtx, ObjectOp};

use crate::error::{Error, Result};

/// The keys of an object that start with `prefix`, and their values. Gathers all pages.
pub(crate) async fn list(io: &IoCtx, object: &str, prefix: &str) -> Result<BTreeMap<String, Bytes>> {
    let attempted = || Error::osd(format!("listing {prefix} of {object}"));
    let mut entries = BTreeMap::new();
    let mut after = String::new();
    loop {
        let reply =
            io.operate(object, ObjectOp::new().omap_list(after, prefix, 0)).await.map_err(attempted())?;
        let page = reply.omap(0).map_err(attempted())?;
        entries.extend(page.entries);
        match entries.last_key_value() {
            Some((last, _)) if page.more => after = last.clone(),
            _ => return Ok(entries),
        }
    }
}

/// Removes keys of an object, if there are any to remove.
pub(crate) async fn remove(io: &IoCtx, object: &str, keys: Vec<String>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let removed = io.operate(object, ObjectOp::new().assert_exists().omap_remove(keys)).await;
    removed.map(drop).map_err(Error::osd(format!("removing records of {object}")))
}
