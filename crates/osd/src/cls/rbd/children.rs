//! The clones of an image's snapshots (clone v2), kept in the parent's header.

use bytes::Bytes;
use errno::Errno;
use prost::Message;
use proto::cls::rbd::v1::{Child, ChildrenList, ChildrenListReply, Snapshot};

use super::record::{self, feature};
use super::snapshots;
use crate::cls::done;
use crate::cls::protobuf::{decode, reply, stored};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) fn attach(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (child, snapshot, mut children) = load(target, input)?;
    if snapshots::is_in_trash(&snapshot) {
        return refuse(Errno::ENOENT, format!("snapshot {} is in the trash", snapshot.id));
    }
    if children.contains(&child) {
        return refuse(Errno::EEXIST, format!("{}/{} is a child already", child.pool, child.image_id));
    }
    children.push(child);
    store(target, snapshot, children)
}

pub(super) fn detach(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (child, snapshot, mut children) = load(target, input)?;
    if !children.contains(&child) {
        return refuse(Errno::ENOENT, format!("{}/{} is not a child", child.pool, child.image_id));
    }
    children.retain(|other| *other != child);
    store(target, snapshot, children)
}

pub(super) fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let ChildrenList { snap_id } = decode(input)?;
    record::check_image(target)?;
    record::snapshot(target, snap_id)?;
    reply(&ChildrenListReply { children: children_of(target, snap_id)? })
}

fn load(target: &Target<'_>, input: &Bytes) -> Outcome<(Child, Snapshot, Vec<Child>)> {
    let child: Child = decode(input)?;
    record::check_image(target)?;
    if child.pool.is_empty() || child.image_id.is_empty() {
        return refuse(Errno::EINVAL, "a child is named by pool and image id");
    }
    let snapshot = record::snapshot(target, child.snap_id)?;
    let children = children_of(target, child.snap_id)?;
    Ok((child, snapshot, children))
}

/// Keeps the set, the snapshot's count and the image's op feature in step. The last child takes a snapshot in the trash along.
fn store(target: &mut Target<'_>, mut snapshot: Snapshot, mut children: Vec<Child>) -> Outcome<Bytes> {
    let key = key(snapshot.id);
    snapshot.child_count = children.len() as u32;
    record::set_snapshot(target, &snapshot)?;
    children.sort_by(|left, right| (&left.pool, &left.image_id).cmp(&(&right.pool, &right.image_id)));
    if children.is_empty() {
        record::unset(target, &key)?;
    } else {
        record::set(target, key, ChildrenListReply { children }.encode_to_vec())?;
    }
    match snapshot.child_count == 0 && snapshots::is_in_trash(&snapshot) {
        true => snapshots::reclaim(target, snapshot.id)?,
        false => set_op_features(target)?,
    }
    done(Ok(()))
}

/// Op features say what the snapshots are; the feature "operations" is set while there is one.
pub(super) fn set_op_features(target: &mut Target<'_>) -> Outcome<()> {
    let all = record::snapshots(target)?;
    let flag = |is_set, bit| if is_set { bit } else { 0 };
    let op_features = flag(all.iter().any(|snapshot| snapshot.child_count > 0), feature::OP_CLONE_PARENT)
        | flag(all.iter().any(snapshots::is_in_trash), feature::OP_SNAP_TRASH);
    let features = record::number(target, record::FEATURES)? & !feature::OPERATIONS;
    record::set_number(target, record::OP_FEATURES, op_features)?;
    record::set_number(target, record::FEATURES, features | flag(op_features != 0, feature::OPERATIONS))
}

fn children_of(target: &Target<'_>, snap_id: u64) -> Outcome<Vec<Child>> {
    let Some(value) = record::value(target, &key(snap_id))? else { return Ok(Vec::new()) };
    Ok(stored::<ChildrenListReply>("the set of children", &value)?.children)
}

fn key(snap_id: u64) -> String {
    format!("snap_children_{snap_id:016x}")
}
