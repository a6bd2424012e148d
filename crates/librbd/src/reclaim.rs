//! What the removal of a snapshot leaves to be done outside the header, as an intent in the header: written by the op vector
//! that removes the snapshot, and removed when everything is done. So it is done even when the remover dies in between.
//!
//! Key `reclaim_<snap id, 16 hex digits>`, value the parent (`rbd.ParentSpec`) that the image had, empty if it had none. Left to
//! do: take the image out of that parent's list of children if nothing of the image needs the parent any more, and give the
//! snap id back to the pool. Each step may be done twice and by two clients at once. Finished by the remover, by whoever takes
//! the exclusive lock, by the next removal of a snapshot, and by the removal of the image.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::cls::rbd::v1 as wire;
use rados::IoCtx;

use crate::error::{Error, Result};
use crate::header::read_header;
use crate::names;
use crate::omap;
use crate::parent::detach_child;
use crate::state::ParentSpec;

/// Every key of an intent starts with this.
pub(crate) const PREFIX: &str = "reclaim_";

/// The intent of removing a snapshot from an image that has this parent.
pub(crate) fn intent(snap_id: u64, parent: Option<&ParentSpec>) -> BTreeMap<String, Bytes> {
    let parent = parent.map_or_else(Vec::new, |spec| wire::ParentSpec::from(spec).encode_to_vec());
    BTreeMap::from([(format!("{PREFIX}{snap_id:016x}"), Bytes::from(parent))])
}

/// Does what all removals of snapshots from the image with this id left to be done. One that cannot be finished does not keep
/// the others from it.
pub(crate) async fn finish_all(io: &IoCtx, image_id: &str) -> Result<()> {
    let header = names::header(image_id);
    let mut result = Ok(());
    for (key, value) in omap::list(io, &header, PREFIX).await? {
        let Some((snap_id, parent)) = decoded(&key, value) else {
            tracing::warn!(image_id, key, "an unreadable record of a removed snapshot is left alone");
            continue;
        };
        let finished = match finish(io, image_id, snap_id, parent).await {
            Ok(()) => omap::remove(io, &header, vec![key]).await,
            Err(error) => Err(error),
        };
        result = result.and(finished);
    }
    result
}

fn decoded(key: &str, value: Bytes) -> Option<(u64, Option<ParentSpec>)> {
    let snap_id = u64::from_str_radix(key.strip_prefix(PREFIX)?, 16).ok()?;
    if value.is_empty() {
        return Some((snap_id, None));
    }
    Some((snap_id, Some(wire::ParentSpec::decode(value).ok()?.into())))
}

async fn finish(io: &IoCtx, image_id: &str, snap_id: u64, parent: Option<ParentSpec>) -> Result<()> {
    if let Some(parent) = parent {
        // An image never gets a parent back: one that its header does not name is not needed.
        let is_needed = read_header(io, image_id).await?.parent.is_some_and(|(spec, _)| spec == parent);
        if !is_needed {
            detach_child(io, image_id, &parent).await?;
        }
    }
    let given_back = io.remove_snap_id(snap_id).await;
    given_back.map_err(Error::osd(format!("give back snapshot id {snap_id} of image id {image_id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_says_its_snapshot_and_its_parent() {
        let parent = ParentSpec { pool: "rbd".to_owned(), image_id: "a1".to_owned(), snap_id: 7 };
        for (snap_id, parent) in [(255, None), (u64::MAX, Some(parent))] {
            let (key, value) = intent(snap_id, parent.as_ref()).pop_first().expect("one entry");
            assert_eq!(decoded(&key, value), Some((snap_id, parent)));
        }
        assert_eq!(decoded("reclaim_x", Bytes::new()), None);
        assert_eq!(decoded("reclaim_01", Bytes::from_static(b"\xff")), None);
    }
}
