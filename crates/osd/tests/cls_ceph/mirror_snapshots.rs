//! Snapshots that mirroring has made in an image.

use ceph_wire::Tail;
use ceph_wire::cls::{MirrorSnapshot, MirrorSnapshotState, SnapshotAdd, SnapshotInfo, SnapshotNamespace};
use errno::Errno;

use crate::common::World;

fn made(state: MirrorSnapshotState, peers: &[&str]) -> MirrorSnapshot {
    MirrorSnapshot {
        state,
        is_complete: false,
        peer_uuids: peers.iter().map(|&peer| peer.to_owned()).collect(),
        primary_mirror_uuid: String::new(),
        primary_snap_id: 0,
        last_copied_object: 0,
        snap_seqs: [].into(),
    }
}

fn image(snapshots: [(u64, SnapshotNamespace); 2]) -> (World, &'static str) {
    let mut world = World::new();
    let header = world.image(1);
    for (id, namespace) in snapshots {
        let add = SnapshotAdd { name: format!("s{id}"), id, namespace: Tail(Some(namespace)) };
        assert_eq!(world.tell(header, "snapshot_add", &add), Ok(()));
    }
    (world, header)
}

fn snapshot(world: &mut World, header: &str, id: u64) -> MirrorSnapshot {
    match world.ask::<SnapshotInfo>(header, "snapshot_get", &id).expect("it is there").namespace {
        SnapshotNamespace::Mirror(snapshot) => snapshot,
        namespace => panic!("{namespace:?}"),
    }
}

#[test]
fn peers_that_need_a_snapshot_no_more_are_struck_off_one_by_one() {
    let primary = made(MirrorSnapshotState::Primary, &["a", "b"]);
    let (mut world, header) = image([(1, SnapshotNamespace::Mirror(primary)), (2, SnapshotNamespace::User)]);
    let mut unlink =
        |id: u64, peer: &str| world.tell(header, "mirror_image_snapshot_unlink_peer", &(id, peer.to_owned()));
    assert_eq!(unlink(3, "a"), Err(Errno::ENOENT), "there is no such snapshot");
    assert_eq!(unlink(2, "a"), Err(Errno::EINVAL), "it is not mirroring's");
    assert_eq!(unlink(1, "c"), Err(Errno::ENOENT));
    assert_eq!(unlink(1, "a"), Ok(()));
    assert_eq!(unlink(1, "a"), Err(Errno::ENOENT), "it is struck off");
    assert_eq!(unlink(1, "b"), Ok(()), "the last one too");
    assert_eq!(snapshot(&mut world, header, 1), made(MirrorSnapshotState::Primary, &[]));
}

#[test]
fn how_far_a_snapshot_was_copied_counts_on_the_side_that_copies() {
    let of = |state| SnapshotNamespace::Mirror(made(state, &["a"]));
    let (mut world, header) =
        image([(1, of(MirrorSnapshotState::NonPrimary)), (2, of(MirrorSnapshotState::Primary))]);
    for (id, copied) in [(1, 10), (2, 0)] {
        let progress = (id, true, 10_u64);
        assert_eq!(world.tell(header, "mirror_image_snapshot_set_copy_progress", &progress), Ok(()));
        let found = snapshot(&mut world, header, id);
        assert_eq!((found.is_complete, found.last_copied_object), (true, copied));
    }
}
