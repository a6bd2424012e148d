//! Object `rbd_children`: the clones of a parent snapshot by the old index (clone v1), one omap key for each parent.

use bytes::Bytes;
use errno::Errno;
use prost::Message;
use proto::cls::rbd::v1::{ChildIndexEntry, GetChildren, GetChildrenReply, ParentSpec};

use super::{parent, record};
use crate::cls::done;
use crate::cls::protobuf::{decode, stored};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (key, child_id, mut child_ids) = load(target, input)?;
    match child_ids.binary_search(&child_id) {
        Ok(_) => return refuse(Errno::EEXIST, format!("{child_id:?} is a child of {key} already")),
        Err(place) => child_ids.insert(place, child_id),
    }
    record::set(target, key, GetChildrenReply { child_ids }.encode_to_vec())?;
    done(Ok(()))
}

/// The key goes with its last child.
pub(super) fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (key, child_id, mut child_ids) = load(target, input)?;
    match child_ids.binary_search(&child_id) {
        Ok(place) => drop(child_ids.remove(place)),
        Err(_) => return refuse(Errno::ENOENT, format!("{child_id:?} is not a child of {key}")),
    }
    match child_ids.is_empty() {
        true => record::unset(target, &key)?,
        false => record::set(target, key, GetChildrenReply { child_ids }.encode_to_vec())?,
    }
    done(Ok(()))
}

pub(super) fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let GetChildren { parent } = decode(input)?;
    let key = key(&parent::check_spec(parent)?);
    match record::value(target, &key)? {
        Some(value) => Ok(value),
        None => refuse(Errno::ENOENT, format!("{key} has no children here")),
    }
}

fn load(target: &Target<'_>, input: &Bytes) -> Outcome<(String, String, Vec<String>)> {
    let ChildIndexEntry { parent, child_id } = decode(input)?;
    let key = key(&parent::check_spec(parent)?);
    if child_id.is_empty() {
        return refuse(Errno::EINVAL, "a child is named by its image id");
    }
    let children =
        record::value(target, &key)?.map(|value| stored::<GetChildrenReply>(&key, &value)).transpose()?;
    Ok((key, child_id, children.unwrap_or_default().child_ids))
}

/// The pool's length in front makes it unambiguous whatever the names contain.
fn key(parent: &ParentSpec) -> String {
    let ParentSpec { pool, image_id, snap_id } = parent;
    format!("{}:{pool}/{image_id}@{snap_id:016x}", pool.len())
}
