use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::Utime;
use ceph_wire::cls::{TrashImageSpec, TrashSource, TrashState};
use errno::Errno;

use crate::common::World;

const TRASH: &str = "rbd_trash";

fn spec(state: TrashState) -> TrashImageSpec {
    let [deleted, deferred_until] = [Utime::from_millis(1), Utime::from_millis(2)];
    TrashImageSpec { source: TrashSource::User, name: "a".to_owned(), deleted, deferred_until, state }
}

fn state(world: &mut World) -> TrashState {
    world
        .ask::<TrashImageSpec>(TRASH, "trash_get", &"1".to_owned())
        .expect("the test set this up to succeed")
        .state
}

#[test]
fn an_image_is_in_the_trash_once_and_until_it_is_removed() {
    let mut world = World::new();
    let add = ("1".to_owned(), spec(TrashState::Normal));
    assert_eq!(world.ask::<TrashImageSpec>(TRASH, "trash_get", &"1".to_owned()), Err(Errno::ENOENT));
    assert_eq!(world.tell(TRASH, "trash_add", &add), Ok(()));
    assert_eq!(world.tell(TRASH, "trash_add", &add), Err(Errno::EEXIST));
    assert_eq!(world.ask(TRASH, "trash_get", &"1".to_owned()), Ok(add.1.clone()));
    let listed: BTreeMap<String, TrashImageSpec> =
        world.ask(TRASH, "trash_list", &(String::new(), 9_u64)).unwrap();
    assert_eq!(listed, [add].into());
    assert_eq!(world.tell(TRASH, "trash_remove", &"1".to_owned()), Ok(()));
    assert_eq!(world.tell(TRASH, "trash_remove", &"1".to_owned()), Err(Errno::ENOENT));
}

#[test]
fn the_trash_takes_ids_only() {
    let mut world = World::new();
    for id in ["", "a b", "a/b"] {
        let add = (id.to_owned(), spec(TrashState::Normal));
        assert_eq!(world.tell(TRASH, "trash_add", &add), Err(Errno::EINVAL), "{id:?}");
    }
    assert_eq!(world.ceph_call(1, TRASH, "rbd.trash_add", Bytes::new()), Err(Errno::EINVAL));
}

#[test]
fn the_state_in_the_trash_changes_from_the_expected_one() {
    let mut world = World::new();
    let set = |world: &mut World, to: TrashState, from: TrashState| {
        world.tell(TRASH, "trash_state_set", &("1".to_owned(), to, from))
    };
    assert_eq!(set(&mut world, TrashState::Normal, TrashState::Moving), Err(Errno::ENOENT));
    world.tell(TRASH, "trash_add", &("1".to_owned(), spec(TrashState::Moving))).unwrap();
    assert_eq!(set(&mut world, TrashState::Normal, TrashState::Moving), Ok(()));
    assert_eq!(state(&mut world), TrashState::Normal);
    assert_eq!(set(&mut world, TrashState::Normal, TrashState::Moving), Ok(()), "it is so already");
    assert_eq!(set(&mut world, TrashState::Removing, TrashState::Restoring), Err(Errno::ESTALE));
    assert_eq!(state(&mut world), TrashState::Normal);
}

#[test]
fn an_entry_that_somebody_wrote_over_is_eio() {
    let mut world = World::new();
    world.must(TRASH, [crate::omap_set("id_1", b"garbage")]);
    assert_eq!(world.ask::<TrashImageSpec>(TRASH, "trash_get", &"1".to_owned()), Err(Errno::EIO));
}
