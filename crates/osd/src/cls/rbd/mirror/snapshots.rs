//! Snapshots that mirroring has made in an image: who needs one still, and how much of it is here.

use bytes::Bytes;
use ceph_wire::cls::{MirrorSnapshot, MirrorSnapshotState, SnapshotNamespace};
use errno::Errno;

use super::super::record;
use crate::cls::ceph::decode;
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_writes("mirror_image_snapshot_unlink_peer", unlink_peer),
    Method::ceph_writes("mirror_image_snapshot_set_copy_progress", set_copy_progress),
];

/// ENOENT for a snapshot, or a peer of it, that is not there.
fn unlink_peer(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (snap_id, peer_uuid): (u64, String) = decode(input)?;
    change(target, snap_id, |snapshot| match snapshot.peer_uuids.remove(&peer_uuid) {
        true => Ok(()),
        false => refuse(Errno::ENOENT, format!("snapshot {snap_id} is not for peer {peer_uuid:?}")),
    })
}

/// How far it was copied counts on the side that copies.
fn set_copy_progress(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (snap_id, is_complete, last_copied_object): (u64, bool, u64) = decode(input)?;
    change(target, snap_id, |snapshot| {
        snapshot.is_complete = is_complete;
        if snapshot.state == MirrorSnapshotState::NonPrimary {
            snapshot.last_copied_object = last_copied_object;
        }
        Ok(())
    })
}

/// EINVAL for a snapshot that is not mirroring's.
fn change(
    target: &mut Target<'_>,
    snap_id: u64,
    change: impl FnOnce(&mut MirrorSnapshot) -> Outcome<()>,
) -> Outcome<Bytes> {
    let mut snapshot = record::snapshot(target, snap_id)?;
    let SnapshotNamespace::Mirror(mirror) = &mut snapshot.namespace else {
        return refuse(Errno::EINVAL, format!("snapshot {snap_id} is not mirroring's"));
    };
    change(mirror)?;
    done(record::set_snapshot(target, &snapshot))
}
