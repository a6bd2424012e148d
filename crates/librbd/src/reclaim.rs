//! What a change of the header leaves to be done outside of it, as an intent in the header: written by the op vector that makes
//! the change, and removed when everything is done. So it is done even when whoever made the change dies in between.
//!
//! | key | value | written by | left to do |
//! |---|---|---|---|
//! | `reclaim_<snap id, 16 hex digits>` | the parent (`rbd.ParentSpec`) that the image had, empty if none | class `rbd`, when a snapshot is removed, and when the last child takes one in the trash along | detach; give the snap id back to the pool |
//! | `reclaim_parent` | the parent | flatten | detach |
//!
//! To detach is to take the image out of that parent's list of children, if nothing of the image needs the parent any more.
//! Each step may be done twice and by two clients at once. Finished by whoever made the change, by whoever takes the exclusive
//! lock, by the next such change, and by the removal of the image.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::cls::rbd::v1 as wire;
use rados::IoCtx;

use crate::error::{Error, Result};
use crate::header::read_header;
use crate::names;
use crate::omap;
use crate::opened::OpenImage;
use crate::parent::detach_child;
use crate::state::ParentSpec;

/// Every key of an intent starts with this.
pub(crate) const PREFIX: &str = "reclaim_";

const DETACH: &str = "reclaim_parent";

/// What one intent says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    /// To be given back.
    snap_id: Option<u64>,
    /// To be detached from.
    parent: Option<ParentSpec>,
}

/// The intent of making an image independent of this parent.
pub(crate) fn detach_intent(parent: &ParentSpec) -> BTreeMap<String, Bytes> {
    BTreeMap::from([(DETACH.to_owned(), encoded(parent))])
}

fn encoded(parent: &ParentSpec) -> Bytes {
    wire::ParentSpec::from(parent).encode_to_vec().into()
}

/// After a commit that left an intent: the change has happened, whatever becomes of it.
pub(crate) async fn finish_after_commit(image: &OpenImage) {
    if let Err(error) = finish_all(&image.io, &image.id).await {
        tracing::warn!(image = image.name, %error, "what is left to do outside the header stays for the next owner");
    }
}

/// Does what all changes of the header of the image with this id left to be done. One that cannot be finished does not keep
/// the others from it.
pub(crate) async fn finish_all(io: &IoCtx, image_id: &str) -> Result<()> {
    let header = names::header(image_id);
    let mut result = Ok(());
    for (key, value) in omap::list(io, &header, PREFIX).await? {
        let Some(intent) = decoded(&key, value) else {
            tracing::warn!(image_id, key, "an unreadable intent is left alone");
            continue;
        };
        let finished = match finish(io, image_id, intent).await {
            Ok(()) => omap::remove(io, &header, vec![key]).await,
            Err(error) => Err(error),
        };
        result = result.and(finished);
    }
    result
}

fn decoded(key: &str, value: Bytes) -> Option<Intent> {
    let snap_id = match key {
        DETACH => None,
        key => Some(u64::from_str_radix(key.strip_prefix(PREFIX)?, 16).ok()?),
    };
    let parent = match value.is_empty() {
        true => None,
        false => Some(wire::ParentSpec::decode(value).ok()?.into()),
    };
    Some(Intent { snap_id, parent })
}

async fn finish(io: &IoCtx, image_id: &str, Intent { snap_id, parent }: Intent) -> Result<()> {
    if let Some(parent) = parent {
        // An image never gets a parent back: one that its header does not name is not needed.
        let is_needed = read_header(io, image_id).await?.parent.is_some_and(|(spec, _)| spec == parent);
        if !is_needed {
            detach_child(io, image_id, &parent).await?;
        }
    }
    let Some(snap_id) = snap_id else { return Ok(()) };
    let given_back = io.remove_snap_id(snap_id).await;
    given_back.map_err(Error::osd(format!("give back snapshot id {snap_id} of image id {image_id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_says_its_snapshot_and_its_parent() {
        let parent = ParentSpec { pool: "rbd".to_owned(), image_id: "a1".to_owned(), snap_id: 7 };
        for (snap_id, parent) in [(255, None), (u64::MAX, Some(parent.clone()))] {
            let key = format!("{PREFIX}{snap_id:016x}");
            let value = parent.as_ref().map_or_else(Bytes::new, encoded);
            assert_eq!(decoded(&key, value), Some(Intent { snap_id: Some(snap_id), parent }));
        }
        let (key, value) = detach_intent(&parent).pop_first().expect("one entry");
        assert!(key.starts_with(PREFIX), "a new owner looks for {PREFIX}");
        assert_eq!(decoded(&key, value), Some(Intent { snap_id: None, parent: Some(parent) }));
        assert_eq!(decoded("reclaim_x", Bytes::new()), None);
        assert_eq!(decoded("reclaim_01", Bytes::from_static(b"\xff")), None);
    }
}
