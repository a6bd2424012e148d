//! Object `rbd_group_header.ID`: the snapshots of a group.

use bytes::Bytes;
use ceph_wire::cls::{GroupSnapshot, GroupSnapshotState};
use errno::Errno;

use super::super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_writes("group_snap_set", set),
    Method::ceph_writes("group_snap_remove", remove),
    Method::ceph_reads("group_snap_get_by_id", get),
    Method::ceph_reads("group_snap_list", list),
];

const PREFIX: &str = "snapshot_";

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// One that begins must not be there; one that is whole may be.
fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let snapshot: GroupSnapshot = decode(input)?;
    let GroupSnapshot { id, name, state, .. } = &snapshot;
    if id.is_empty() || name.is_empty() {
        return refuse(Errno::EINVAL, "a snapshot of a group has an id and a name");
    }
    let all: Vec<(String, GroupSnapshot)> = entries::all(target, PREFIX)?;
    if let Some((_, other)) = all.iter().find(|(_, other)| other.name == *name && other.id != *id) {
        return refuse(Errno::EEXIST, format!("snapshot {:?} of the group is named {name:?}", other.id));
    }
    if *state == GroupSnapshotState::Incomplete && all.iter().any(|(_, other)| other.id == *id) {
        return refuse(Errno::EEXIST, format!("the group has a snapshot with id {id:?}"));
    }
    done(entries::set(target, &key(id), &snapshot))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    done(entries::remove(target, &key(&id)))
}

fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    reply(&entries::get::<GroupSnapshot>(target, &key(&id))?)
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (GroupSnapshot, u64) = decode(input)?;
    let page: Vec<(String, GroupSnapshot)> =
        entries::decoded(entries::page(target, PREFIX, &after.id, max)?, PREFIX)?;
    reply(&page.into_iter().map(|(_, snapshot)| snapshot).collect::<Vec<_>>())
}
