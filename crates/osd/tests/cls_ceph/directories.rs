//! Namespaces, the directory of groups, and the state of the directory of images.

use std::collections::BTreeMap;

use ceph_wire::cls::DirectoryState;
use errno::Errno;

use crate::common::World;
use crate::omap_set;

const GROUPS: &str = "rbd_group_directory";
const IMAGES: &str = "rbd_directory";

fn pair(name: &str, id: &str) -> (String, String) {
    (name.to_owned(), id.to_owned())
}

#[test]
fn namespaces_are_added_once_and_listed_by_name() {
    let mut world = World::new();
    let object = "rbd_namespace";
    for name in ["b", "a", "c"] {
        assert_eq!(world.tell(object, "namespace_add", &name.to_owned()), Ok(()));
    }
    assert_eq!(world.tell(object, "namespace_add", &"a".to_owned()), Err(Errno::EEXIST));
    assert_eq!(world.tell(object, "namespace_remove", &"b".to_owned()), Ok(()));
    assert_eq!(world.tell(object, "namespace_remove", &"b".to_owned()), Err(Errno::ENOENT));
    let list = |world: &mut World, after: &str| {
        world.ask::<Vec<String>>(object, "namespace_list", &(after.to_owned(), 9_u64))
    };
    assert_eq!(list(&mut world, ""), Ok(vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(list(&mut world, "a"), Ok(vec!["c".to_owned()]));
}

#[test]
fn a_group_has_one_name_and_one_id() {
    let mut world = World::new();
    for (name, id) in [("", "1"), ("g", ""), ("g", "a b")] {
        assert_eq!(world.tell(GROUPS, "group_dir_add", &pair(name, id)), Err(Errno::EINVAL));
    }
    assert_eq!(world.tell(GROUPS, "group_dir_add", &pair("g", "1")), Ok(()));
    assert_eq!(world.tell(GROUPS, "group_dir_add", &pair("g", "2")), Err(Errno::EEXIST));
    assert_eq!(world.tell(GROUPS, "group_dir_add", &pair("h", "1")), Err(Errno::EBADF));
    world.tell(GROUPS, "group_dir_add", &pair("h", "2")).unwrap();
    assert_eq!(world.tell(GROUPS, "group_dir_remove", &pair("g", "2")), Err(Errno::ESTALE));
    assert_eq!(world.tell(GROUPS, "group_dir_remove", &pair("x", "2")), Err(Errno::ENOENT));
    assert_eq!(world.tell(GROUPS, "group_dir_remove", &pair("g", "1")), Ok(()));
    let groups: BTreeMap<String, String> =
        world.ask(GROUPS, "group_dir_list", &(String::new(), 9_u64)).unwrap();
    assert_eq!(groups, [pair("h", "2")].into());
}

#[test]
fn a_group_is_renamed_to_a_name_that_is_free() {
    let mut world = World::new();
    let rename = |world: &mut World, from: &str, to: &str, id: &str| {
        world.tell(GROUPS, "group_dir_rename", &(from.to_owned(), to.to_owned(), id.to_owned()))
    };
    world.tell(GROUPS, "group_dir_add", &pair("g", "1")).unwrap();
    world.tell(GROUPS, "group_dir_add", &pair("h", "2")).unwrap();
    assert_eq!(rename(&mut world, "x", "y", "3"), Err(Errno::ENOENT));
    assert_eq!(rename(&mut world, "g", "y", "2"), Err(Errno::ESTALE));
    assert_eq!(rename(&mut world, "g", "h", "1"), Err(Errno::EEXIST));
    assert_eq!(rename(&mut world, "g", "g", "1"), Err(Errno::EEXIST), "it has that name until it is done");
    assert_eq!(rename(&mut world, "g", "", "1"), Err(Errno::EINVAL));
    assert_eq!(rename(&mut world, "g", "i", "1"), Ok(()));
    let groups: BTreeMap<String, String> =
        world.ask(GROUPS, "group_dir_list", &(String::new(), 9_u64)).unwrap();
    assert_eq!(groups, [pair("h", "2"), pair("i", "1")].into());
}

#[test]
fn a_directory_without_a_state_is_in_none() {
    let mut world = World::new();
    world.must(IMAGES, [omap_set("x", b"")]);
    assert_eq!(world.tell(IMAGES, "dir_state_assert", &DirectoryState::Ready), Err(Errno::ENOENT));
    assert_eq!(world.tell(IMAGES, "dir_state_set", &DirectoryState::Ready), Ok(()));
    assert_eq!(world.tell(IMAGES, "dir_state_assert", &DirectoryState::Ready), Ok(()));
    assert_eq!(world.tell(IMAGES, "dir_state_assert", &DirectoryState::AddDisabled), Err(Errno::ENOENT));
    assert_eq!(world.tell(IMAGES, "dir_state_set", &7_u8), Err(Errno::EINVAL));
}

#[test]
fn a_directory_with_images_cannot_be_closed() {
    let mut world = World::new();
    assert_eq!(world.tell(IMAGES, "dir_state_set", &DirectoryState::AddDisabled), Err(Errno::ENOENT));
    world.must(IMAGES, [omap_set("name_a", b"")]);
    assert_eq!(world.tell(IMAGES, "dir_state_set", &DirectoryState::AddDisabled), Err(Errno::EBUSY));
    assert_eq!(world.tell(IMAGES, "dir_state_set", &DirectoryState::Ready), Ok(()));
}
