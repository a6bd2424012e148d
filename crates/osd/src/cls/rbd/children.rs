//! The clones of an image's snapshots (clone v2), kept in the parent's header.

use bytes::Bytes;
use errno::Errno;
use prost::Message;
use proto::cls::rbd::v1::{Child, ChildrenList, ChildrenListReply, Snapshot};

use super::record::{self, feature};
use crate::cls::{decode, done, reply, stored};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) fn attach(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (child, snapshot, mut children) = load(target, input)?;
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

/// Keeps the set, the snapshot's count and the image's op feature in step.
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
    let is_parent = record::snapshots(target)?.iter().any(|snapshot| snapshot.child_count > 0);
    set_clone_parent(target, is_parent)?;
    done()
}

/// The feature "operations" is set while there is an op feature.
fn set_clone_parent(target: &mut Target<'_>, is_parent: bool) -> Outcome<()> {
    let others = record::number(target, record::OP_FEATURES)? & !feature::OP_CLONE_PARENT;
    let op_features = others | if is_parent { feature::OP_CLONE_PARENT } else { 0 };
    let features = record::number(target, record::FEATURES)? & !feature::OPERATIONS;
    let operations = if op_features == 0 { 0 } else { feature::OPERATIONS };
    record::set_number(target, record::OP_FEATURES, op_features)?;
    record::set_number(target, record::FEATURES, features | operations)?;
    Ok(())
}

fn children_of(target: &Target<'_>, snap_id: u64) -> Outcome<Vec<Child>> {
    let Some(value) = record::value(target, &key(snap_id))? else { return Ok(Vec::new()) };
    Ok(stored::<ChildrenListReply>("the set of children", &value)?.children)
}

fn key(snap_id: u64) -> String {
    format!("snap_children_{snap_id:016x}")
}
