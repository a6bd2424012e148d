use ceph_wire::cls::{
    GroupImageSpec, GroupImageState, GroupImageStatus, GroupSnapshot, GroupSnapshotState, GroupSpec, NO_POOL,
};
use errno::Errno;

use crate::NOTHING;
use crate::common::World;

const GROUP: &str = "rbd_group_header.1";
const OP_GROUP: u64 = 4;

fn member(image_id: &str, pool: i64) -> GroupImageSpec {
    GroupImageSpec { image_id: image_id.to_owned(), pool }
}

fn snapshot(id: &str, name: &str, state: GroupSnapshotState) -> GroupSnapshot {
    GroupSnapshot { id: id.to_owned(), name: name.to_owned(), state, snapshots: Vec::new() }
}

#[test]
fn images_of_a_group_are_listed_pool_by_pool() {
    let mut world = World::new();
    let status = |spec: GroupImageSpec, state| GroupImageStatus { spec, state };
    let (attached, incomplete) = (GroupImageState::Attached, GroupImageState::Incomplete);
    for (spec, state) in
        [(member("b", 3), attached), (member("a", 20), attached), (member("c", 3), incomplete)]
    {
        assert_eq!(world.tell(GROUP, "group_image_set", &status(spec, state)), Ok(()));
    }
    let list = |world: &mut World, after: GroupImageSpec, max: u64| {
        world.ask::<Vec<GroupImageStatus>>(GROUP, "group_image_list", &(after, max)).unwrap()
    };
    let all = [
        status(member("b", 3), attached),
        status(member("c", 3), incomplete),
        status(member("a", 20), attached),
    ];
    assert_eq!(list(&mut world, member("", NO_POOL), 9), all);
    assert_eq!(list(&mut world, member("", NO_POOL), 2), all[..2]);
    assert_eq!(list(&mut world, member("b", 3), 9), all[1..]);
    assert_eq!(world.tell(GROUP, "group_image_remove", &member("b", 3)), Ok(()));
    assert_eq!(world.tell(GROUP, "group_image_remove", &member("b", 3)), Ok(()), "it may be gone");
    assert_eq!(list(&mut world, member("", NO_POOL), 9), all[1..]);
}

#[test]
fn an_image_is_in_one_group() {
    let mut world = World::new();
    let [one, other] = ["1", "2"].map(|id| GroupSpec { pool: 1, group_id: id.to_owned() });
    assert_eq!(world.tell("rbd_header.1", "image_group_add", &one), Err(Errno::ENOENT));
    let image = world.image(1);
    assert_eq!(world.ask(image, "image_group_get", &NOTHING), Ok(GroupSpec::none()));
    assert_eq!(world.tell(image, "image_group_remove", &one), Err(Errno::ENOENT));
    assert_eq!(world.tell(image, "image_group_add", &one), Ok(()));
    assert_eq!(world.tell(image, "image_group_add", &one), Ok(()), "it is so already");
    assert_eq!(world.tell(image, "image_group_add", &other), Err(Errno::EEXIST));
    assert_eq!(world.ask(image, "image_group_get", &NOTHING), Ok(one.clone()));
    assert_eq!(world.number(image, "op_features"), OP_GROUP);
    assert_eq!(world.tell(image, "image_group_remove", &other), Err(Errno::EBADF));
    assert_eq!(world.tell(image, "image_group_remove", &one), Ok(()));
    assert_eq!(world.number(image, "op_features"), 0);
}

#[test]
fn a_snapshot_of_a_group_begins_once_and_is_completed() {
    let mut world = World::new();
    let set = |world: &mut World, snapshot: &GroupSnapshot| world.tell(GROUP, "group_snap_set", snapshot);
    let begun = snapshot("1", "s", GroupSnapshotState::Incomplete);
    for (id, name) in [("", "s"), ("1", "")] {
        assert_eq!(set(&mut world, &snapshot(id, name, GroupSnapshotState::Incomplete)), Err(Errno::EINVAL));
    }
    assert_eq!(set(&mut world, &begun), Ok(()));
    assert_eq!(set(&mut world, &begun), Err(Errno::EEXIST));
    assert_eq!(set(&mut world, &snapshot("2", "s", GroupSnapshotState::Complete)), Err(Errno::EEXIST));
    let whole = snapshot("1", "s", GroupSnapshotState::Complete);
    assert_eq!(set(&mut world, &whole), Ok(()));
    assert_eq!(world.ask(GROUP, "group_snap_get_by_id", &"1".to_owned()), Ok(whole));
    assert_eq!(
        world.ask::<GroupSnapshot>(GROUP, "group_snap_get_by_id", &"2".to_owned()),
        Err(Errno::ENOENT)
    );
}

#[test]
fn snapshots_of_a_group_are_listed_by_id() {
    let mut world = World::new();
    let whole = |id: &str| snapshot(id, &format!("s{id}"), GroupSnapshotState::Complete);
    for id in ["3", "1", "2"] {
        world.tell(GROUP, "group_snap_set", &whole(id)).unwrap();
    }
    let list = |world: &mut World, after: GroupSnapshot, max: u64| {
        world.ask::<Vec<GroupSnapshot>>(GROUP, "group_snap_list", &(after, max)).unwrap()
    };
    let none = snapshot("", "", GroupSnapshotState::Incomplete);
    assert_eq!(list(&mut world, none.clone(), 2), [whole("1"), whole("2")]);
    assert_eq!(list(&mut world, whole("2"), 2), [whole("3")]);
    assert_eq!(world.tell(GROUP, "group_snap_remove", &"2".to_owned()), Ok(()));
    assert_eq!(world.tell(GROUP, "group_snap_remove", &"2".to_owned()), Ok(()), "it may be gone");
    assert_eq!(list(&mut world, none, 9), [whole("1"), whole("3")]);
}
