//! The rules of whole vectors that Ceph's clients rely on, each beside what our own clients get.

mod common;

use bytes::Bytes;
use common::{World, bytes, compare_xattr, exec, outputs, write};
use errno::Errno;
use osd::op::{Checksum, Dialect, Door, Op, Output, SnapContext, Terms, Vector};
use proto::cls::lock::v1::{Lock, LockType};
use proto::cls::rbd::v1::ImageId;

fn ceph() -> World {
    World { terms: Terms::ceph(), ..World::new() }
}

fn set_xattr(name: &str, value: &'static [u8]) -> Op {
    Op::SetXattr { name: name.into(), value: Bytes::from_static(value) }
}

fn omap_set(key: &str, value: &'static [u8]) -> Op {
    Op::OmapSet { entries: [(key.into(), Bytes::from_static(value))].into() }
}

fn omap_compare(key: &str, value: &'static [u8]) -> Op {
    Op::OmapCompare { key: key.into(), value: Some(Bytes::from_static(value)) }
}

fn read() -> Op {
    Op::Read { offset: 0, length: 0 }
}

fn set_id(id: &str) -> Op {
    exec("rbd.set_id", &ImageId { id: id.into() })
}

fn lock(cookie: &str) -> Op {
    let (name, cookie) = ("l".to_owned(), cookie.to_owned());
    exec("lock.lock", &Lock { name, cookie, r#type: LockType::Exclusive.into(), ..Lock::default() })
}

#[test]
fn guards_see_the_committed_object_at_ceph_s_door_and_the_vector_so_far_at_ours() {
    let changes_then_guards = |guards: [Op; 2]| {
        let [first, second] = guards;
        [set_xattr("x", b"new"), omap_set("k", b"new"), first, second]
    };
    for (door, value) in [(Door::Grpc, b"new"), (Door::Ceph, b"old")] {
        let mut world = World::new();
        world.must("a", [set_xattr("x", b"old"), omap_set("k", b"old")]);
        world.terms.door = door;
        let other: &[u8; 3] = if value == b"new" { b"old" } else { b"new" };
        let refused = changes_then_guards([compare_xattr("x", value), omap_compare("k", other)]);
        assert_eq!(world.errno("a", refused), Errno::ECANCELED, "{door:?}");
        world.must("a", changes_then_guards([compare_xattr("x", value), omap_compare("k", value)]));
    }
}

#[test]
fn data_is_read_as_it_was_before_the_vector_at_ceph_s_door() {
    let read_after_write = [write(0, b"new"), read()];
    for (door, seen) in [(Door::Grpc, b"new"), (Door::Ceph, b"old")] {
        let mut world = World::new();
        world.must("a", [write(0, b"old")]);
        world.terms = Terms { door, returns: true, ..Terms::default() };
        let evaluated = world.must("a", read_after_write.clone());
        assert_eq!(bytes(&evaluated.results[1].output), seen, "{door:?}");
    }
}

#[test]
fn existence_and_size_are_live_for_a_class_method() {
    let mut world = ceph();
    world.must("a", [Op::Create { exclusive: true }, set_id("1")]);
    assert_eq!(world.errno("b", [set_id("1"), set_id("2")]), Errno::EEXIST);
}

#[test]
fn a_class_method_does_not_see_data_that_the_vector_wrote() {
    let mut world = ceph();
    let stored = exec("rbd.get_id", &());
    let mut own = World::new();
    own.must("a", [set_id("1"), stored.clone()]);
    assert_eq!(world.errno("a", [set_id("1"), stored]), Errno::ENOENT);
}

#[test]
fn two_locks_in_one_vector_do_not_see_each_other_at_ceph_s_door() {
    let both = [lock("1"), lock("2")];
    assert_eq!(World::new().errno("a", both.clone()), Errno::EBUSY);
    ceph().must("a", both);
}

#[test]
fn a_vector_that_only_reads_a_missing_object_runs_no_op() {
    let mut world = ceph();
    let vector = world.vector("a", [compare_xattr("x", b""), Op::Stat {}]);
    let refused = world.reply(1, &vector).expect_err("there is no object");
    assert_eq!((refused.number(), refused.error.failed_op), (-2, None));
    assert_eq!(refused.results, []);
}

#[test]
fn an_unknown_class_or_method_is_found_before_anything_runs() {
    let unknown = |class: &str| {
        let (class, method) = (class.to_owned(), "none".to_owned());
        Op::Exec { class, method, dialect: Dialect::Ceph, input: Bytes::new() }
    };
    for (class, errno) in [("none", Errno::EPERM), ("lock", Errno::EOPNOTSUPP)] {
        let mut world = ceph();
        let vector = world.vector("a", [Op::AssertExists {}, write(0, b"x"), unknown(class)]);
        let refused = world.reply(1, &vector).expect_err("there is no such thing");
        assert_eq!((refused.error.errno, refused.results), (errno, vec![]), "{class}");
        let refused = World::new().reply(1, &Vector { terms: Terms::default(), ..vector });
        let error = refused.expect_err("there is no object").error;
        assert_eq!((error.errno, error.failed_op), (Errno::ENOENT, Some(0)), "{class}");
    }
}

#[test]
fn a_vector_that_failed_tells_what_its_ops_came_to() {
    let mut world = ceph();
    world.must("a", [write(0, b"data"), set_xattr("x", b"1")]);
    let ops = [read(), compare_xattr("x", b"1"), compare_xattr("x", b"2"), write(0, b"lost")];
    let vector = world.vector("a", ops);
    let refused = world.reply(1, &vector).expect_err("the second comparison fails");
    assert_eq!(refused.number(), Errno::ECANCELED.result());
    assert_eq!(refused.results.iter().map(|result| result.number).collect::<Vec<_>>(), [0, 1, -125]);
    assert_eq!(bytes(&refused.results[0].output), b"data");
    assert_eq!(world.read("a", None), Some(b"data".to_vec()));
}

#[test]
fn an_op_that_may_fail_fails_alone_and_leaves_nothing() {
    let mut world = ceph();
    world.limits.entries_per_object_max = 3;
    world.terms.may_fail = [1, 2].into();
    let three = ["1", "2", "3"].map(|key| (key.into(), Bytes::from_static(b"v")));
    let too_many = Op::OmapSet { entries: three.into() };
    let ops = [set_xattr("x", b"1"), too_many, Op::Create { exclusive: true }, write(0, b"data")];
    let evaluated = world.must("a", ops);
    assert_eq!(evaluated.number, 0);
    assert_eq!(world.read("a", None), Some(b"data".to_vec()));
    world.terms = Terms::default();
    let listed = world.must("a", [Op::OmapList { after: "".into(), prefix: "".into(), max: 0 }]);
    assert_eq!(outputs(&listed), [Output::Omap { entries: [].into(), more: false }]);
}

#[test]
fn the_error_of_an_op_that_may_fail_is_its_result() {
    let mut world = ceph();
    world.must("a", [write(0, b"data")]);
    world.terms.may_fail = [0].into();
    let evaluated = world.must("a", [compare_xattr("x", b"1"), read()]);
    assert_eq!(evaluated.results[0].number, Errno::ECANCELED.result());
    assert_eq!(bytes(&evaluated.results[1].output), b"data");
}

#[test]
fn a_vector_that_has_changed_something_answers_nothing_unless_it_is_asked_to() {
    let ops = [read(), compare_xattr("x", b"1"), write(0, b"data")];
    let numbers = |world: &mut World| {
        let evaluated = world.must("a", ops.clone());
        evaluated
            .results
            .iter()
            .map(|result| (result.number, result.output != Output::Done))
            .collect::<Vec<_>>()
    };
    let mut world = ceph();
    world.must("a", [write(0, b"data"), set_xattr("x", b"1")]);
    assert_eq!(numbers(&mut world), [(0, false), (0, false), (0, false)]);
    world.terms.returns = true;
    assert_eq!(numbers(&mut world), [(0, true), (1, false), (0, false)]);
    world.terms = Terms::default();
    assert_eq!(numbers(&mut world), [(0, true), (1, false), (0, false)]);
}

#[test]
fn what_a_vector_that_changes_something_returns_is_short() {
    let mut world = ceph();
    world.must("a", [write(0, &[7; 65])]);
    world.terms.returns = true;
    let read = |length| [Op::Read { offset: 0, length }, write(0, b"data")];
    assert_eq!(world.errno("a", read(65)), Errno::EOVERFLOW);
    world.must("a", read(64));
    assert_eq!(world.errno("a", read(0)), Errno::EOVERFLOW);
}

#[test]
fn the_result_of_a_vector_that_reads_is_its_last_op_s_if_positive() {
    let mut world = ceph();
    world.must("a", [set_xattr("x", b"1")]);
    assert_eq!(world.must("a", [read(), compare_xattr("x", b"1")]).number, 1);
    assert_eq!(world.must("a", [compare_xattr("x", b"1"), read()]).number, 0);
    let evaluated = world.must("a", [compare_xattr("x", b"1"), Op::Stat {}, Op::AssertExists {}]);
    assert_eq!(evaluated.number, 1, "these leave the number as it was");
    assert_eq!(evaluated.results[1].number, 1);
}

#[test]
fn a_removed_snapshot_is_stale_to_our_clients_and_absent_to_ceph_s() {
    let mut world = World::new();
    let removed = world.snap();
    let kept = world.snap();
    world.must("a", [write(0, b"one")]);
    world.remove_snap(removed);
    let errno = |world: &mut World, snap_id, door| {
        let terms = Terms { door, ..Terms::default() };
        let vector = Vector { snap_id: Some(snap_id), terms, ..world.vector("a", [Op::Stat {}]) };
        world.run(1, &vector).expect_err("there is nothing to see").errno
    };
    assert_eq!(errno(&mut world, removed, Door::Grpc), Errno::ESTALE);
    assert_eq!(errno(&mut world, removed, Door::Ceph), Errno::ENOENT);
    assert_eq!(errno(&mut world, kept, Door::Ceph), Errno::ENOENT, "the object was made later");
    assert_eq!(errno(&mut world, 99, Door::Grpc), Errno::EINVAL);
}

#[test]
fn a_snapshot_that_was_never_allocated_is_head_to_ceph_s_clients() {
    let mut world = ceph();
    world.must("a", [write(0, b"one")]);
    assert_eq!(world.read("a", Some(99)), Some(b"one".to_vec()));
}

#[test]
fn an_ordered_write_under_an_older_snap_context_is_refused() {
    let mut world = ceph();
    world.snap();
    world.snap();
    world.must("a", [write(0, b"one")]);
    let older = SnapContext { seq: 1, snaps: vec![1] };
    let vector = Vector { snap_context: older, ..world.vector("a", [write(0, b"two")]) };
    world.run(1, &vector).expect("without the flag the object's context counts");
    let terms = Terms { is_snap_ordered: true, ..Terms::ceph() };
    let ordered = Vector { terms: terms.clone(), ..vector };
    assert_eq!(world.run(1, &ordered).expect_err("it is older").errno.result(), -85);
    let current = world.context.clone();
    world.run(1, &Vector { snap_context: current, ..ordered }).expect("it is not older");
    let reads = Vector { snap_context: SnapContext::default(), terms, ..world.vector("a", [Op::Stat {}]) };
    world.run(1, &reads).expect("a read has no context");
}

#[test]
fn a_write_stamps_the_object_with_its_client_s_time() {
    let mut world = ceph();
    world.terms.mtime_unix_ns = Some(1_234_567_890);
    world.must("a", [write(0, b"one")]);
    let [Output::Stat { mtime_unix_ns, .. }] = outputs(&world.must("a", [Op::Stat {}]))[..] else {
        panic!("not a stat's result")
    };
    assert_eq!(mtime_unix_ns, 1_234_567_890);
}

#[test]
fn names_are_as_long_as_rados_lets_them_be() {
    let mut world = ceph();
    let stat = |world: &mut World, object: usize, namespace: usize| {
        let namespace = vec![b'n'; namespace].as_slice().into();
        let vector = Vector { namespace, ..world.vector(&"o".repeat(object), [write(0, b"x")]) };
        world.run(1, &vector).map(drop).map_err(|error| error.errno)
    };
    assert_eq!(stat(&mut world, 2048, 256), Ok(()));
    assert_eq!(stat(&mut world, 2049, 0), Err(Errno::ENAMETOOLONG));
    assert_eq!(stat(&mut world, 1, 257), Err(Errno::ENAMETOOLONG));
    let xattr = |length: usize| [set_xattr(&"x".repeat(length), b"1")];
    assert_eq!(world.errno("a", xattr(101)), Errno::ENAMETOOLONG);
    world.must("a", xattr(100));
    assert_eq!(World::new().errno(&"o".repeat(257), [Op::Stat {}]), Errno::ENAMETOOLONG);
    World::new().must("a", xattr(256));
}

#[test]
fn a_vector_that_only_reads_has_as_many_ops_as_a_message() {
    let mut world = ceph();
    world.must("a", [write(0, b"x")]);
    let many = |op: Op, count: usize| vec![op; count];
    world.must("a", many(Op::Stat {}, usize::from(u16::MAX)));
    let over = world.limits.ops_per_vector_max as usize + 1;
    assert_eq!(
        world.errno("a", many(write(0, b"x"), over)),
        Errno::E2BIG,
        "what is kept of a change is bounded"
    );
}

#[test]
fn ops_carry_what_rados_takes_and_results_a_whole_object() {
    let mut world = ceph();
    let piece = vec![7; 45 << 20];
    let full = |at: u64| Op::Write { offset: at << 20, data: piece.clone().into() };
    world.must("a", [full(0), full(45)]);
    assert_eq!(world.errno("a", [full(0), full(0), write(0, b"x")]), Errno::EMSGSIZE);
    world.must("a", [Op::Read { offset: 0, length: 90 << 20 }, Op::Read { offset: 0, length: 38 << 20 }]);
    let too_much = [Op::Read { offset: 0, length: 90 << 20 }, Op::Read { offset: 0, length: 39 << 20 }];
    assert_eq!(world.errno("a", too_much), Errno::E2BIG);
    let sum = |length: u64| Op::Checksum { kind: Checksum::Crc32c(0), offset: 0, length, chunk: 0 };
    world.must("a", [sum(90 << 20), sum(37 << 20)]);
    assert_eq!(world.errno("a", [sum(90 << 20), sum(39 << 20)]), Errno::E2BIG, "summing up is work too");
}
