use bytes::Bytes;
use ceph_wire::cls::{OldFixed, OldHeader, OldSnapshot};
use ceph_wire::{from_bytes, to_bytes};
use errno::Errno;

use crate::NOTHING;
use crate::common::{World, write};

const HEADER: &str = "a.rbd";

type Listed = (u64, Vec<(u64, u64, String)>);

fn header(snapshots: Vec<OldSnapshot>) -> OldHeader {
    let mut fixed = OldFixed {
        text: [0; 40],
        block_name: [0; 24],
        signature: *b"RBD\0",
        version: *b"001.005\0",
        order: 22,
        unused: [0; 3],
        image_size: 1 << 20,
        snap_seq: 0,
    };
    fixed.text[..OldHeader::TEXT.len()].copy_from_slice(OldHeader::TEXT);
    OldHeader { fixed, reserved: 0, snapshots }
}

fn world() -> World {
    let mut world = World::new();
    world.must(HEADER, [write(0, &to_bytes(&header(Vec::new())))]);
    world
}

fn add(world: &mut World, name: &str, id: u64) -> Result<(), Errno> {
    world.tell(HEADER, "snap_add", &(name.to_owned(), id))
}

fn names(world: &mut World) -> Vec<String> {
    let (_, snapshots): Listed =
        world.ask(HEADER, "snap_list", &NOTHING).expect("the test set this up to succeed");
    snapshots.into_iter().map(|(_, _, name)| name).collect()
}

#[test]
fn snapshots_of_format_1_are_listed_with_the_newest_first() {
    let mut world = world();
    add(&mut world, "a", 1).unwrap();
    add(&mut world, "b", 2).unwrap();
    let listed: Listed = world.ask(HEADER, "snap_list", &NOTHING).unwrap();
    let size = 1 << 20;
    assert_eq!(listed, (2, vec![(2, size, "b".to_owned()), (1, size, "a".to_owned())]));
    let stored: OldHeader = from_bytes(&world.read(HEADER, None).unwrap()).unwrap();
    assert_eq!(stored.fixed, OldFixed { snap_seq: 2, ..header(Vec::new()).fixed });
}

#[test]
fn a_snapshot_of_format_1_has_a_newer_id_and_a_name_of_its_own() {
    let mut world = world();
    add(&mut world, "a", 2).unwrap();
    assert_eq!(add(&mut world, "b", 1), Err(Errno::ESTALE));
    assert_eq!(add(&mut world, "a", 3), Err(Errno::EEXIST));
    world.must(HEADER, [crate::omap_set("snap_limit", &[1, 0, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(add(&mut world, "b", 3), Err(Errno::EDQUOT));
    assert_eq!(names(&mut world), ["a"]);
}

#[test]
fn a_snapshot_of_format_1_is_renamed_and_removed() {
    let mut world = world();
    for (name, id) in [("a", 1), ("b", 2), ("c", 3)] {
        add(&mut world, name, id).unwrap();
    }
    let rename =
        |world: &mut World, id: u64, name: &str| world.tell(HEADER, "snap_rename", &(id, name.to_owned()));
    assert_eq!(rename(&mut world, 2, "a"), Err(Errno::EEXIST));
    assert_eq!(rename(&mut world, 9, "d"), Err(Errno::ENOENT));
    assert_eq!(rename(&mut world, 2, "longer"), Ok(()));
    assert_eq!(world.tell(HEADER, "snap_remove", &"b".to_owned()), Err(Errno::ENOENT));
    assert_eq!(world.tell(HEADER, "snap_remove", &"longer".to_owned()), Ok(()));
    assert_eq!(names(&mut world), ["c", "a"]);
    let left = [
        OldSnapshot { id: 3, image_size: 1 << 20, name: b"c".to_vec() },
        OldSnapshot { id: 1, image_size: 1 << 20, name: b"a".to_vec() },
    ];
    let whole =
        OldHeader { fixed: OldFixed { snap_seq: 3, ..header(Vec::new()).fixed }, ..header(left.to_vec()) };
    assert_eq!(world.read(HEADER, None), Some(to_bytes(&whole).to_vec()), "nothing is behind the last name");
}

#[test]
fn what_is_no_header_of_format_1_is_refused() {
    let mut world = World::new();
    assert_eq!(world.ask::<Listed>(HEADER, "snap_list", &NOTHING), Err(Errno::ENOENT));
    world.must(HEADER, [write(0, b"short")]);
    assert_eq!(world.ask::<Listed>(HEADER, "snap_list", &NOTHING), Err(Errno::EINVAL));
    assert_eq!(world.ceph_call(1, HEADER, "rbd.snap_add", Bytes::new()), Err(Errno::EINVAL));
}
