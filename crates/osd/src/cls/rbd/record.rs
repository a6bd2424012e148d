//! The omap keys of a header object, and their values as Ceph stores them.

use std::collections::BTreeSet;

use ceph_wire::Wire;
use ceph_wire::cls::{ChildImageSpec, ParentRecord, SnapshotRecord};
use errno::Errno;
use prost::Message;
use proto::cls::rbd::v1::ParentSpec;
use store::Name;

use crate::cls::ceph;
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

pub(super) const SIZE: &str = "size";
pub(super) const ORDER: &str = "order";
pub(super) const FEATURES: &str = "features";
/// Its presence means that the image exists.
pub(super) const OBJECT_PREFIX: &str = "object_prefix";
pub(super) const DATA_POOL: &str = "data_pool_id";
pub(super) const STRIPE_UNIT: &str = "stripe_unit";
pub(super) const STRIPE_COUNT: &str = "stripe_count";
pub(super) const SNAP_SEQ: &str = "snap_seq";
pub(super) const SNAP_LIMIT: &str = "snap_limit";
pub(super) const PARENT: &str = "parent";
pub(super) const OP_FEATURES: &str = "op_features";
pub(super) const FLAGS: &str = "flags";
/// Times by the OSD's wall clock.
pub(super) const CREATED: &str = "create_timestamp";
pub(super) const ACCESSED: &str = "access_timestamp";
pub(super) const MODIFIED: &str = "modify_timestamp";
const SNAPSHOT: &str = "snapshot_";

/// ENOENT unless the object is an image's header.
pub(super) fn check_image(target: &Target<'_>) -> Outcome<()> {
    target.stat()?;
    match target.omap_value(OBJECT_PREFIX.as_bytes())? {
        Some(_) => Ok(()),
        None => refuse(Errno::ENOENT, "the object is not the header of an image"),
    }
}

/// The value of a key; EIO if somebody else wrote over it.
pub(super) fn get<T: Wire>(target: &Target<'_>, key: impl AsRef<[u8]>) -> Outcome<Option<T>> {
    let key = key.as_ref();
    let decoded = |value| ceph::stored(&format!("omap key \"{}\"", key.escape_ascii()), value);
    target.omap_value(key)?.as_deref().map(decoded).transpose()
}

/// ENOENT when missing.
pub(super) fn need<T: Wire>(target: &Target<'_>, key: &str) -> Outcome<T> {
    match get(target, key)? {
        Some(value) => Ok(value),
        None => refuse(Errno::ENOENT, format!("the object has no {key:?}")),
    }
}

/// 0 when missing.
pub(super) fn number(target: &Target<'_>, key: &str) -> Outcome<u64> {
    Ok(get(target, key)?.unwrap_or(0))
}

pub(super) fn set(target: &mut Target<'_>, key: impl Into<Name>, value: &impl Wire) -> Outcome<()> {
    target.omap_set(key, ceph_wire::to_bytes(value))
}

pub(super) fn unset(target: &mut Target<'_>, key: impl Into<Name>) -> Outcome<()> {
    target.omap_remove(key)
}

pub(super) fn parent(target: &Target<'_>) -> Outcome<Option<ParentRecord>> {
    get(target, PARENT)
}

/// ENOENT for an unknown id.
pub(super) fn snapshot(target: &Target<'_>, id: u64) -> Outcome<SnapshotRecord> {
    match get(target, snapshot_key(id))? {
        Some(record) => Ok(record),
        None => refuse(Errno::ENOENT, format!("the image has no snapshot with id {id}")),
    }
}

/// Descending by id.
pub(super) fn snapshots(target: &Target<'_>) -> Outcome<Vec<SnapshotRecord>> {
    let (records, _) = target.omap_page(SNAPSHOT.as_bytes(), b"", usize::MAX)?;
    records.iter().rev().map(|(_, value)| ceph::stored("a snapshot record", value)).collect()
}

pub(super) fn set_snapshot(target: &mut Target<'_>, snapshot: &SnapshotRecord) -> Outcome<()> {
    set(target, snapshot_key(snapshot.id), snapshot)
}

pub(super) fn unset_snapshot(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    unset(target, snapshot_key(id))
}

fn snapshot_key(id: u64) -> String {
    format!("{SNAPSHOT}{id:016x}")
}

/// The clones of a snapshot; `None` when it has none.
pub(super) fn children(target: &Target<'_>, snap_id: u64) -> Outcome<Option<BTreeSet<ChildImageSpec>>> {
    get(target, children_key(snap_id))
}

/// The key goes with the last child.
pub(super) fn set_children(
    target: &mut Target<'_>,
    snap_id: u64,
    children: &BTreeSet<ChildImageSpec>,
) -> Outcome<()> {
    match children.is_empty() {
        true => unset(target, children_key(snap_id)),
        false => set(target, children_key(snap_id), children),
    }
}

fn children_key(snap_id: u64) -> String {
    format!("snap_children_{snap_id:016x}")
}

/// What gRPC's clients finish, and only they know of: the snapshot id is to be given back, and the image leaves that parent's
/// list of children if it needs it no more.
pub(super) fn set_reclaim(target: &mut Target<'_>, snap_id: u64, parent: Option<&ParentSpec>) -> Outcome<()> {
    target.omap_set(format!("reclaim_{snap_id:016x}"), parent.map_or_else(Vec::new, Message::encode_to_vec))
}
