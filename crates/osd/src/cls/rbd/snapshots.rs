//! The snapshots of an image, as records in its header.

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{
    GetSnapcontextReply, Protection, SetProtectionStatus, Snapshot, SnapshotAdd, SnapshotGet, SnapshotRemove,
    SnapshotRename,
};

use super::{parent, record};
use crate::cls::{decode, done, reply};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

/// Snapshots of one image. An image can have a lower limit, in omap key "snap_limit" (8 bytes, little endian).
const SNAPSHOTS_PER_IMAGE_MAX: u64 = 510;

pub(super) fn get_snapcontext(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    let snaps = record::snapshots(target)?.iter().map(|snapshot| snapshot.id).collect();
    reply(&GetSnapcontextReply { seq: record::number(target, record::SNAP_SEQ)?, snaps })
}

pub(super) fn add(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SnapshotAdd { id, name, .. } = decode(input)?;
    record::check_image(target)?;
    let newest = record::number(target, record::SNAP_SEQ)?;
    if id <= newest {
        return refuse(Errno::ESTALE, format!("snapshot id {id} is not newer than snap_seq {newest}"));
    }
    let snapshots = record::snapshots(target)?;
    let limit = limit(target)?;
    if snapshots.len() as u64 >= limit {
        return refuse(Errno::EDQUOT, format!("the image has {limit} snapshots, which is its limit"));
    }
    check_name(&snapshots, id, &name)?;
    let parent_overlap = record::parent(target)?.and_then(|parent| parent.head_overlap);
    let size = record::number(target, record::SIZE)?;
    let protection = Protection::Unprotected.into();
    let created_unix_ms = caller.unix_ms;
    let snapshot = Snapshot { id, name, size, protection, parent_overlap, created_unix_ms, child_count: 0 };
    record::set_snapshot(target, &snapshot)?;
    record::set_number(target, record::SNAP_SEQ, id)?;
    done()
}

fn limit(target: &Target<'_>) -> Outcome<u64> {
    match record::value(target, record::SNAP_LIMIT)? {
        Some(_) => Ok(record::number(target, record::SNAP_LIMIT)?.min(SNAPSHOTS_PER_IMAGE_MAX)),
        None => Ok(SNAPSHOTS_PER_IMAGE_MAX),
    }
}

/// EINVAL for no name at all; EEXIST when another snapshot than `id` has it.
fn check_name(snapshots: &[Snapshot], id: u64, name: &str) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "a snapshot needs a name");
    }
    match snapshots.iter().find(|snapshot| snapshot.name == name && snapshot.id != id) {
        Some(other) => refuse(Errno::EEXIST, format!("snapshot {} is named {name:?} already", other.id)),
        None => Ok(()),
    }
}

pub(super) fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SnapshotRemove { id } = decode(input)?;
    record::check_image(target)?;
    let snapshot = record::snapshot(target, id)?;
    if snapshot.protection() != Protection::Unprotected {
        return refuse(Errno::EBUSY, format!("snapshot {id} ({:?}) is protected", snapshot.name));
    }
    if snapshot.child_count > 0 {
        let count = snapshot.child_count;
        return refuse(Errno::EBUSY, format!("snapshot {id} ({:?}) has {count} children", snapshot.name));
    }
    record::unset_snapshot(target, id)?;
    parent::drop_if_unused(target)?;
    done()
}

pub(super) fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SnapshotGet { id } = decode(input)?;
    record::check_image(target)?;
    reply(&record::snapshot(target, id)?)
}

pub(super) fn rename(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SnapshotRename { id, name } = decode(input)?;
    record::check_image(target)?;
    let snapshot = record::snapshot(target, id)?;
    check_name(&record::snapshots(target)?, id, &name)?;
    record::set_snapshot(target, &Snapshot { name, ..snapshot })?;
    done()
}

pub(super) fn set_protection_status(
    target: &mut Target<'_>,
    _: &Caller<'_>,
    input: &Bytes,
) -> Outcome<Bytes> {
    let SetProtectionStatus { id, protection } = decode(input)?;
    record::check_image(target)?;
    record::check_layering(target)?;
    if Protection::try_from(protection).is_err() {
        return refuse(Errno::EINVAL, format!("{protection} is no protection status"));
    }
    let snapshot = record::snapshot(target, id)?;
    record::set_snapshot(target, &Snapshot { protection, ..snapshot })?;
    done()
}
