//! Class "rbd" on the other objects of an image: id, directory, children index, data objects.

mod common;

use common::{World, outputs};
use errno::Errno;
use osd::op::{Op, Output};
use prost::Message;
use proto::cls::rbd::v1::{
    ChildIndexEntry, Copyup, CopyupExtent, DirectoryEntry, DirectoryList, DirectoryListReply,
    DirectoryRename, GetChildren, GetChildrenReply, ImageId, ParentSpec, SparseCopyup,
};
use store::Name;

fn call<O: Message + Default>(world: &mut World, method: &str, input: &impl Message) -> Result<O, Errno> {
    world.call(1, "o", &format!("rbd.{method}"), input)
}

fn change(world: &mut World, method: &str, input: &impl Message) -> Result<(), Errno> {
    call(world, method, input)
}

#[test]
fn an_image_id_is_set_once() {
    let mut world = World::new();
    let id = |id: &str| ImageId { id: id.into() };
    assert_eq!(change(&mut world, "get_id", &()), Err(Errno::ENOENT));
    world.must("o", [Op::Create { exclusive: true }]);
    assert_eq!(change(&mut world, "get_id", &()), Err(Errno::ENOENT), "empty");
    assert_eq!(change(&mut world, "set_id", &id("")), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_id", &id("abc")), Ok(()));
    assert_eq!(change(&mut world, "set_id", &id("abc")), Err(Errno::EEXIST));
    assert_eq!(call(&mut world, "get_id", &()), Ok(id("abc")));
    assert_eq!(world.read("o", None), Some(b"\x03\0\0\0abc".to_vec()));
}

#[test]
fn data_that_is_no_image_id_is_an_io_error() {
    let mut world = World::new();
    world.must("o", [common::write(0, b"\x09\0\0\0abc")]);
    assert_eq!(change(&mut world, "get_id", &()), Err(Errno::EIO));
}

fn entry(name: &str, id: &str) -> DirectoryEntry {
    DirectoryEntry { name: name.into(), id: id.into() }
}

fn list(world: &mut World, after: &str, max: u32) -> (Vec<DirectoryEntry>, bool) {
    let reply: DirectoryListReply =
        call(world, "dir_list", &DirectoryList { after: after.into(), max }).expect("the directory exists");
    (reply.entries, reply.more)
}

/// Catalogue row 204: directory_methods.
#[test]
fn a_name_and_an_id_are_in_the_directory_once() {
    let mut world = World::new();
    assert_eq!(change(&mut world, "dir_add_image", &entry("n1", "i1")), Ok(()));
    assert_eq!(change(&mut world, "dir_add_image", &entry("n1", "i2")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "dir_add_image", &entry("n2", "i1")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "dir_add_image", &entry("", "i2")), Err(Errno::EINVAL));
    assert_eq!(call(&mut world, "dir_get_id", &entry("n1", "")), Ok(entry("n1", "i1")));
    assert_eq!(call(&mut world, "dir_get_name", &entry("", "i1")), Ok(entry("n1", "i1")));
    assert_eq!(change(&mut world, "dir_get_id", &entry("n2", "")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "dir_get_name", &entry("", "i2")), Err(Errno::ENOENT));
}

/// Catalogue row 204: directory_methods.
#[test]
fn only_a_matching_pair_is_removed() {
    let mut world = World::new();
    assert_eq!(change(&mut world, "dir_add_image", &entry("n1", "i1")), Ok(()));
    assert_eq!(change(&mut world, "dir_add_image", &entry("n2", "i2")), Ok(()));
    assert_eq!(change(&mut world, "dir_remove_image", &entry("n1", "i2")), Err(Errno::ESTALE));
    assert_eq!(change(&mut world, "dir_remove_image", &entry("n1", "i9")), Err(Errno::ESTALE));
    assert_eq!(change(&mut world, "dir_remove_image", &entry("n9", "i9")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "dir_remove_image", &entry("n1", "i1")), Ok(()));
    assert_eq!(list(&mut world, "", 0), (vec![entry("n2", "i2")], false));
    assert_eq!(change(&mut world, "dir_get_name", &entry("", "i1")), Err(Errno::ENOENT));
}

/// Catalogue row 204: directory_methods.
#[test]
fn a_rename_changes_both_keys_or_none() {
    let mut world = World::new();
    assert_eq!(change(&mut world, "dir_add_image", &entry("n1", "i1")), Ok(()));
    assert_eq!(change(&mut world, "dir_add_image", &entry("n2", "i2")), Ok(()));
    let rename = |old_name: &str, new_name: &str, id: &str| DirectoryRename {
        old_name: old_name.into(),
        new_name: new_name.into(),
        id: id.into(),
    };
    let before = world.dump();
    assert_eq!(change(&mut world, "dir_rename_image", &rename("n1", "n3", "i2")), Err(Errno::ESTALE));
    assert_eq!(change(&mut world, "dir_rename_image", &rename("n9", "n3", "i1")), Err(Errno::ESTALE));
    assert_eq!(change(&mut world, "dir_rename_image", &rename("n1", "n2", "i1")), Err(Errno::EEXIST));
    assert_eq!(world.dump(), before);
    assert_eq!(change(&mut world, "dir_rename_image", &rename("n1", "n3", "i1")), Ok(()));
    assert_eq!(call(&mut world, "dir_get_name", &entry("", "i1")), Ok(entry("n3", "i1")));
    assert_eq!(list(&mut world, "", 0), (vec![entry("n2", "i2"), entry("n3", "i1")], false));
}

/// Catalogue row 204: directory_methods.
#[test]
fn a_directory_is_listed_in_pages() {
    let mut world = World::new();
    for number in 0..5 {
        let entry = entry(&format!("n{number}"), &format!("i{number}"));
        assert_eq!(change(&mut world, "dir_add_image", &entry), Ok(()));
    }
    let mut names = |after, max| {
        let (entries, more) = list(&mut world, after, max);
        (entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" "), more)
    };
    assert_eq!(names("", 2), ("n0 n1".into(), true));
    assert_eq!(names("n1", 2), ("n2 n3".into(), true));
    assert_eq!(names("n3", 2), ("n4".into(), false));
    assert_eq!(names("n2", 2), ("n3 n4".into(), false));
}

fn parent(snap_id: u64) -> ParentSpec {
    ParentSpec { pool: "rbd".into(), image_id: "p".into(), snap_id }
}

/// Catalogue row 203: add_remove_child.
#[test]
fn the_children_index_holds_each_child_once_and_no_empty_key() {
    let mut world = World::new();
    let child = |child_id: &str| ChildIndexEntry { parent: Some(parent(3)), child_id: child_id.into() };
    let children = |world: &mut World, snap_id| {
        call::<GetChildrenReply>(world, "get_children", &GetChildren { parent: Some(parent(snap_id)) })
    };
    assert_eq!(change(&mut world, "remove_child", &child("c1")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "add_child", &child("c2")), Ok(()));
    assert_eq!(change(&mut world, "add_child", &child("c1")), Ok(()));
    assert_eq!(change(&mut world, "add_child", &child("c1")), Err(Errno::EEXIST));
    assert_eq!(children(&mut world, 3), Ok(GetChildrenReply { child_ids: vec!["c1".into(), "c2".into()] }));
    assert_eq!(children(&mut world, 4), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "remove_child", &child("c9")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "remove_child", &child("c1")), Ok(()));
    assert_eq!(change(&mut world, "remove_child", &child("c2")), Ok(()));
    assert_eq!(children(&mut world, 3), Err(Errno::ENOENT));
    let list = Op::OmapList { after: Name::default(), prefix: Name::default(), max: 0 };
    assert_eq!(outputs(&world.must("o", [list])), [Output::Omap { entries: [].into(), more: false }]);
    let unnamed = ChildIndexEntry { parent: None, child_id: "c".into() };
    assert_eq!(change(&mut world, "add_child", &unnamed), Err(Errno::EINVAL));
}

/// Catalogue row 202: copyup. I4: copy-up never overwrites newer data.
#[test]
fn copyup_writes_only_a_missing_object() {
    let mut world = World::new();
    let copyup = |data: &'static str| Copyup { data: data.into() };
    assert_eq!(change(&mut world, "copyup", &copyup("parent")), Ok(()));
    let before = world.dump();
    assert_eq!(change(&mut world, "copyup", &copyup("other parent")), Ok(()));
    assert_eq!(world.dump(), before);
    assert_eq!(world.read("o", None), Some(b"parent".to_vec()));
}

/// Catalogue row 202: copyup.
#[test]
fn copyup_leaves_an_empty_object_empty() {
    let mut world = World::new();
    world.must("o", [Op::Create { exclusive: true }]);
    assert_eq!(change(&mut world, "copyup", &Copyup { data: "parent".into() }), Ok(()));
    assert_eq!(world.read("o", None), Some(vec![]));
}

/// Catalogue row 202: sparse_copyup.
#[test]
fn sparse_copyup_writes_extents_with_holes_between_them() {
    let mut world = World::new();
    let extent = |offset, data: &'static str| CopyupExtent { offset, data: data.into() };
    let input = SparseCopyup { extents: vec![extent(1, "ab"), extent(5, "c")] };
    assert_eq!(change(&mut world, "sparse_copyup", &input), Ok(()));
    assert_eq!(world.read("o", None), Some(b"\0ab\0\0c".to_vec()));
    let again = SparseCopyup { extents: vec![extent(0, "xxxxxxxxx")] };
    assert_eq!(change(&mut world, "sparse_copyup", &again), Ok(()));
    assert_eq!(world.read("o", None), Some(b"\0ab\0\0c".to_vec()));
}

/// Catalogue row 202: sparse_copyup.
#[test]
fn sparse_copyup_without_extents_creates_an_empty_object() {
    let mut world = World::new();
    assert_eq!(change(&mut world, "sparse_copyup", &SparseCopyup::default()), Ok(()));
    assert_eq!(world.read("o", None), Some(vec![]));
}

#[test]
fn a_copyup_beyond_the_limit_leaves_nothing() {
    let mut world = World::new();
    world.limits.object_bytes_max = 10;
    let before = world.dump();
    let extents =
        vec![CopyupExtent { offset: 0, data: "a".into() }, CopyupExtent { offset: 10, data: "b".into() }];
    assert_eq!(change(&mut world, "sparse_copyup", &SparseCopyup { extents }), Err(Errno::EFBIG));
    assert_eq!(world.dump(), before);
}
