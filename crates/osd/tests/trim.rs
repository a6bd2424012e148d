//! Giving up a snapshot that many objects preserve: in pieces, with other calls in between.

mod whole;

use errno::Errno;
use osd::op::{Op, SnapContext, Terms, Vector};
use osd::{Kind, OBJECTS_PER_STEP_MAX, Request};
use store::Name;
use whole::{World, errno, write};

const OBJECTS: usize = 2 * OBJECTS_PER_STEP_MAX + 1;

fn vector(object: String, snap_id: Option<u64>, snaps: &[u64], op: Op) -> Vector {
    let snap_context = SnapContext { seq: snaps.first().copied().unwrap_or(0), snaps: snaps.to_vec() };
    Vector {
        pool: "rbd".to_owned(),
        namespace: Name::default(),
        object: object.into(),
        snap_id,
        snap_context,
        terms: Terms::default(),
        ops: vec![op],
    }
}

/// Objects with one clone each, for one snapshot.
fn preserved() -> (World, u64) {
    let mut world = World::new();
    let gid = world.connect();
    let (allocated, _) = world.osd.allocate_snap_id(world.now, "rbd", 0, 0);
    let snap_id = allocated.expect("the pool exists");
    let mut tid = 0;
    for snaps in [&[][..], &[snap_id]] {
        for number in 0..OBJECTS {
            tid += 1;
            let vector = vector(format!("object {number}"), None, snaps, write("data"));
            let (reply, _) = world.osd.operate(world.now, &Request { gid, tid, watermark: tid, vector });
            reply.as_ref().as_ref().expect("it is written");
        }
    }
    (world, snap_id)
}

fn bytes(world: &World) -> u64 {
    world.osd.pools()[0].totals.bytes
}

#[test]
fn a_snapshot_of_many_objects_is_given_up_in_bounded_pieces() {
    let (mut world, snap_id) = preserved();
    let of_heads = OBJECTS as u64 * 4;
    assert_eq!(bytes(&world), 2 * of_heads);
    let removed = world.osd.remove_snap_id(world.now, "rbd", snap_id, 0);
    world.keep(removed).expect("it was allocated");
    let left = |trimmed: usize| of_heads + (OBJECTS - trimmed) as u64 * 4;
    assert_eq!(bytes(&world), left(OBJECTS_PER_STEP_MAX));
    assert!(world.osd.has_work());
    for trimmed in [2 * OBJECTS_PER_STEP_MAX, OBJECTS] {
        assert_eq!(world.count(Kind::SnapTrimmed), 0);
        let effects = world.osd.work(world.now);
        world.effects.extend(effects);
        assert_eq!(bytes(&world), left(trimmed));
    }
    assert!(!world.osd.has_work());
    let events = world.osd.events_after(0, usize::MAX);
    let told = events.iter().find(|event| event.kind == Kind::SnapTrimmed).expect("it has ended");
    assert_eq!(told.detail, format!("snap id {snap_id}, {OBJECTS} objects"));
}

#[test]
fn a_snapshot_is_unreadable_from_the_first_step_of_its_removal_on() {
    let (mut world, snap_id) = preserved();
    let removed = world.osd.remove_snap_id(world.now, "rbd", snap_id, 0);
    world.keep(removed).expect("it was allocated");
    assert!(world.osd.has_work());
    for number in 0..OBJECTS {
        let vector = vector(format!("object {number}"), Some(snap_id), &[], Op::Stat {});
        let (reply, _) = world.osd.operate(world.now, &Request { gid: 0, tid: 0, watermark: 0, vector });
        assert_eq!(reply.as_ref().as_ref().expect_err("it was given up").error.errno, Errno::ESTALE);
    }
    let again = world.osd.remove_snap_id(world.now, "rbd", snap_id, 0);
    world.keep(again).expect("an id that was given up is fine");
    let never = world.osd.remove_snap_id(world.now, "rbd", snap_id + 1, 0).0;
    assert_eq!(errno(never), Errno::EINVAL);
}

/// A late writer, under a context that still has the removed snapshot, must not preserve anything for it.
#[test]
fn what_is_written_while_a_snapshot_is_trimmed_preserves_nothing_for_it() {
    let (mut world, snap_id) = preserved();
    let removed = world.osd.remove_snap_id(world.now, "rbd", snap_id, 0);
    world.keep(removed).expect("it was allocated");
    let gid = world.connect();
    let vector = vector("new".to_owned(), None, &[snap_id], write("data"));
    for tid in 1..=2 {
        let request = Request { gid, tid, watermark: 0, vector: vector.clone() };
        world.osd.operate(world.now, &request).0.as_ref().as_ref().expect("it is written");
    }
    while world.osd.has_work() {
        let effects = world.osd.work(world.now);
        world.effects.extend(effects);
    }
    assert_eq!(bytes(&world), (OBJECTS as u64 + 1) * 4);
}
