//! What is stored has limits; who meets one is told its name, and nothing of his vector happens.

mod common;

use bytes::Bytes;
use common::{World, exec, write};
use errno::Errno;
use osd::Limits;
use osd::op::{Op, SnapContext, Vector};
use proto::cls::lock::v1::{Lock, LockType};

fn world(limits: Limits) -> World {
    World { limits, ..World::new() }
}

fn refused(world: &mut World, object: &str, op: Op, errno: Errno, limit: &str) {
    let before = world.dump();
    let error = world.ops(object, [op]).expect_err("it is too much");
    assert_eq!(error.errno, errno, "{error}");
    assert!(error.text.contains(limit), "{error}");
    assert_eq!(world.dump(), before);
}

fn key(name: &str, value: &str) -> Op {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Op::OmapSet { entries: [(name.into(), value)].into_iter().collect() }
}

#[test]
fn a_pool_has_a_number_of_objects_and_of_bytes() {
    let mut world = world(Limits { objects_per_pool_max: 2, bytes_per_pool_max: 100, ..Limits::default() });
    world.must("a", [write(0, &[1; 60])]);
    world.must("b", [Op::Create { exclusive: true }]);
    refused(&mut world, "c", Op::Create { exclusive: true }, Errno::EDQUOT, "objects_per_pool_max = 2");
    refused(&mut world, "b", write(0, &[1; 41]), Errno::EDQUOT, "bytes_per_pool_max = 100");
    world.must("b", [write(0, &[1; 40])]);
    world.must("a", [Op::Remove {}]);
    world.must("c", [write(0, &[1; 60])]);
}

#[test]
fn an_object_has_a_number_of_xattrs_and_keys_and_of_their_bytes() {
    let mut world =
        world(Limits { entries_per_object_max: 2, entry_bytes_per_object_max: 20, ..Limits::default() });
    let xattr = |value: &'static [u8]| Op::SetXattr { name: "x".into(), value: Bytes::from_static(value) };
    world.must("a", [xattr(b"12345"), key("k", "1")]);
    refused(&mut world, "a", key("l", ""), Errno::EDQUOT, "entries_per_object_max = 2");
    refused(&mut world, "a", key("k", "1234567890abcd"), Errno::EDQUOT, "entry_bytes_per_object_max = 20");
    world.must("a", [key("k", "1234567890abc"), key("k", "")]);
    let keys = [Bytes::from_static(b"k")].into_iter().map(|key| key.as_ref().into()).collect();
    world.must("a", [Op::OmapRemove { keys }, key("l", "1234567890abc")]);
    world.snap();
    world.must("a", [xattr(b"")]);
    refused(&mut world, "a", key("m", ""), Errno::EDQUOT, "entries_per_object_max = 2");
    world.must("a", [Op::Rollback { snap_id: 1 }, key("l", "1234567890abc")]);
    refused(&mut world, "a", key("l", "1234567890abcd"), Errno::EDQUOT, "entry_bytes_per_object_max = 20");
}

#[test]
fn a_lock_has_a_number_of_holders() {
    let mut world = world(Limits { holders_per_lock_max: 2, ..Limits::default() });
    let lock = |cookie: &str| {
        let r#type = LockType::Shared.into();
        let (name, cookie) = ("l".to_owned(), cookie.to_owned());
        exec("lock.lock", &Lock { name, r#type, cookie, may_renew: true, ..Lock::default() })
    };
    world.must("a", [lock("1"), lock("2")]);
    refused(&mut world, "a", lock("3"), Errno::EDQUOT, "holders_per_lock_max = 2");
    world.must("a", [lock("2")]);
}

#[test]
fn a_snap_context_counts_as_payload() {
    let mut world = world(Limits { payload_bytes_max: 100, ..Limits::default() });
    let snaps: Vec<u64> = (1..=13).rev().collect();
    world.pool.snap_seq = 13;
    let vector = Vector {
        snap_context: SnapContext { seq: 13, snaps },
        ..world.vector("a", [Op::Create { exclusive: true }])
    };
    let error = world.run(1, &vector).expect_err("13 ids have 104 bytes");
    assert_eq!(error.errno, Errno::E2BIG);
    assert!(error.text.contains("payload_bytes_max = 100"), "{error}");
}
