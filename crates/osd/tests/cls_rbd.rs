//! Class "rbd" on header objects: the image, its snapshots, its parent and its children.

mod common;

use common::{STARTED_UNIX_MS, World, exec, write};
use errno::Errno;
use osd::Millis;
use osd::op::Op;
use prost::Message;
use proto::cls::rbd::v1::{
    Child, ChildrenList, ChildrenListReply, Create, GetFeaturesReply, GetSizeReply, GetSnapcontextReply,
    Header, Parent, ParentAttach, ParentGetReply, ParentOverlapGet, ParentOverlapGetReply, ParentSpec,
    Protection, SetProtectionStatus, SetSize, SnapshotAdd, SnapshotGet, SnapshotRemove, SnapshotRename,
};

const LAYERING: u64 = 1;
const STRIPING: u64 = 2;
const EXCLUSIVE_LOCK: u64 = 4;
const DEEP_FLATTEN: u64 = 32;
const OPERATIONS: u64 = 256;
const GIB: u64 = 1 << 30;

fn call<O: Message + Default>(world: &mut World, method: &str, input: &impl Message) -> Result<O, Errno> {
    world.call(1, "h", &format!("rbd.{method}"), input)
}

fn change(world: &mut World, method: &str, input: &impl Message) -> Result<(), Errno> {
    call(world, method, input)
}

fn creation(features: u64) -> Create {
    let object_prefix = "rbd_data.1".into();
    Create { size: GIB, order: 22, features, object_prefix, stripe_unit: 0, stripe_count: 0 }
}

fn image(features: u64) -> World {
    let mut world = World::new();
    change(&mut world, "create", &creation(features)).expect("there is no image yet");
    world
}

fn header(world: &mut World) -> Header {
    call(world, "get_header", &()).expect("the image exists")
}

fn add(world: &mut World, id: u64, name: &str) -> Result<(), Errno> {
    change(world, "snapshot_add", &SnapshotAdd { id, name: name.into(), created_unix_ms: 7 })
}

fn attach(world: &mut World, snap_id: u64, parent_size: u64) -> Result<(), Errno> {
    change(world, "parent_attach", &ParentAttach { spec: Some(spec(snap_id)), parent_size })
}

fn spec(snap_id: u64) -> ParentSpec {
    ParentSpec { pool: "rbd".into(), image_id: "10".into(), snap_id }
}

fn resize(world: &mut World, size: u64) {
    change(world, "set_size", &SetSize { size }).expect("the image exists");
}

/// Of HEAD (0) or a snapshot.
fn overlap(world: &mut World, snap_id: u64) -> Option<u64> {
    let reply: ParentOverlapGetReply =
        call(world, "parent_overlap_get", &ParentOverlapGet { snap_id }).expect("the snapshot exists");
    reply.overlap
}

fn parent(world: &mut World) -> Option<Parent> {
    call::<ParentGetReply>(world, "parent_get", &()).expect("the image exists").parent
}

#[test]
fn a_created_image_has_the_given_header() {
    let mut world = image(LAYERING | EXCLUSIVE_LOCK);
    let version = world.must("h", [Op::Stat {}]).version;
    let expected = Header {
        size: GIB,
        order: 22,
        features: LAYERING | EXCLUSIVE_LOCK,
        object_prefix: "rbd_data.1".into(),
        version,
        created_unix_ms: STARTED_UNIX_MS,
        accessed_unix_ms: STARTED_UNIX_MS,
        modified_unix_ms: STARTED_UNIX_MS,
        read_unix_ms: STARTED_UNIX_MS,
        ..Header::default()
    };
    assert_eq!(header(&mut world), expected);
    assert_eq!(call(&mut world, "get_size", &()), Ok(GetSizeReply { size: GIB, order: 22 }));
    let features = GetFeaturesReply { features: LAYERING | EXCLUSIVE_LOCK, op_features: 0 };
    assert_eq!(call(&mut world, "get_features", &()), Ok(features));
}

#[test]
fn an_image_is_created_once() {
    let mut world = image(0);
    assert_eq!(change(&mut world, "create", &creation(0)), Err(Errno::EEXIST));
}

#[test]
fn create_refuses_unknown_and_internal_features_and_bad_layouts() {
    let mut world = World::new();
    let good = creation(STRIPING);
    let cases = [
        (creation(1 << 40), Errno::ENOSYS),
        (creation(OPERATIONS), Errno::EINVAL),
        (Create { order: 11, ..good.clone() }, Errno::EINVAL),
        (Create { order: 26, ..good.clone() }, Errno::EINVAL),
        (Create { object_prefix: String::new(), ..good.clone() }, Errno::EINVAL),
        (Create { stripe_unit: 1 << 16, stripe_count: 4, ..creation(0) }, Errno::EINVAL),
        (Create { stripe_unit: 3, stripe_count: 4, ..good.clone() }, Errno::EINVAL),
        (Create { stripe_unit: 1 << 16, ..good.clone() }, Errno::EINVAL),
    ];
    for (input, errno) in cases {
        assert_eq!(change(&mut world, "create", &input), Err(errno), "{input:?}");
    }
    assert_eq!(
        change(&mut world, "create", &Create { stripe_unit: 1 << 16, stripe_count: 4, ..good }),
        Ok(())
    );
    assert_eq!((header(&mut world).stripe_unit, header(&mut world).stripe_count), (1 << 16, 4));
}

/// By the OSD's time, and each by itself.
#[test]
fn reading_and_writing_are_recorded_when_a_client_says_so() {
    let mut world = image(LAYERING);
    let times = |world: &mut World| {
        let header = header(world);
        let since = |unix_ms| unix_ms - header.created_unix_ms;
        (since(header.accessed_unix_ms), since(header.modified_unix_ms), since(header.read_unix_ms))
    };
    assert_eq!(times(&mut world), (0, 0, 0));
    world.now.0 += 1_500;
    change(&mut world, "set_access_timestamp", &()).expect("the image exists");
    world.now.0 += 1_500;
    assert_eq!(times(&mut world), (1_500, 0, 3_000));
    change(&mut world, "set_modify_timestamp", &()).expect("the image exists");
    assert_eq!(times(&mut world), (1_500, 3_000, 3_000));
}

#[test]
fn an_object_that_is_no_header_is_enoent_to_every_header_method() {
    let mut world = World::new();
    world.must("h", [write(0, b"x")]);
    for method in ["get_header", "get_size", "get_features", "get_snapcontext", "set_size", "snapshot_add"] {
        assert_eq!(change(&mut world, method, &()), Err(Errno::ENOENT), "{method}");
    }
    for method in
        ["snapshot_remove", "snapshot_get", "snapshot_rename", "set_protection_status", "parent_get"]
    {
        assert_eq!(change(&mut world, method, &()), Err(Errno::ENOENT), "{method}");
    }
    for method in ["parent_overlap_get", "parent_attach", "parent_detach", "child_attach", "children_list"] {
        assert_eq!(change(&mut world, method, &()), Err(Errno::ENOENT), "{method}");
    }
    for method in ["set_access_timestamp", "set_modify_timestamp"] {
        assert_eq!(change(&mut world, method, &()), Err(Errno::ENOENT), "{method}");
    }
}

#[test]
fn the_header_in_a_vector_that_changes_it_has_the_version_after_it() {
    let mut world = image(0);
    let ops = [exec("rbd.set_size", &SetSize { size: 5 }), exec("rbd.get_header", &())];
    let evaluated = world.must("h", ops);
    let osd::op::Output::Exec { output } = &evaluated.results[1].output else {
        panic!("not a class call's result")
    };
    let header = Header::decode(output.clone()).expect("it is one");
    assert_eq!((header.size, header.version), (5, evaluated.version));
}

/// Catalogue row 206: snapshots.
#[test]
fn snapshots_are_listed_newest_first() {
    let mut world = image(0);
    assert_eq!((add(&mut world, 2, "a"), add(&mut world, 17, "b")), (Ok(()), Ok(())));
    let context = call(&mut world, "get_snapcontext", &());
    assert_eq!(context, Ok(GetSnapcontextReply { seq: 17, snaps: vec![17, 2] }));
    let Header { snap_seq, snapshots, .. } = header(&mut world);
    let names: Vec<&str> = snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
    assert_eq!((snap_seq, names), (17, vec!["b", "a"]));
}

#[test]
fn a_snapshot_is_stamped_by_the_osd_whatever_the_client_says() {
    let mut world = image(0);
    world.now = Millis(5_000);
    add(&mut world, 2, "a").expect("the name is free");
    let Header { created_unix_ms, snapshots, .. } = header(&mut world);
    assert_eq!(created_unix_ms, STARTED_UNIX_MS);
    assert_eq!(snapshots[0].created_unix_ms, STARTED_UNIX_MS + 5_000);
}

/// Catalogue row 206: snapshots.
#[test]
fn a_snapshot_name_is_unique() {
    let mut world = image(0);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(add(&mut world, 2, "a"), Err(Errno::EEXIST));
    assert_eq!(add(&mut world, 2, ""), Err(Errno::EINVAL));
    assert_eq!(add(&mut world, 2, "b"), Ok(()));
    let rename = |name: &str| SnapshotRename { id: 2, name: name.into() };
    assert_eq!(change(&mut world, "snapshot_rename", &rename("a")), Err(Errno::EEXIST));
    assert_eq!(change(&mut world, "snapshot_rename", &rename("c")), Ok(()));
    assert_eq!(
        change(&mut world, "snapshot_rename", &SnapshotRename { id: 3, name: "d".into() }),
        Err(Errno::ENOENT)
    );
    assert_eq!(header(&mut world).snapshots[0].name, "c");
}

/// Catalogue row 206: snapid_race.
#[test]
fn a_snapshot_id_that_is_not_newer_is_stale() {
    let mut world = image(0);
    assert_eq!(add(&mut world, 20, "a"), Ok(()));
    assert_eq!(add(&mut world, 19, "b"), Err(Errno::ESTALE));
    assert_eq!(add(&mut world, 20, "b"), Err(Errno::ESTALE));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 20, to_trash: false }), Ok(()));
    assert_eq!(add(&mut world, 20, "b"), Err(Errno::ESTALE), "the sequence outlives its snapshots");
    assert_eq!(header(&mut world).snap_seq, 20);
}

/// Catalogue row 206: snapshots.
#[test]
fn a_removed_snapshot_is_gone() {
    let mut world = image(0);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
    assert_eq!(
        change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }),
        Err(Errno::ENOENT)
    );
    assert_eq!(change(&mut world, "snapshot_get", &SnapshotGet { id: 1 }), Err(Errno::ENOENT));
    assert_eq!(add(&mut world, 2, "a"), Ok(()), "the name is free again");
}

/// Catalogue row 206: snapshots.
#[test]
fn a_snapshot_keeps_the_size_it_was_taken_at() {
    let mut world = image(0);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    resize(&mut world, 5);
    assert_eq!(add(&mut world, 2, "b"), Ok(()));
    let sizes: Vec<u64> = header(&mut world).snapshots.iter().map(|snapshot| snapshot.size).collect();
    assert_eq!(sizes, [5, GIB]);
}

/// Catalogue row 207: snapshot_limits.
#[test]
fn an_image_has_at_most_as_many_snapshots_as_its_limit() {
    let mut world = image(0);
    let limit = [("snap_limit".into(), 2u64.to_le_bytes().to_vec().into())];
    world.must("h", [Op::OmapSet { entries: limit.into() }]);
    assert_eq!((add(&mut world, 1, "a"), add(&mut world, 2, "b")), (Ok(()), Ok(())));
    assert_eq!(add(&mut world, 3, "c"), Err(Errno::EDQUOT));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
    assert_eq!(add(&mut world, 3, "c"), Ok(()));
}

/// Catalogue row 207: protection_status.
#[test]
fn protection_is_set_only_with_layering_and_to_known_values() {
    let protect = |id, protection| SetProtectionStatus { id, protection, expected: None };
    let mut world = image(0);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(change(&mut world, "set_protection_status", &protect(1, 2)), Err(Errno::ENOEXEC));
    let mut world = image(LAYERING);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(change(&mut world, "set_protection_status", &protect(2, 2)), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "set_protection_status", &protect(1, 3)), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "set_protection_status", &protect(1, 2)), Ok(()));
    assert_eq!(header(&mut world).snapshots[0].protection(), Protection::Protected);
}

/// Catalogue row 207: protection_status.
#[test]
fn a_snapshot_is_removed_only_when_unprotected() {
    let mut world = image(LAYERING);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    for protection in [Protection::Protected, Protection::Unprotecting] {
        let status = SetProtectionStatus { id: 1, protection: protection.into(), expected: None };
        assert_eq!(change(&mut world, "set_protection_status", &status), Ok(()));
        assert_eq!(
            change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }),
            Err(Errno::EBUSY)
        );
    }
    let status = SetProtectionStatus { id: 1, protection: Protection::Unprotected.into(), expected: None };
    assert_eq!(change(&mut world, "set_protection_status", &status), Ok(()));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
}

/// Catalogue row 205: parents_v2.
#[test]
fn a_parent_is_attached_once_with_the_smaller_size_as_overlap() {
    let mut world = image(LAYERING);
    assert_eq!((parent(&mut world), overlap(&mut world, 0)), (None, None));
    assert_eq!(attach(&mut world, 3, 2 * GIB), Ok(()));
    assert_eq!(parent(&mut world), Some(Parent { spec: Some(spec(3)), head_overlap: Some(GIB) }));
    assert_eq!(attach(&mut world, 3, 2 * GIB), Ok(()), "the same again is fine");
    assert_eq!(attach(&mut world, 3, 5), Err(Errno::EEXIST));
    assert_eq!(attach(&mut world, 4, 2 * GIB), Err(Errno::EEXIST));
}

/// Catalogue row 205: parents_v2.
#[test]
fn parent_attach_needs_layering_and_a_whole_spec() {
    assert_eq!(attach(&mut image(0), 3, GIB), Err(Errno::ENOEXEC));
    let mut world = image(LAYERING);
    let good = spec(3);
    let bad = [
        None,
        Some(ParentSpec { pool: String::new(), ..good.clone() }),
        Some(ParentSpec { image_id: String::new(), ..good.clone() }),
        Some(ParentSpec { snap_id: 0, ..good }),
    ];
    for spec in bad {
        let input = ParentAttach { spec, parent_size: GIB };
        assert_eq!(change(&mut world, "parent_attach", &input), Err(Errno::EINVAL), "{input:?}");
    }
}

/// Catalogue rows 205 and 207: parents_v2, set_size.
#[test]
fn shrinking_shrinks_the_overlap_and_growing_does_not_restore_it() {
    let mut world = image(LAYERING);
    assert_eq!(attach(&mut world, 3, 100), Ok(()));
    let expected = [(200, 100), (100, 100), (40, 40), (300, 40), (0, 0), (300, 0)];
    for (size, head_overlap) in expected {
        resize(&mut world, size);
        assert_eq!((header(&mut world).size, overlap(&mut world, 0)), (size, Some(head_overlap)));
    }
    assert_eq!(change(&mut world, "parent_detach", &()), Ok(()), "overlap 0 detaches like any other");
    assert_eq!(parent(&mut world), None);
}

/// Catalogue row 205: parents_v2.
#[test]
fn each_snapshot_has_an_overlap_of_its_own() {
    let mut world = image(LAYERING);
    assert_eq!(attach(&mut world, 3, 100), Ok(()));
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    resize(&mut world, 30);
    assert_eq!(add(&mut world, 2, "b"), Ok(()));
    resize(&mut world, 10);
    assert_eq!([1, 2, 0].map(|id| overlap(&mut world, id)), [Some(100), Some(30), Some(10)]);
    let unknown = ParentOverlapGet { snap_id: 9 };
    assert_eq!(change(&mut world, "parent_overlap_get", &unknown), Err(Errno::ENOENT));
}

/// Catalogue row 205: parents_v2.
#[test]
fn without_deep_flatten_the_spec_stays_until_its_last_snapshot_goes() {
    let mut world = image(LAYERING);
    assert_eq!(attach(&mut world, 3, 100), Ok(()));
    assert_eq!((add(&mut world, 1, "a"), add(&mut world, 2, "b")), (Ok(()), Ok(())));
    assert_eq!(change(&mut world, "parent_detach", &()), Ok(()));
    assert_eq!(parent(&mut world), Some(Parent { spec: Some(spec(3)), head_overlap: None }));
    assert_eq!([1, 0].map(|id| overlap(&mut world, id)), [Some(100), None]);
    assert_eq!(change(&mut world, "parent_detach", &()), Err(Errno::ENOENT), "HEAD has no overlap");
    assert_eq!(add(&mut world, 3, "c"), Ok(()));
    assert_eq!(overlap(&mut world, 3), None, "taken after the flatten");
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
    assert!(parent(&mut world).is_some());
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 2, to_trash: false }), Ok(()));
    assert_eq!(parent(&mut world), None);
}

/// Catalogue row 205: parents_v2. I4: the parent is detached from HEAD and snapshots in one op.
#[test]
fn with_deep_flatten_the_snapshots_lose_the_parent_with_head() {
    let mut world = image(LAYERING | DEEP_FLATTEN);
    assert_eq!(attach(&mut world, 3, 100), Ok(()));
    assert_eq!((add(&mut world, 1, "a"), add(&mut world, 2, "b")), (Ok(()), Ok(())));
    assert_eq!(change(&mut world, "parent_detach", &()), Ok(()));
    assert_eq!(parent(&mut world), None);
    assert_eq!([1, 2, 0].map(|id| overlap(&mut world, id)), [None, None, None]);
    assert_eq!(change(&mut world, "parent_detach", &()), Err(Errno::ENOENT));
}

#[test]
fn removing_a_snapshot_keeps_the_parent_of_head() {
    let mut world = image(LAYERING);
    assert_eq!((attach(&mut world, 3, 100), add(&mut world, 1, "a")), (Ok(()), Ok(())));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
    assert_eq!(overlap(&mut world, 0), Some(100));
}

fn child(snap_id: u64, image_id: &str) -> Child {
    Child { snap_id, pool: "rbd".into(), image_id: image_id.into() }
}

/// Catalogue row 207: clone_child.
#[test]
fn children_are_attached_and_detached_once() {
    let mut world = image(LAYERING);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(change(&mut world, "child_attach", &child(9, "c1")), Err(Errno::ENOENT));
    assert_eq!(change(&mut world, "child_attach", &child(1, "")), Err(Errno::EINVAL));
    assert_eq!(change(&mut world, "child_attach", &child(1, "c2")), Ok(()));
    assert_eq!(change(&mut world, "child_attach", &child(1, "c1")), Ok(()));
    assert_eq!(change(&mut world, "child_attach", &child(1, "c1")), Err(Errno::EEXIST));
    let list = |world: &mut World| call(world, "children_list", &ChildrenList { snap_id: 1 });
    assert_eq!(list(&mut world), Ok(ChildrenListReply { children: vec![child(1, "c1"), child(1, "c2")] }));
    assert_eq!(header(&mut world).snapshots[0].child_count, 2);
    assert_eq!(change(&mut world, "child_detach", &child(1, "c2")), Ok(()));
    assert_eq!(change(&mut world, "child_detach", &child(1, "c2")), Err(Errno::ENOENT));
    assert_eq!(list(&mut world), Ok(ChildrenListReply { children: vec![child(1, "c1")] }));
    assert_eq!(change(&mut world, "children_list", &ChildrenList { snap_id: 9 }), Err(Errno::ENOENT));
}

/// Catalogue row 207: clone_parent.
#[test]
fn a_snapshot_with_children_stays() {
    let mut world = image(LAYERING);
    assert_eq!(add(&mut world, 1, "a"), Ok(()));
    assert_eq!(change(&mut world, "child_attach", &child(1, "c1")), Ok(()));
    assert_eq!(
        change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }),
        Err(Errno::EBUSY)
    );
    assert_eq!(change(&mut world, "child_detach", &child(1, "c1")), Ok(()));
    assert_eq!(change(&mut world, "snapshot_remove", &SnapshotRemove { id: 1, to_trash: false }), Ok(()));
}

/// Catalogue row 207: op_features.
#[test]
fn the_op_feature_is_set_while_any_snapshot_has_children() {
    let mut world = image(LAYERING);
    assert_eq!((add(&mut world, 1, "a"), add(&mut world, 2, "b")), (Ok(()), Ok(())));
    let steps = [
        ("child_attach", child(1, "c1"), true),
        ("child_attach", child(2, "c1"), true),
        ("child_detach", child(1, "c1"), true),
        ("child_detach", child(2, "c1"), false),
    ];
    for (method, input, is_parent) in steps {
        assert_eq!(change(&mut world, method, &input), Ok(()));
        let Header { features, op_features, .. } = header(&mut world);
        assert_eq!(
            (features & OPERATIONS != 0, op_features),
            (is_parent, u64::from(is_parent)),
            "{method} {input:?}"
        );
    }
}
