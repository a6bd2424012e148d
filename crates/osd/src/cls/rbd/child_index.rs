//! Object `rbd_children`: the clones of a parent snapshot by the old index (clone v1), one omap key for each parent: pool,
//! image id and snap id as Ceph encodes them.

use std::collections::BTreeSet;

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{ChildIndexEntry, GetChildren, GetChildrenReply};
use store::Name;

use super::{parent, record};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

/// Pool, image id and snap id, of the parent.
type Key = (u64, String, u64);

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "add_child",
        |target, caller, input| {
            let (key, child_id) = entry(caller, input)?;
            done(add(target, &key, child_id))
        },
        |target, _, input| {
            let (pool, image_id, snap_id, child_id) = ceph::decode(input)?;
            done(add(target, &(pool, image_id, snap_id), child_id))
        },
    ),
    Method::writes(
        "remove_child",
        |target, caller, input| {
            let (key, child_id) = entry(caller, input)?;
            done(remove(target, &key, &child_id))
        },
        |target, _, input| {
            let (pool, image_id, snap_id, child_id): (u64, String, u64, String) = ceph::decode(input)?;
            done(remove(target, &(pool, image_id, snap_id), &child_id))
        },
    ),
    Method::reads(
        "get_children",
        |target, caller, input| {
            let GetChildren { parent } = protobuf::decode(input)?;
            let parent = parent::spec_of(caller, parent)?;
            let child_ids = get(target, &(parent.pool as u64, parent.image_id, parent.snap_id))?;
            protobuf::reply(&GetChildrenReply { child_ids: child_ids.into_iter().collect() })
        },
        |target, _, input| ceph::reply(&get(target, &ceph::decode(input)?)?),
    ),
];

fn entry(caller: &Caller<'_>, input: &Bytes) -> Outcome<(Key, String)> {
    let ChildIndexEntry { parent, child_id } = protobuf::decode(input)?;
    let parent = parent::spec_of(caller, parent)?;
    if child_id.is_empty() {
        return refuse(Errno::EINVAL, "a child is named by its image id");
    }
    Ok(((parent.pool as u64, parent.image_id, parent.snap_id), child_id))
}

fn add(target: &mut Target<'_>, key: &Key, child_id: String) -> Outcome<()> {
    let mut child_ids = load(target, key)?.unwrap_or_default();
    if child_ids.contains(&child_id) {
        return refuse(Errno::EEXIST, format!("{child_id:?} is a child of {} already", shown(key)));
    }
    child_ids.insert(child_id);
    record::set(target, bytes_of(key), &child_ids)
}

/// The key goes with its last child.
fn remove(target: &mut Target<'_>, key: &Key, child_id: &str) -> Outcome<()> {
    let mut child_ids = load(target, key)?.unwrap_or_default();
    if !child_ids.remove(child_id) {
        return refuse(Errno::ENOENT, format!("{child_id:?} is not a child of {}", shown(key)));
    }
    match child_ids.is_empty() {
        true => record::unset(target, bytes_of(key)),
        false => record::set(target, bytes_of(key), &child_ids),
    }
}

fn get(target: &Target<'_>, key: &Key) -> Outcome<BTreeSet<String>> {
    match load(target, key)? {
        Some(child_ids) => Ok(child_ids),
        None => refuse(Errno::ENOENT, format!("{} has no children here", shown(key))),
    }
}

fn load(target: &Target<'_>, key: &Key) -> Outcome<Option<BTreeSet<String>>> {
    record::get(target, &*bytes_of(key))
}

fn bytes_of(key: &Key) -> Name {
    ceph_wire::to_bytes(key).as_ref().into()
}

fn shown((pool, image_id, snap_id): &Key) -> String {
    format!("image {image_id:?} of pool {pool} at snapshot {snap_id}")
}
