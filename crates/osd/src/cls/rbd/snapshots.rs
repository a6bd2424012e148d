//! The snapshots of an image, as records in its header.

use ceph_wire::cls::{self, SnapshotInfo, SnapshotNamespace, SnapshotRecord};
use ceph_wire::{NOSNAP, Tail, Utime};
use errno::Errno;
use proto::cls::rbd::v1::{
    self as wire, GetSnapcontextReply, SetProtectionStatus, SnapshotAdd, SnapshotGet, SnapshotRemove,
    SnapshotRename,
};

use super::{features, header, parent, record};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

/// The greatest id that a snapshot has in Ceph: those above it mean something else.
const SNAP_ID_MAX: u64 = NOSNAP - 1;

pub(super) const METHODS: &[Method] = &[
    Method::reads(
        "get_snapcontext",
        |target, _, _| {
            record::check_image(target)?;
            let seq = record::number(target, record::SNAP_SEQ)?;
            protobuf::reply(&GetSnapcontextReply { seq, snaps: ids(target)? })
        },
        |target, _, _| ceph::reply(&(record::need::<u64>(target, record::SNAP_SEQ)?, ids(target)?)),
    ),
    Method::writes(
        "snapshot_add",
        |target, caller, input| {
            let SnapshotAdd { id, name, .. } = protobuf::decode(input)?;
            record::check_image(target)?;
            check_given(&name)?;
            let id = if id == 0 { target.take_snap_id()? } else { id };
            check_newer(target, id)?;
            done(add(target, caller, id, name, SnapshotNamespace::User))
        },
        |target, caller, input| {
            let cls::SnapshotAdd { name, id, namespace: Tail(namespace) } = ceph::decode(input)?;
            record::check_image(target)?;
            done(add(target, caller, id, name, namespace.unwrap_or_default()))
        },
    ),
    Method::writes(
        "snapshot_remove",
        |target, caller, input| {
            let SnapshotRemove { id, to_trash } = protobuf::decode(input)?;
            record::check_image(target)?;
            done(if to_trash { give_up(target, caller, id) } else { remove(target, id) })
        },
        |target, _, input| {
            let id = ceph::decode(input)?;
            record::check_image(target)?;
            done(remove(target, id))
        },
    ),
    Method::ceph_writes("snapshot_trash_add", |target, _, input| {
        let id = ceph::decode(input)?;
        record::check_image(target)?;
        let snapshot = removable(target, id)?;
        if is_in_trash(&snapshot) {
            return refuse(Errno::EEXIST, format!("snapshot {id} is in the trash already"));
        }
        done(move_to_trash(target, snapshot))
    }),
    Method::reads(
        "snapshot_get",
        |target, _, input| {
            let SnapshotGet { id } = protobuf::decode(input)?;
            record::check_image(target)?;
            protobuf::reply(&message(&record::snapshot(target, id)?))
        },
        |target, _, input| ceph::reply(&SnapshotInfo::from(of_input(target, ceph::decode(input)?)?)),
    ),
    Method::ceph_reads("get_snapshot_name", |target, _, input| {
        ceph::reply(&of_input(target, ceph::decode(input)?)?.name)
    }),
    Method::ceph_reads("get_snapshot_timestamp", |target, _, input| {
        ceph::reply(&of_input(target, ceph::decode(input)?)?.timestamp)
    }),
    Method::writes(
        "snapshot_rename",
        |target, _, input| {
            let SnapshotRename { id, name } = protobuf::decode(input)?;
            record::check_image(target)?;
            let snapshot = record::snapshot(target, id)?;
            check_user(&snapshot)?;
            check_given(&name)?;
            check_name(&record::snapshots(target)?, id, &name, &SnapshotNamespace::User)?;
            done(record::set_snapshot(target, &SnapshotRecord { name, ..snapshot }))
        },
        |target, _, input| {
            let (id, name): (u64, String) = ceph::decode(input)?;
            record::check_image(target)?;
            // Its own name is taken, too.
            check_name(&record::snapshots(target)?, NOSNAP, &name, &SnapshotNamespace::User)?;
            let snapshot = record::snapshot(target, id)?;
            check_user(&snapshot)?;
            done(record::set_snapshot(target, &SnapshotRecord { name, ..snapshot }))
        },
    ),
    Method::ceph_reads("get_protection_status", |target, _, input| {
        let id = ceph::decode(input)?;
        record::check_image(target)?;
        ceph::reply(&of_input(target, id)?.protection)
    }),
    Method::writes(
        "set_protection_status",
        |target, _, input| {
            let SetProtectionStatus { id, protection, expected } = protobuf::decode(input)?;
            record::check_image(target)?;
            features::check_layering(target)?;
            let protection = protection_of(protection)?;
            let snapshot = record::snapshot(target, id)?;
            check_user(&snapshot)?;
            check_expected(&snapshot, expected)?;
            done(record::set_snapshot(target, &SnapshotRecord { protection, ..snapshot }))
        },
        |target, _, input| {
            let (id, protection): (u64, u8) = ceph::decode(input)?;
            record::check_image(target)?;
            features::check_layering(target)?;
            let protection = protection_of(i32::from(protection))?;
            let snapshot = of_input(target, id)?;
            done(record::set_snapshot(target, &SnapshotRecord { protection, ..snapshot }))
        },
    ),
];

fn ids(target: &Target<'_>) -> Outcome<Vec<u64>> {
    Ok(record::snapshots(target)?.iter().map(|snapshot| snapshot.id).collect())
}

/// EINVAL for HEAD, which is no snapshot.
fn of_input(target: &Target<'_>, id: u64) -> Outcome<SnapshotRecord> {
    if id == NOSNAP {
        return refuse(Errno::EINVAL, "HEAD is no snapshot");
    }
    record::snapshot(target, id)
}

/// gRPC's clients use every id once.
fn check_newer(target: &Target<'_>, id: u64) -> Outcome<()> {
    let newest = record::number(target, record::SNAP_SEQ)?;
    if id <= newest {
        return refuse(Errno::ESTALE, format!("snapshot id {id} is not newer than snap_seq {newest}"));
    }
    Ok(())
}

fn check_given(name: &str) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "a snapshot needs a name");
    }
    Ok(())
}

fn add(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    id: u64,
    name: String,
    namespace: SnapshotNamespace,
) -> Outcome<()> {
    if id > SNAP_ID_MAX {
        return refuse(Errno::EINVAL, format!("{id} is no snapshot id"));
    }
    let newest: u64 = record::need(target, record::SNAP_SEQ)?;
    if id < newest {
        return refuse(Errno::ESTALE, format!("snapshot id {id} is older than snap_seq {newest}"));
    }
    let snapshots = record::snapshots(target)?;
    check_limit(target, &snapshots)?;
    if snapshots.iter().any(|other| other.id == id) {
        return refuse(Errno::EEXIST, format!("there is a snapshot {id} already"));
    }
    check_name(&snapshots, id, &name, &namespace)?;
    let snapshot = SnapshotRecord {
        id,
        name,
        image_size: header::size(target)?,
        protection: cls::Protection::Unprotected,
        flags: record::number(target, record::FLAGS)?,
        namespace,
        timestamp: Utime::from_millis(caller.unix_ms),
        child_count: 0,
        parent_overlap: record::parent(target)?.and_then(|parent| parent.head_overlap),
    };
    record::set_snapshot(target, &snapshot)?;
    record::set(target, record::SNAP_SEQ, &id)?;
    if is_in_trash(&snapshot) {
        features::set_op_features(target, features::OP_SNAP_TRASH, features::OP_SNAP_TRASH)?;
    }
    Ok(())
}

/// Of the snapshots of this image, in omap key "snap_limit"; without one there is none.
fn check_limit(target: &Target<'_>, snapshots: &[SnapshotRecord]) -> Outcome<()> {
    match record::get::<u64>(target, record::SNAP_LIMIT)? {
        Some(limit) if snapshots.len() as u64 >= limit => {
            refuse(Errno::EDQUOT, format!("the image has {limit} snapshots, which is its limit"))
        }
        _ => Ok(()),
    }
}

/// EEXIST when another snapshot than `id` has the name in the same namespace: one in the trash has another.
fn check_name(
    snapshots: &[SnapshotRecord],
    id: u64,
    name: &str,
    namespace: &SnapshotNamespace,
) -> Outcome<()> {
    let has_it =
        |other: &&SnapshotRecord| other.name == name && other.namespace == *namespace && other.id != id;
    match snapshots.iter().find(has_it) {
        Some(other) => refuse(Errno::EEXIST, format!("snapshot {} is named {name:?} already", other.id)),
        None => Ok(()),
    }
}

/// EBUSY for one that has children.
fn remove(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    let snapshot = removable(target, id)?;
    if snapshot.child_count > 0 {
        let (name, count) = (shown_name(&snapshot), snapshot.child_count);
        return refuse(Errno::EBUSY, format!("snapshot {id} ({name:?}) has {count} children"));
    }
    forget(target, id)
}

/// As gRPC's clients remove one: with children it moves to the trash.
fn give_up(target: &mut Target<'_>, caller: &Caller<'_>, id: u64) -> Outcome<()> {
    let snapshot = removable(target, id)?;
    match (snapshot.child_count, is_in_trash(&snapshot)) {
        (0, _) => reclaim(target, caller, id),
        (_, true) => Ok(()),
        (_, false) => move_to_trash(target, snapshot),
    }
}

/// EBUSY for one that is protected.
fn removable(target: &Target<'_>, id: u64) -> Outcome<SnapshotRecord> {
    let snapshot = record::snapshot(target, id)?;
    if snapshot.protection != cls::Protection::Unprotected {
        let name = shown_name(&snapshot);
        return refuse(Errno::EBUSY, format!("snapshot {id} ({name:?}) is protected"));
    }
    Ok(snapshot)
}

/// Its name becomes one that nobody else has, in the form of a UUID, as cls_rbd makes one by chance.
fn move_to_trash(target: &mut Target<'_>, snapshot: SnapshotRecord) -> Outcome<()> {
    let SnapshotRecord { id, name: original_name, ref namespace, .. } = snapshot;
    let namespace = SnapshotNamespace::Trash { original_name, original_kind: namespace.kind() };
    let name = format!("00000000-0000-8000-{:04x}-{:012x}", id >> 48, id & 0xffff_ffff_ffff);
    record::set_snapshot(target, &SnapshotRecord { name, namespace, ..snapshot })?;
    features::set_op_features(target, features::OP_SNAP_TRASH, features::OP_SNAP_TRASH)
}

/// The snapshot goes, and with it what only it needed: the parent, op features.
fn forget(target: &mut Target<'_>, id: u64) -> Outcome<()> {
    record::unset_snapshot(target, id)?;
    let mut left = record::snapshots(target)?;
    left.retain(|other| other.id != id);
    let is_orphan = parent::drop_if_unused(target, &left)?;
    let trash = if left.iter().any(is_in_trash) { 0 } else { features::OP_SNAP_TRASH };
    let child = if is_orphan { features::OP_CLONE_CHILD } else { 0 };
    features::set_op_features(target, 0, trash | child)
}

/// The snapshot goes, and its id is left to be given back by gRPC's clients.
pub(super) fn reclaim(target: &mut Target<'_>, caller: &Caller<'_>, id: u64) -> Outcome<()> {
    let spec =
        record::parent(target)?.map(|parent| parent::spec_message(caller, parent.spec())).transpose()?;
    record::set_reclaim(target, id, spec.as_ref())?;
    forget(target, id)
}

pub(super) fn is_in_trash(snapshot: &SnapshotRecord) -> bool {
    matches!(snapshot.namespace, SnapshotNamespace::Trash { .. })
}

fn check_user(snapshot: &SnapshotRecord) -> Outcome<()> {
    let what = match snapshot.namespace {
        SnapshotNamespace::User => return Ok(()),
        SnapshotNamespace::Trash { .. } => "is in the trash",
        SnapshotNamespace::Group { .. } => "belongs to a group's",
        SnapshotNamespace::Mirror(_) => "belongs to mirroring",
    };
    refuse(Errno::EINVAL, format!("snapshot {} {what}", snapshot.id))
}

fn protection_of(number: i32) -> Outcome<cls::Protection> {
    match u8::try_from(number).ok().and_then(cls::Protection::from_number) {
        Some(protection) => Ok(protection),
        None => refuse(Errno::EINVAL, format!("{number} is no protection status")),
    }
}

/// EBUSY unless the snapshot is as the caller has seen it.
fn check_expected(snapshot: &SnapshotRecord, expected: Option<i32>) -> Outcome<()> {
    let found = i32::from(snapshot.protection.number());
    if expected.is_none_or(|expected| expected == found) {
        return Ok(());
    }
    let found = wire::Protection::try_from(found).unwrap_or_default();
    refuse(Errno::EBUSY, format!("snapshot {} is {} by now", snapshot.id, found.as_str_name()))
}

/// The name that its user gave it, also of one in the trash.
fn shown_name(snapshot: &SnapshotRecord) -> &str {
    match &snapshot.namespace {
        SnapshotNamespace::Trash { original_name, .. } => original_name,
        _ => &snapshot.name,
    }
}

/// As gRPC's clients are told of it.
pub(super) fn message(snapshot: &SnapshotRecord) -> wire::Snapshot {
    let namespace = match snapshot.namespace {
        SnapshotNamespace::User => wire::SnapshotNamespace::User,
        SnapshotNamespace::Trash { .. } => wire::SnapshotNamespace::Trash,
        SnapshotNamespace::Group { .. } => wire::SnapshotNamespace::Group,
        SnapshotNamespace::Mirror(_) => wire::SnapshotNamespace::Mirror,
    };
    wire::Snapshot {
        id: snapshot.id,
        name: shown_name(snapshot).to_owned(),
        size: snapshot.image_size,
        protection: snapshot.protection.number().into(),
        parent_overlap: snapshot.parent_overlap,
        created_unix_ms: snapshot.timestamp.as_millis(),
        child_count: snapshot.child_count,
        namespace: namespace.into(),
    }
}
