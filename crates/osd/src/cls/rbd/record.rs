//! The omap keys of a header object, and how their values are stored: numbers in little-endian bytes, text as UTF-8,
//! structures as messages.

use bytes::Bytes;
use errno::Errno;
use prost::Message;
use proto::cls::rbd::v1::{Parent, ParentSpec, Snapshot};
use store::Name;

use crate::cls::protobuf::stored;
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

pub(super) const SIZE: &str = "size";
pub(super) const ORDER: &str = "order";
pub(super) const FEATURES: &str = "features";
/// Its presence means that the image exists.
pub(super) const OBJECT_PREFIX: &str = "object_prefix";
pub(super) const STRIPE_UNIT: &str = "stripe_unit";
pub(super) const STRIPE_COUNT: &str = "stripe_count";
pub(super) const SNAP_SEQ: &str = "snap_seq";
pub(super) const SNAP_LIMIT: &str = "snap_limit";
pub(super) const PARENT: &str = "parent";
pub(super) const OP_FEATURES: &str = "op_features";
pub(super) const FLAGS: &str = "flags";
/// Times in milliseconds of Unix time, by the OSD's clock.
pub(super) const CREATED: &str = "create_timestamp";
pub(super) const ACCESSED: &str = "access_timestamp";
pub(super) const MODIFIED: &str = "modify_timestamp";
const SNAPSHOT: &str = "snapshot_";

/// Ceph's feature bits, as far as an image here may have them.
pub(super) mod feature {
    pub(in crate::cls::rbd) const LAYERING: u64 = 1 << 0;
    pub(in crate::cls::rbd) const STRIPING: u64 = 1 << 1;
    pub(in crate::cls::rbd) const EXCLUSIVE_LOCK: u64 = 1 << 2;
    pub(in crate::cls::rbd) const DEEP_FLATTEN: u64 = 1 << 5;
    /// Internal: set while an op feature is.
    pub(in crate::cls::rbd) const OPERATIONS: u64 = 1 << 8;
    /// Op feature: a snapshot has children.
    pub(in crate::cls::rbd) const OP_CLONE_PARENT: u64 = 1 << 0;
    /// Op feature: a snapshot is in the trash.
    pub(in crate::cls::rbd) const OP_SNAP_TRASH: u64 = 1 << 3;
}

/// ENOENT unless the object is an image's header.
pub(super) fn check_image(target: &Target<'_>) -> Outcome<()> {
    target.stat()?;
    match target.omap_value(OBJECT_PREFIX.as_bytes())? {
        Some(_) => Ok(()),
        None => refuse(Errno::ENOENT, "the object is not the header of an image"),
    }
}

/// ENOEXEC unless the image has the layering feature.
pub(super) fn check_layering(target: &Target<'_>) -> Outcome<()> {
    if number(target, FEATURES)? & feature::LAYERING == 0 {
        return refuse(Errno::ENOEXEC, "the image does not have the layering feature");
    }
    Ok(())
}

pub(super) fn value(target: &Target<'_>, key: &str) -> Outcome<Option<Bytes>> {
    target.omap_value(key.as_bytes())
}

pub(super) fn set(target: &mut Target<'_>, key: impl Into<Name>, value: impl Into<Bytes>) -> Outcome<()> {
    target.omap_set(key, value)
}

pub(super) fn unset(target: &mut Target<'_>, key: &str) -> Outcome<()> {
    target.omap_remove(key)
}

/// 0 when missing.
pub(super) fn number(target: &Target<'_>, key: &str) -> Outcome<u64> {
    match value(target, key)?.map(|value| value.as_ref().try_into()) {
        None => Ok(0),
        Some(Ok(bytes)) => Ok(u64::from_le_bytes(bytes)),
        Some(Err(_)) => refuse(Errno::EIO, format!("omap key {key:?} is not a number of 8 bytes")),
    }
}

pub(super) fn set_number(target: &mut Target<'_>, key: &str, number: u64) -> Outcome<()> {
    set(target, key, number.to_le_bytes().to_vec())
}

/// Empty when missing.
pub(super) fn text(target: &Target<'_>, key: &str) -> Outcome<String> {
    let value = value(target, key)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).into_owned())
}

pub(super) fn parent(target: &Target<'_>) -> Outcome<Option<Parent>> {
    value(target, PARENT)?.map(|value| stored(PARENT, &value)).transpose()
}

pub(super) fn set_parent(target: &mut Target<'_>, parent: Option<&Parent>) -> Outcome<()> {
    match parent {
        Some(parent) => set(target, PARENT, parent.encode_to_vec()),
        None => unset(target, PARENT),
    }
}

/// ENOENT for an unknown id.
pub(super) fn snapshot(target: &Target<'_>, id: u64) -> Outcome<Snapshot> {
    match value(target, &snapshot_key(id))? {
        Some(value) => stored("a snapshot record", &value),
        None => refuse(Errno::ENOENT, format!("the image has no snapshot with id {id}")),
    }
}

/// Descending by id.
pub(super) fn snapshots(target: &Target<'_>) -> Outcome<Vec<Snapshot>> {
    let (records, _) = target.omap_page(SNAPSHOT.as_bytes(), b"", usize::MAX)?;
    records.iter().rev().map(|(_, value)| stored("a snapshot record", value)).collect()
}

pub(super) fn set_snapshot(target: &mut Target<'_>, snapshot: &Snapshot) -> Outcome<()> {
    set(target, snapshot_key(snapshot.id), snapshot.encode_to_vec())
}

pub(super) fn unset_snapshot(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    unset(target, &snapshot_key(id))
}

/// What clients finish: the snapshot id is to be given back, and the image leaves that parent's list of children if it needs
/// it no more.
pub(super) fn set_reclaim(target: &mut Target<'_>, snap_id: u64, parent: Option<&ParentSpec>) -> Outcome<()> {
    set(target, format!("reclaim_{snap_id:016x}"), parent.map_or_else(Vec::new, Message::encode_to_vec))
}

fn snapshot_key(id: u64) -> String {
    format!("{SNAPSHOT}{id:016x}")
}
