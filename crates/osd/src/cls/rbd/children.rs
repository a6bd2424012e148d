//! The clones of an image's snapshots (clone v2), kept in the parent's header.

use std::collections::BTreeSet;

use ceph_wire::NOSNAP;
use ceph_wire::cls::{ChildImageSpec, SnapshotRecord};
use errno::Errno;
use proto::cls::rbd::v1::{Child, ChildrenList, ChildrenListReply};

use super::{features, pools, record, snapshots};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "child_attach",
        |target, caller, input| {
            let (snap_id, child) = child_of(target, caller, protobuf::decode(input)?)?;
            done(attach(target, snap_id, child))
        },
        |target, _, input| {
            let (snap_id, child) = ceph::decode(input)?;
            record::check_image(target)?;
            done(attach(target, snap_id, child))
        },
    ),
    Method::writes(
        "child_detach",
        |target, caller, input| {
            let (snap_id, child) = child_of(target, caller, protobuf::decode(input)?)?;
            let snapshot = detach(target, snap_id, &child)?;
            // gRPC's clients leave it to the class, Ceph's remove the snapshot by themselves.
            let is_unused = snapshot.child_count == 0 && snapshots::is_in_trash(&snapshot);
            done(if is_unused { snapshots::reclaim(target, caller, snap_id) } else { Ok(()) })
        },
        |target, _, input| {
            let (snap_id, child): (u64, ChildImageSpec) = ceph::decode(input)?;
            record::check_image(target)?;
            done(detach(target, snap_id, &child).map(drop))
        },
    ),
    Method::reads(
        "children_list",
        |target, caller, input| {
            let ChildrenList { snap_id } = protobuf::decode(input)?;
            record::check_image(target)?;
            record::snapshot(target, snap_id)?;
            let children = record::children(target, snap_id)?.unwrap_or_default();
            protobuf::reply(&ChildrenListReply { children: messages(caller, snap_id, children)? })
        },
        |target, _, input| {
            let snap_id = ceph::decode(input)?;
            record::check_image(target)?;
            record::snapshot(target, snap_id)?;
            match record::children(target, snap_id)? {
                Some(children) => ceph::reply(&children),
                None => refuse(Errno::ENOENT, format!("snapshot {snap_id} has no children")),
            }
        },
    ),
];

fn child_of(target: &Target<'_>, caller: &Caller<'_>, child: Child) -> Outcome<(u64, ChildImageSpec)> {
    record::check_image(target)?;
    let Child { snap_id, pool, image_id } = child;
    if pool.is_empty() || image_id.is_empty() {
        return refuse(Errno::EINVAL, "a child is named by pool and image id");
    }
    let pool = pools::number(caller, &pool)?;
    Ok((snap_id, ChildImageSpec { pool, image_id, namespace: String::new() }))
}

/// As gRPC's clients are told of them.
fn messages(caller: &Caller<'_>, snap_id: u64, children: BTreeSet<ChildImageSpec>) -> Outcome<Vec<Child>> {
    let message = |child: ChildImageSpec| {
        let pool = pools::name(caller, child.pool, &child.namespace)?.to_owned();
        Ok(Child { snap_id, pool, image_id: child.image_id })
    };
    let mut messages = children.into_iter().map(message).collect::<Outcome<Vec<Child>>>()?;
    messages.sort_by(|left, right| (&left.pool, &left.image_id).cmp(&(&right.pool, &right.image_id)));
    Ok(messages)
}

fn attach(target: &mut Target<'_>, snap_id: u64, child: ChildImageSpec) -> Outcome<()> {
    if snap_id == NOSNAP {
        return refuse(Errno::EINVAL, "HEAD is no snapshot");
    }
    let mut snapshot = record::snapshot(target, snap_id)?;
    if snapshots::is_in_trash(&snapshot) {
        return refuse(Errno::ENOENT, format!("snapshot {snap_id} is in the trash"));
    }
    let mut children = record::children(target, snap_id)?.unwrap_or_default();
    if children.contains(&child) {
        let rule = format!("image {} of pool {} is a child already", child.image_id, child.pool);
        return refuse(Errno::EEXIST, rule);
    }
    children.insert(child);
    snapshot.child_count += 1;
    store(target, &snapshot, &children)?;
    features::set_op_features(target, features::OP_CLONE_PARENT, features::OP_CLONE_PARENT)
}

/// The snapshot without that child.
fn detach(target: &mut Target<'_>, snap_id: u64, child: &ChildImageSpec) -> Outcome<SnapshotRecord> {
    let mut snapshot = record::snapshot(target, snap_id)?;
    let mut children = record::children(target, snap_id)?.unwrap_or_default();
    if !children.remove(child) {
        let rule = format!("image {} of pool {} is not a child", child.image_id, child.pool);
        return refuse(Errno::ENOENT, rule);
    }
    let (count, left) = (snapshot.child_count, children.len());
    if usize::try_from(count).ok() != Some(left + 1) {
        return refuse(
            Errno::EINVAL,
            format!("snapshot {snap_id} counts {count} children, and has {}", left + 1),
        );
    }
    snapshot.child_count -= 1;
    store(target, &snapshot, &children)?;
    let has_children = |other: &SnapshotRecord| other.id != snap_id && other.child_count > 0;
    if children.is_empty() && !record::snapshots(target)?.iter().any(has_children) {
        features::set_op_features(target, 0, features::OP_CLONE_PARENT)?;
    }
    Ok(snapshot)
}

fn store(
    target: &mut Target<'_>,
    snapshot: &SnapshotRecord,
    children: &BTreeSet<ChildImageSpec>,
) -> Outcome<()> {
    record::set_snapshot(target, snapshot)?;
    record::set_children(target, snapshot.id, children)
}
