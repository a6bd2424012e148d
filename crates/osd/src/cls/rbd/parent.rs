//! What an image, HEAD and snapshots, may still read from its parent.

use ceph_wire::cls::{self, NO_POOL, ParentImageSpec, ParentRecord, SetParent, SnapshotRecord};
use ceph_wire::{NOSNAP, Tail};
use errno::Errno;
use proto::cls::rbd::v1::{
    Parent, ParentAttach, ParentGetReply, ParentOverlapGet, ParentOverlapGetReply, ParentSpec,
};

use super::{features, header, pools, record};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::reads(
        "parent_get",
        |target, caller, _| {
            record::check_image(target)?;
            let parent = record::parent(target)?.map(|parent| message(caller, &parent)).transpose()?;
            protobuf::reply(&ParentGetReply { parent })
        },
        |target, _, _| {
            target.stat()?;
            let spec = record::parent(target)?.map_or_else(ParentImageSpec::none, |parent| parent.spec());
            ceph::reply(&spec)
        },
    ),
    Method::reads(
        "parent_overlap_get",
        |target, _, input| {
            let ParentOverlapGet { snap_id } = protobuf::decode(input)?;
            record::check_image(target)?;
            let overlap = overlap(target, if snap_id == 0 { NOSNAP } else { snap_id })?;
            protobuf::reply(&ParentOverlapGetReply { overlap })
        },
        |target, _, input| {
            let snap_id = ceph::decode(input)?;
            target.stat()?;
            ceph::reply(&overlap(target, snap_id)?)
        },
    ),
    Method::writes(
        "parent_attach",
        |target, caller, input| {
            let ParentAttach { spec, parent_size } = protobuf::decode(input)?;
            check_clone(target)?;
            let spec = spec_of(caller, spec)?;
            let wanted = clipped(target, spec, parent_size)?;
            done(attach_once(target, &wanted))
        },
        |target, _, input| {
            let cls::ParentAttach { spec, overlap, is_reattach: Tail(is_reattach) } = ceph::decode(input)?;
            done(attach(target, spec, overlap, is_reattach == Some(true)))
        },
    ),
    Method::writes(
        "parent_detach",
        |target, _, _| {
            record::check_image(target)?;
            done(detach(target, record::parent(target)?))
        },
        |target, _, _| {
            check_clone(target)?;
            done(detach(target, record::parent(target)?))
        },
    ),
    // As clients before Nautilus call them, who know no namespaces.
    Method::ceph_reads("get_parent", |target, _, input| {
        let snap_id = ceph::decode(input)?;
        target.stat()?;
        ceph::reply(&parent_at(target, snap_id)?)
    }),
    Method::ceph_writes("set_parent", |target, _, input| {
        let SetParent { pool, image_id, snap_id, overlap } = ceph::decode(input)?;
        let spec = ParentImageSpec { pool, namespace: String::new(), image_id, snap_id };
        done(attach(target, spec, overlap, false))
    }),
    Method::ceph_writes("remove_parent", |target, _, _| {
        check_clone(target)?;
        let parent = record::parent(target)?;
        parent.as_ref().map_or(Ok(()), check_no_namespace)?;
        done(detach(target, parent))
    }),
];

/// ENOENT unless it is an image's header, ENOEXEC unless the image may have a parent.
fn check_clone(target: &Target<'_>) -> Outcome<()> {
    record::check_image(target)?;
    features::check_layering(target)
}

/// Of HEAD or a snapshot.
fn overlap(target: &Target<'_>, snap_id: u64) -> Outcome<Option<u64>> {
    match snap_id {
        NOSNAP => Ok(record::parent(target)?.and_then(|parent| parent.head_overlap)),
        snap_id => Ok(record::snapshot(target, snap_id)?.parent_overlap),
    }
}

/// The parent of HEAD or a snapshot. "None" also for a snapshot that is not there, as cls_rbd says it.
fn parent_at(target: &Target<'_>, snap_id: u64) -> Outcome<SetParent> {
    let parent = record::parent(target)?;
    parent.as_ref().map_or(Ok(()), check_no_namespace)?;
    let overlap = match snap_id {
        NOSNAP => parent.as_ref().and_then(|parent| parent.head_overlap),
        id => record::snapshots(target)?.iter().find(|known| known.id == id).and_then(|at| at.parent_overlap),
    };
    Ok(match (parent, overlap) {
        (Some(ParentRecord { pool, image_id, snap_id, .. }), Some(overlap)) => {
            SetParent { pool, image_id, snap_id, overlap }
        }
        _ => SetParent { pool: NO_POOL, image_id: String::new(), snap_id: NOSNAP, overlap: 0 },
    })
}

/// EXDEV for a parent that the caller has no way to name.
fn check_no_namespace(parent: &ParentRecord) -> Outcome<()> {
    match parent.namespace.as_str() {
        "" => Ok(()),
        namespace => refuse(Errno::EXDEV, format!("the parent is in namespace {namespace:?}")),
    }
}

/// HEAD cannot read beyond its own end.
fn clipped(target: &Target<'_>, spec: ParentImageSpec, parent_size: u64) -> Outcome<ParentRecord> {
    let ParentImageSpec { pool, namespace, image_id, snap_id } = spec;
    let head_overlap = Some(parent_size.min(header::size(target)?));
    Ok(ParentRecord { pool, namespace, image_id, snap_id, head_overlap })
}

/// Fine when that is the parent already. The image's list of op features says that its parent knows it, as gRPC's clients
/// see to.
fn attach_once(target: &mut Target<'_>, wanted: &ParentRecord) -> Outcome<()> {
    match record::parent(target)? {
        Some(parent) if parent == *wanted => return Ok(()),
        Some(_) => return refuse(Errno::EEXIST, "the image has a parent, or another overlap with this one"),
        None => record::set(target, record::PARENT, wanted)?,
    }
    features::set_op_features(target, features::OP_CLONE_CHILD, features::OP_CLONE_CHILD)
}

/// As Ceph's clients do it. EEXIST while HEAD reads from a parent, and for another than the snapshots read from.
fn attach(
    target: &mut Target<'_>,
    spec: ParentImageSpec,
    parent_size: u64,
    is_reattach: bool,
) -> Outcome<()> {
    check_clone(target)?;
    if spec.pool < 0 || spec.image_id.is_empty() || spec.snap_id == NOSNAP || parent_size == 0 {
        return refuse(Errno::EINVAL, "a parent is named by pool, image id and snap id, and has bytes");
    }
    match record::parent(target)? {
        Some(parent) if !is_reattach && (parent.head_overlap.is_some() || parent.spec() != spec) => {
            refuse(Errno::EEXIST, "the image has a parent")
        }
        _ => record::set(target, record::PARENT, &clipped(target, spec, parent_size)?),
    }
}

/// With deep-flatten the snapshots lose the parent with HEAD; without, the spec stays while one of them needs it.
fn detach(target: &mut Target<'_>, parent: Option<ParentRecord>) -> Outcome<()> {
    let Some(parent) = parent.filter(|parent| parent.head_overlap.is_some()) else {
        return refuse(Errno::ENOENT, "HEAD has no parent");
    };
    let mut snapshots = record::snapshots(target)?;
    if record::number(target, record::FEATURES)? & features::DEEP_FLATTEN != 0 {
        for snapshot in snapshots.iter_mut().filter(|snapshot| needs_parent(snapshot)) {
            snapshot.parent_overlap = None;
            record::set_snapshot(target, snapshot)?;
        }
    }
    if snapshots.iter().any(needs_parent) {
        return record::set(target, record::PARENT, &ParentRecord { head_overlap: None, ..parent });
    }
    record::unset(target, record::PARENT)?;
    features::set_op_features(target, 0, features::OP_CLONE_CHILD)
}

/// Forgets the parent when neither HEAD nor one of these snapshots has an overlap with it. Whether there is no parent then.
pub(super) fn drop_if_unused(target: &mut Target<'_>, snapshots: &[SnapshotRecord]) -> Outcome<bool> {
    let Some(parent) = record::parent(target)? else { return Ok(true) };
    let is_used = parent.head_overlap.is_some() || snapshots.iter().any(needs_parent);
    if !is_used {
        record::unset(target, record::PARENT)?;
    }
    Ok(!is_used)
}

fn needs_parent(snapshot: &SnapshotRecord) -> bool {
    snapshot.parent_overlap.is_some()
}

/// EINVAL unless every part is there.
pub(super) fn spec_of(caller: &Caller<'_>, spec: Option<ParentSpec>) -> Outcome<ParentImageSpec> {
    match spec {
        Some(ParentSpec { pool, image_id, snap_id })
            if !pool.is_empty() && !image_id.is_empty() && snap_id > 0 =>
        {
            let pool = pools::number(caller, &pool)?;
            Ok(ParentImageSpec { pool, namespace: String::new(), image_id, snap_id })
        }
        _ => refuse(Errno::EINVAL, "a parent is named by pool, image id and snap id"),
    }
}

/// As gRPC's clients are told of it.
pub(super) fn spec_message(caller: &Caller<'_>, spec: ParentImageSpec) -> Outcome<ParentSpec> {
    let ParentImageSpec { pool, namespace, image_id, snap_id } = spec;
    let pool = pools::name(caller, pool, &namespace)?.to_owned();
    Ok(ParentSpec { pool, image_id, snap_id })
}

pub(super) fn message(caller: &Caller<'_>, parent: &ParentRecord) -> Outcome<Parent> {
    let head_overlap = parent.head_overlap;
    Ok(Parent { spec: Some(spec_message(caller, parent.spec())?), head_overlap })
}
