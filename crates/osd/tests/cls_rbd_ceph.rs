//! Class "rbd" in Ceph's encoding: the rules that differ from gRPC's, and what both kinds of clients store.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ceph_wire::cls::{
    ChildImageSpec, CreateImage, Features, GetFeatures, NO_POOL, ParentAttach, ParentImageSpec, SetFlags,
    SetParent, SnapshotAdd, SnapshotInfo, SnapshotNamespace,
};
use ceph_wire::{NOSNAP, Tail, Utime, Wire, from_bytes, to_bytes};
use common::{World, ceph_exec};
use errno::Errno;
use osd::PoolInfo;
use osd::op::{Op, Output, Terms, Vector};
use proto::cls::rbd::v1 as wire;
use store::PoolId;

const LAYERING: u64 = 1;
const EXCLUSIVE_LOCK: u64 = 4;
const OBJECT_MAP: u64 = 8;
const DEEP_FLATTEN: u64 = 32;
const DATA_POOL: u64 = 0x80;
const OPERATIONS: u64 = 0x100;
const MIB: u64 = 1 << 20;
/// The input of a method that has none.
const NOTHING: [u8; 0] = [];

fn call(world: &mut World, method: &str, input: &impl Wire) -> Result<Bytes, Errno> {
    world.ceph_call(1, "h", &format!("rbd.{method}"), to_bytes(input))
}

fn change(world: &mut World, method: &str, input: &impl Wire) -> Result<(), Errno> {
    call(world, method, input).map(|output| assert!(output.is_empty(), "{method} answers nothing"))
}

fn ask<O: Wire>(world: &mut World, method: &str, input: &impl Wire) -> Result<O, Errno> {
    call(world, method, input).map(|output| from_bytes(&output).expect("the method's answer"))
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn creation(features: u64, data_pool: Option<i64>) -> CreateImage {
    CreateImage {
        size: 20 * MIB,
        order: 22,
        features,
        object_prefix: text("rbd_data.1"),
        data_pool: Tail(data_pool),
    }
}

fn image(features: u64) -> World {
    let mut world = World::new();
    world.must("h", [Op::Create { exclusive: true }]);
    change(&mut world, "create", &creation(features, Some(NO_POOL))).expect("there is no image yet");
    world
}

fn snap(world: &mut World, id: u64, name: &str) -> Result<(), Errno> {
    change(world, "snapshot_add", &SnapshotAdd { name: text(name), id, namespace: Tail(None) })
}

fn spec(snap_id: u64) -> ParentImageSpec {
    ParentImageSpec { pool: 1, namespace: text(""), image_id: text("10b57a6ed13f"), snap_id }
}

fn attach(world: &mut World, spec: ParentImageSpec, overlap: u64, is_reattach: bool) -> Result<(), Errno> {
    change(world, "parent_attach", &ParentAttach { spec, overlap, is_reattach: Tail(Some(is_reattach)) })
}

fn child(image_id: &str) -> ChildImageSpec {
    ChildImageSpec { pool: 1, image_id: text(image_id), namespace: text("") }
}

fn features(world: &mut World) -> u64 {
    let input = GetFeatures { snap_id: NOSNAP, is_read_only: Tail(None) };
    ask::<Features>(world, "get_features", &input).expect("the image exists").features
}

fn op_features(world: &mut World) -> u64 {
    call(world, "op_features_get", &NOTHING)
        .map(|output| from_bytes(&output).expect("a number"))
        .expect("no rule")
}

fn stored(world: &mut World, key: &str) -> Option<Bytes> {
    let results = world.must("h", [Op::OmapGet { keys: vec![key.into()] }]).results;
    let Output::Omap { entries, .. } = &results[0].output else { panic!("not omap") };
    entries.values().next().cloned()
}

/// What gRPC's clients store is what Ceph's would: the samples were read from a real pool.
#[test]
fn an_image_of_grpc_s_clients_is_stored_as_ceph_has_it() {
    let mut world = World::new();
    let create = wire::Create {
        size: 20 * MIB,
        order: 22,
        features: LAYERING,
        object_prefix: text("rbd_data.1"),
        ..Default::default()
    };
    world.call::<_, ()>(1, "h", "rbd.create", &create).expect("there is no image yet");
    let spec = wire::ParentSpec { pool: text("rbd"), image_id: text("10b57a6ed13f"), snap_id: 7 };
    let attach = wire::ParentAttach { spec: Some(spec), parent_size: 64 * MIB };
    world.call::<_, ()>(1, "h", "rbd.parent_attach", &attach).expect("it has no parent");
    let add = wire::SnapshotAdd { id: 8, name: text("q"), created_unix_ms: 0 };
    world.call::<_, ()>(1, "h", "rbd.snapshot_add", &add).expect("the name is free");
    let cases: [(&str, &[u8]); 9] = [
        ("size", b"\0\0\x40\x01\0\0\0\0"),
        ("order", b"\x16"),
        ("features", b"\x01\x01\0\0\0\0\0\0"),
        ("op_features", b"\x02\0\0\0\0\0\0\0"),
        ("object_prefix", b"\x0a\0\0\0rbd_data.1"),
        ("snap_seq", b"\x08\0\0\0\0\0\0\0"),
        ("create_timestamp", b"\x00\xd2\x49\x6b\0\0\0\0"),
        ("parent", b"\x02\x02\x2d\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x0c\0\0\x0010b57a6ed13f\x07\0\0\0\0\0\0\0\x01\0\0\x40\x01\0\0\0\0"),
        (
            "snapshot_0000000000000008",
            b"\x08\x08\x3d\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0q\0\0\x40\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\
            \x01\x01\x04\0\0\0\0\0\0\0\x00\xd2\x49\x6b\0\0\0\0\0\0\0\0\x01\0\0\x40\x01\0\0\0\0",
        ),
    ];
    for (key, expected) in cases {
        assert_eq!(stored(&mut world, key).as_deref(), Some(expected), "{key}");
    }
}

/// Also of what is no image: it need only exist.
#[test]
fn reading_and_writing_are_recorded_when_a_client_says_so() {
    for (set, get) in
        [("set_access_timestamp", "get_access_timestamp"), ("set_modify_timestamp", "get_modify_timestamp")]
    {
        let mut world = image(LAYERING);
        let created: Utime = ask(&mut world, "get_create_timestamp", &NOTHING).expect("it has one");
        world.now.0 += 2_500;
        change(&mut world, set, &NOTHING).expect("it is there");
        let now: Utime = ask(&mut world, get, &NOTHING).expect("it has one");
        assert_eq!(now.as_millis() - created.as_millis(), 2_500, "{set}");
        let nowhere = world.ceph_call(1, "nowhere", &format!("rbd.{set}"), to_bytes(&NOTHING));
        assert_eq!(nowhere, Err(Errno::ENOENT), "{set}");
    }
}

#[test]
fn an_image_of_ceph_s_clients_is_read_by_grpc_s() {
    let mut world = image(LAYERING | EXCLUSIVE_LOCK | DEEP_FLATTEN | OBJECT_MAP);
    attach(&mut world, spec(7), 4 * MIB, false).expect("it has no parent");
    snap(&mut world, 9, "s").expect("the name is free");
    change(&mut world, "child_attach", &(9_u64, child("c"))).expect("it is none yet");
    change(&mut world, "snapshot_trash_add", &9_u64).expect("it is not protected");
    let header: wire::Header = world.call(1, "h", "rbd.get_header", &()).expect("the image exists");
    assert_eq!((header.size, header.order, header.snap_seq), (20 * MIB, 22, 9));
    let parent = header.parent.expect("it has one");
    assert_eq!(parent.head_overlap, Some(4 * MIB));
    assert_eq!(parent.spec.expect("it is named").pool, "rbd");
    let snapshot = &header.snapshots[0];
    assert_eq!((snapshot.name.as_str(), snapshot.namespace()), ("s", wire::SnapshotNamespace::Trash));
    assert_eq!((snapshot.child_count, snapshot.parent_overlap), (1, Some(4 * MIB)));
    let list: wire::ChildrenListReply =
        world.call(1, "h", "rbd.children_list", &wire::ChildrenList { snap_id: 9 }).expect("it is there");
    assert_eq!(list.children, [wire::Child { snap_id: 9, pool: text("rbd"), image_id: text("c") }]);
}

/// A gRPC client would look for it in another place.
#[test]
fn what_grpc_s_clients_cannot_reach_is_refused_and_named() {
    let mut world = image(LAYERING);
    attach(&mut world, ParentImageSpec { namespace: text("n"), ..spec(7) }, MIB, false).expect("it has none");
    assert_eq!(world.call::<_, ()>(1, "h", "rbd.get_header", &()), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(&mut world, "get_parent", &NOSNAP), Err(Errno::EXDEV));
    assert_eq!(call(&mut world, "remove_parent", &NOTHING), Err(Errno::EXDEV));
    change(&mut world, "parent_detach", &NOTHING).expect("it has one");
    attach(&mut world, ParentImageSpec { pool: 5, ..spec(7) }, MIB, false).expect("it has none");
    assert_eq!(world.call::<_, ()>(1, "h", "rbd.get_header", &()), Err(Errno::ENOENT));
    world.others.push(PoolInfo::new(PoolId(5), "five"));
    let header: wire::Header = world.call(1, "h", "rbd.get_header", &()).expect("the image exists");
    assert_eq!(header.parent.and_then(|parent| parent.spec).expect("it has one").pool, "five");
}

#[test]
fn create_knows_all_features_but_no_internal_ones_and_a_data_pool_only_with_its_feature() {
    let cases = [
        (creation(1 << 12, None), Errno::ENOSYS),
        (creation(u64::MAX, None), Errno::ENOSYS),
        (creation(OPERATIONS, None), Errno::EINVAL),
        (creation(DATA_POOL, None), Errno::EINVAL),
        (creation(0, Some(3)), Errno::EINVAL),
        (CreateImage { object_prefix: text(""), ..creation(0, None) }, Errno::EINVAL),
    ];
    for (input, errno) in cases {
        assert_eq!(change(&mut World::new(), "create", &input), Err(errno), "{input:?}");
    }
    let mut world = World::new();
    assert_eq!(change(&mut world, "create", &creation(DATA_POOL, Some(3))), Ok(()));
    assert_eq!(stored(&mut world, "data_pool_id"), Some(to_bytes(&3_i64)));
    assert_eq!(change(&mut world, "create", &creation(0, None)), Err(Errno::EEXIST));
}

#[test]
fn features_are_gained_and_lost_as_far_as_they_are_mutable() {
    let mut world = image(LAYERING | EXCLUSIVE_LOCK | DEEP_FLATTEN);
    assert_eq!(change(&mut world, "set_features", &(OBJECT_MAP, OBJECT_MAP)), Ok(()));
    assert_eq!(change(&mut world, "set_features", &(0_u64, DEEP_FLATTEN)), Ok(()));
    assert_eq!(features(&mut world), LAYERING | EXCLUSIVE_LOCK | OBJECT_MAP);
    assert_eq!(change(&mut world, "set_features", &(DEEP_FLATTEN, DEEP_FLATTEN)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_features", &(0_u64, LAYERING)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_features", &(OPERATIONS, OPERATIONS)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_features", &(1_u64 << 40, 1_u64 << 40)), Ok(()), "not known here");
    assert_eq!(features(&mut world), LAYERING | EXCLUSIVE_LOCK | OBJECT_MAP);
}

#[test]
fn the_feature_operations_is_there_while_an_op_feature_is() {
    let mut world = image(0);
    assert_eq!(change(&mut world, "op_features_set", &(2_u64, 2_u64)), Ok(()));
    assert_eq!((features(&mut world), op_features(&mut world)), (OPERATIONS, 2));
    assert_eq!(change(&mut world, "op_features_set", &(0_u64, 2_u64)), Ok(()));
    assert_eq!((features(&mut world), op_features(&mut world)), (0, 0));
    assert_eq!(stored(&mut world, "op_features"), None);
    assert_eq!(change(&mut world, "op_features_set", &(0x20_u64, 0x20_u64)), Err(Errno::EINVAL));
}

#[test]
fn flags_belong_to_head_or_to_a_snapshot_which_begins_with_head_s() {
    let mut world = image(0);
    let set = |flags, mask, snap_id| SetFlags { flags, mask, snap_id: Tail(snap_id) };
    assert_eq!(change(&mut world, "set_flags", &set(3, 1, None)), Ok(()));
    snap(&mut world, 4, "s").expect("the name is free");
    assert_eq!(change(&mut world, "set_flags", &set(2, 3, Some(4))), Ok(()));
    assert_eq!(ask(&mut world, "get_flags", &NOSNAP), Ok(1_u64));
    assert_eq!(ask(&mut world, "get_flags", &4_u64), Ok(2_u64));
    assert_eq!(ask::<u64>(&mut world, "get_flags", &5_u64), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "set_flags", &set(2, 3, Some(5))), Err(Errno::ENOENT));
}

/// gRPC's clients may not use the newest id again, Ceph's may.
#[test]
fn a_snapshot_id_below_the_newest_is_stale_and_one_that_is_taken_exists() {
    let mut world = image(0);
    assert_eq!(snap(&mut world, 7, "a"), Ok(()));
    assert_eq!(snap(&mut world, 6, "b"), Err(Errno::ESTALE));
    assert_eq!(snap(&mut world, 7, "b"), Err(Errno::EEXIST));
    assert_eq!(snap(&mut world, 8, "a"), Err(Errno::EEXIST));
    assert_eq!(snap(&mut world, NOSNAP, "b"), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "snapshot_remove", &7_u64), Ok(()));
    assert_eq!(snap(&mut world, 7, "b"), Ok(()));
    let trash = SnapshotNamespace::Trash { original_name: text("x"), original_kind: 0 };
    let of_trash = SnapshotAdd { name: text("b"), id: 9, namespace: Tail(Some(trash)) };
    assert_eq!(change(&mut world, "snapshot_add", &of_trash), Ok(()), "another namespace");
    assert_eq!(op_features(&mut world), 8);
    assert_eq!(ask(&mut world, "get_snapcontext", &NOTHING), Ok((9_u64, vec![9_u64, 7])));
}

#[test]
fn a_snapshot_with_children_or_protection_is_busy_and_in_the_trash_has_another_name() {
    let mut world = image(LAYERING);
    snap(&mut world, 4, "s").expect("the name is free");
    assert_eq!(change(&mut world, "set_protection_status", &(4_u64, 3_u8)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_protection_status", &(NOSNAP, 2_u8)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_protection_status", &(4_u64, 2_u8)), Ok(()));
    assert_eq!(ask(&mut world, "get_protection_status", &4_u64), Ok(2_u8));
    assert_eq!(change(&mut world, "snapshot_remove", &4_u64), Err(Errno::EBUSY));
    assert_eq!(change(&mut world, "snapshot_trash_add", &4_u64), Err(Errno::EBUSY));
    assert_eq!(change(&mut world, "set_protection_status", &(4_u64, 0_u8)), Ok(()));
    assert_eq!(change(&mut world, "child_attach", &(4_u64, child("c"))), Ok(()));
    assert_eq!(change(&mut world, "snapshot_remove", &4_u64), Err(Errno::EBUSY));
    assert_eq!(change(&mut world, "snapshot_trash_add", &4_u64), Ok(()));
    assert_eq!(change(&mut world, "snapshot_trash_add", &4_u64), Err(Errno::EEXIST));
    let info: SnapshotInfo = ask(&mut world, "snapshot_get", &4_u64).expect("it is there");
    assert_eq!(info.namespace, SnapshotNamespace::Trash { original_name: text("s"), original_kind: 0 });
    assert_eq!((info.name.len(), info.child_count), (36, 1));
    assert_eq!(change(&mut world, "snapshot_rename", &(4_u64, text("t"))), Err(Errno::EINVAL));
    assert_eq!(snap(&mut world, 5, "s"), Ok(()), "the name is free");
    assert_eq!(change(&mut world, "snapshot_rename", &(5_u64, text("s"))), Err(Errno::EEXIST));
}

/// Ceph's clients remove a snapshot of the trash themselves when its last child goes.
#[test]
fn the_last_child_leaves_a_snapshot_of_the_trash_to_ceph_s_client() {
    let mut world = image(LAYERING);
    snap(&mut world, 4, "s").expect("the name is free");
    change(&mut world, "child_attach", &(4_u64, child("b"))).expect("it is none yet");
    change(&mut world, "child_attach", &(4_u64, child("a"))).expect("it is none yet");
    assert_eq!(change(&mut world, "child_attach", &(4_u64, child("a"))), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "child_attach", &(5_u64, child("a"))), Err(Errno::ENOENT));
    let children = BTreeSet::from([child("a"), child("b")]);
    assert_eq!(ask(&mut world, "children_list", &4_u64), Ok(children.clone()));
    assert_eq!(stored(&mut world, "snap_children_0000000000000004"), Some(to_bytes(&children)));
    change(&mut world, "snapshot_trash_add", &4_u64).expect("it is not protected");
    assert_eq!(op_features(&mut world), 9);
    assert_eq!(change(&mut world, "child_attach", &(4_u64, child("c"))), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "child_detach", &(4_u64, child("a"))), Ok(()));
    assert_eq!(change(&mut world, "child_detach", &(4_u64, child("a"))), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "child_detach", &(4_u64, child("b"))), Ok(()));
    assert_eq!(ask::<BTreeSet<ChildImageSpec>>(&mut world, "children_list", &4_u64), Err(Errno::ENOENT));
    assert_eq!(op_features(&mut world), 8);
    assert_eq!(change(&mut world, "snapshot_remove", &4_u64), Ok(()));
    assert_eq!((op_features(&mut world), stored(&mut world, "reclaim_0000000000000004")), (0, None));
}

#[test]
fn a_parent_is_attached_once_and_again_only_on_purpose() {
    let mut world = image(LAYERING);
    assert_eq!(ask(&mut world, "parent_get", &NOTHING), Ok(ParentImageSpec::none()));
    for bad in [
        spec(NOSNAP),
        ParentImageSpec { pool: -1, ..spec(7) },
        ParentImageSpec { image_id: text(""), ..spec(7) },
    ] {
        assert_eq!(attach(&mut world, bad, MIB, false), Err(Errno::EINVAL));
    }
    assert_eq!(attach(&mut world, spec(7), 0, false), Err(Errno::EINVAL));
    assert_eq!(attach(&mut world, spec(7), 99 * MIB, false), Ok(()));
    assert_eq!(ask(&mut world, "parent_overlap_get", &NOSNAP), Ok(Some(20 * MIB)), "its own size");
    assert_eq!(attach(&mut world, spec(7), 99 * MIB, false), Err(Errno::EEXIST));
    assert_eq!(attach(&mut world, spec(8), MIB, true), Ok(()));
    assert_eq!(ask(&mut world, "parent_get", &NOTHING), Ok(spec(8)));
    assert_eq!(attach(&mut image(0), spec(7), MIB, false), Err(Errno::ENOEXEC));
}

#[test]
fn without_deep_flatten_a_snapshot_keeps_the_parent_until_it_goes() {
    let mut world = image(LAYERING);
    attach(&mut world, spec(7), MIB, false).expect("it has none");
    change(&mut world, "op_features_set", &(2_u64, 2_u64)).expect("it is known");
    snap(&mut world, 9, "s").expect("the name is free");
    assert_eq!(change(&mut world, "parent_detach", &NOTHING), Ok(()));
    assert_eq!(change(&mut world, "parent_detach", &NOTHING), Err(Errno::ENOENT));
    assert_eq!(ask(&mut world, "parent_overlap_get", &NOSNAP), Ok(None::<u64>));
    assert_eq!(ask(&mut world, "parent_overlap_get", &9_u64), Ok(Some(MIB)));
    assert_eq!((ask(&mut world, "parent_get", &NOTHING), op_features(&mut world)), (Ok(spec(7)), 2));
    assert_eq!(change(&mut world, "snapshot_remove", &9_u64), Ok(()));
    assert_eq!(ask(&mut world, "parent_get", &NOTHING), Ok(ParentImageSpec::none()));
    assert_eq!(op_features(&mut world), 0);
}

/// Ceph: TestClsRbd.parents_v1.
#[test]
fn clients_before_nautilus_know_a_parent_without_namespaces() {
    let mut world = image(LAYERING);
    let none = SetParent { pool: NO_POOL, image_id: text(""), snap_id: NOSNAP, overlap: 0 };
    let some = SetParent { pool: 1, image_id: text("p"), snap_id: 3, overlap: MIB };
    assert_eq!(ask(&mut world, "get_parent", &NOSNAP), Ok(none.clone()));
    assert_eq!(change(&mut world, "set_parent", &some), Ok(()));
    assert_eq!(change(&mut world, "set_parent", &some), Err(Errno::EEXIST));
    assert_eq!(ask(&mut world, "get_parent", &NOSNAP), Ok(some.clone()));
    assert_eq!(
        ask(&mut world, "get_parent", &99_u64),
        Ok(none.clone()),
        "a snapshot that is not there has none"
    );
    assert_eq!(change(&mut world, "remove_parent", &NOTHING), Ok(()));
    assert_eq!(change(&mut world, "remove_parent", &NOTHING), Err(Errno::ENOENT));
    assert_eq!(ask(&mut world, "get_parent", &NOSNAP), Ok(none));
    assert_eq!(change(&mut image(0), "set_parent", &some), Err(Errno::ENOEXEC));
}

#[test]
fn the_directory_says_which_of_name_and_id_is_the_matter() {
    let mut world = World::new();
    let pair = |name: &str, id: &str| (text(name), text(id));
    assert_eq!(change(&mut world, "dir_add_image", &pair("a", "1")), Ok(()));
    for (name, id, errno) in [("", "2", Errno::EINVAL), ("b", "", Errno::EINVAL), ("b", "2/", Errno::EINVAL)]
    {
        assert_eq!(change(&mut world, "dir_add_image", &pair(name, id)), Err(errno));
    }
    assert_eq!(change(&mut world, "dir_add_image", &pair("a", "2")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "dir_add_image", &pair("b", "1")), Err(Errno::EBADF));
    assert_eq!(change(&mut world, "dir_add_image", &pair("b", "2")), Ok(()));
    assert_eq!(
        (stored(&mut world, "name_a"), stored(&mut world, "id_1")),
        (Some(to_bytes(&text("1"))), Some(to_bytes(&text("a"))))
    );
    assert_eq!(change(&mut world, "dir_remove_image", &pair("a", "3")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "dir_remove_image", &pair("a", "2")), Err(Errno::ESTALE));
    let rename = |from: &str, to: &str, id: &str| (text(from), text(to), text(id));
    assert_eq!(change(&mut world, "dir_rename_image", &rename("a", "b", "1")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "dir_rename_image", &rename("a", "a", "1")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "dir_rename_image", &rename("a", "c", "1")), Ok(()));
    let page = |after: &str, max: u64| (text(after), max);
    assert_eq!(ask(&mut world, "dir_list", &page("", 1)), Ok(BTreeMap::from([pair("b", "2")])));
    assert_eq!(ask(&mut world, "dir_list", &page("b", 9)), Ok(BTreeMap::from([pair("c", "1")])));
    assert_eq!(ask(&mut world, "dir_get_id", &text("c")), Ok(text("1")));
    assert_eq!(ask::<String>(&mut world, "dir_get_name", &text("9")), Err(Errno::ENOENT));
}

/// What the methods of a vector see is what was there before it.
#[test]
fn names_are_compared_with_the_directory_as_it_was_before_the_vector() {
    let mut world = World::new();
    let add = |name: &str, id: &str| ceph_exec("rbd.dir_add_image", to_bytes(&(text(name), text(id))));
    let both = [add("a", "1"), add("a", "2")];
    let of_grpc = world.vector("h", both.clone());
    assert_eq!(world.run(1, &of_grpc).map(drop).map_err(|error| error.errno), Err(Errno::EEXIST));
    let of_ceph = Vector { terms: Terms::ceph(), ..world.vector("h", both) };
    world.run(1, &of_ceph).expect("neither sees the other");
    assert_eq!(ask(&mut world, "dir_get_id", &text("a")), Ok(text("2")), "the last one wins");
}

/// Clone v1: the key is the parent in binary.
#[test]
fn the_index_of_children_is_one_for_both_kinds_of_clients() {
    let mut world = World::new();
    let parent = (1_u64, text("p"), 3_u64);
    assert_eq!(change(&mut world, "add_child", &(1_u64, text("p"), 3_u64, text("c"))), Ok(()));
    assert_eq!(change(&mut world, "add_child", &(1_u64, text("p"), 3_u64, text("c"))), Err(Errno::EEXIST));
    let spec = wire::ParentSpec { pool: text("rbd"), image_id: text("p"), snap_id: 3 };
    let entry = wire::ChildIndexEntry { parent: Some(spec.clone()), child_id: text("b") };
    assert_eq!(world.call(1, "h", "rbd.add_child", &entry), Ok(()));
    assert_eq!(ask(&mut world, "get_children", &parent), Ok(vec![text("b"), text("c")]));
    let get = wire::GetChildren { parent: Some(spec) };
    let reply = wire::GetChildrenReply { child_ids: vec![text("b"), text("c")] };
    assert_eq!(world.call(1, "h", "rbd.get_children", &get), Ok(reply));
    let keys = world.must("h", [Op::OmapList { after: "".into(), prefix: "".into(), max: 0 }]).results;
    let Output::Omap { entries, .. } = &keys[0].output else { panic!("not omap") };
    assert_eq!(entries.keys().next().map(|key| key.to_vec()), Some(to_bytes(&parent).to_vec()));
    for child in ["b", "c"] {
        assert_eq!(change(&mut world, "remove_child", &(1_u64, text("p"), 3_u64, text(child))), Ok(()));
    }
    assert_eq!(ask::<Vec<String>>(&mut world, "get_children", &parent), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "remove_child", &(1_u64, text("p"), 3_u64, text("b"))), Err(Errno::ENOENT));
}
