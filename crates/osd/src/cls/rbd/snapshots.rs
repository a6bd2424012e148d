//! The snapshots of an image, as records in its header.

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{
    GetSnapcontextReply, Protection, SetProtectionStatus, Snapshot, SnapshotAdd, SnapshotGet,
    SnapshotNamespace, SnapshotRemove, SnapshotRename,
};

use super::{children, parent, record};
use crate::cls::done;
use crate::cls::protobuf::{decode, reply};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

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
    if let Some(limit) = limit(target)?
        && snapshots.len() as u64 >= limit
    {
        return refuse(Errno::EDQUOT, format!("the image has {limit} snapshots, which is its limit"));
    }
    check_name(&snapshots, id, &name)?;
    let parent_overlap = record::parent(target)?.and_then(|parent| parent.head_overlap);
    let size = record::number(target, record::SIZE)?;
    let protection = Protection::Unprotected.into();
    let created_unix_ms = caller.unix_ms;
    let namespace = SnapshotNamespace::User.into();
    let child_count = 0;
    let snapshot =
        Snapshot { id, name, size, protection, parent_overlap, created_unix_ms, child_count, namespace };
    record::set_snapshot(target, &snapshot)?;
    record::set_number(target, record::SNAP_SEQ, id)?;
    done(Ok(()))
}

/// Of the snapshots of this image, in omap key "snap_limit" (8 bytes, little endian); without one there is none.
fn limit(target: &Target<'_>) -> Outcome<Option<u64>> {
    match record::value(target, record::SNAP_LIMIT)? {
        Some(_) => record::number(target, record::SNAP_LIMIT).map(Some),
        None => Ok(None),
    }
}

/// EINVAL for no name at all; EEXIST when another snapshot than `id` has it, those in the trash excepted.
fn check_name(snapshots: &[Snapshot], id: u64, name: &str) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "a snapshot needs a name");
    }
    let has_it = |snapshot: &&Snapshot| snapshot.name == name && snapshot.id != id && !is_in_trash(snapshot);
    match snapshots.iter().find(has_it) {
        Some(other) => refuse(Errno::EEXIST, format!("snapshot {} is named {name:?} already", other.id)),
        None => Ok(()),
    }
}

pub(super) fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SnapshotRemove { id, to_trash } = decode(input)?;
    record::check_image(target)?;
    let snapshot = record::snapshot(target, id)?;
    if snapshot.protection() != Protection::Unprotected {
        return refuse(Errno::EBUSY, format!("snapshot {id} ({:?}) is protected", snapshot.name));
    }
    match (snapshot.child_count, to_trash) {
        (0, true) => reclaim(target, id)?,
        (0, false) => unset(target, id)?,
        (_, true) => {
            let namespace = SnapshotNamespace::Trash.into();
            record::set_snapshot(target, &Snapshot { namespace, ..snapshot })?;
            children::set_op_features(target)?;
        }
        (count, false) => {
            return refuse(Errno::EBUSY, format!("snapshot {id} ({:?}) has {count} children", snapshot.name));
        }
    }
    done(Ok(()))
}

fn unset(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    record::unset_snapshot(target, id)?;
    parent::drop_if_unused(target)?;
    children::set_op_features(target)
}

/// The snapshot goes, and its id is left to be given back.
pub(super) fn reclaim(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    let parent = record::parent(target)?.and_then(|parent| parent.spec);
    record::set_reclaim(target, id, parent.as_ref())?;
    unset(target, id)
}

pub(super) fn is_in_trash(snapshot: &Snapshot) -> bool {
    snapshot.namespace() == SnapshotNamespace::Trash
}

fn check_user(snapshot: &Snapshot) -> Outcome<()> {
    match is_in_trash(snapshot) {
        true => refuse(Errno::EINVAL, format!("snapshot {} is in the trash", snapshot.id)),
        false => Ok(()),
    }
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
    check_user(&snapshot)?;
    check_name(&record::snapshots(target)?, id, &name)?;
    record::set_snapshot(target, &Snapshot { name, ..snapshot })?;
    done(Ok(()))
}

pub(super) fn set_protection_status(
    target: &mut Target<'_>,
    _: &Caller<'_>,
    input: &Bytes,
) -> Outcome<Bytes> {
    let SetProtectionStatus { id, protection, expected } = decode(input)?;
    record::check_image(target)?;
    record::check_layering(target)?;
    if Protection::try_from(protection).is_err() {
        return refuse(Errno::EINVAL, format!("{protection} is no protection status"));
    }
    let snapshot = record::snapshot(target, id)?;
    check_user(&snapshot)?;
    if let Some(expected) = expected
        && snapshot.protection != expected
    {
        let found = snapshot.protection();
        return refuse(Errno::EBUSY, format!("snapshot {id} is {} by now", found.as_str_name()));
    }
    record::set_snapshot(target, &Snapshot { protection, ..snapshot })?;
    done(Ok(()))
}
