//! Class "lock" in Ceph's encoding, as `rbd` 16.2.15 was seen to call it, and what it stores.

mod common;

use bytes::Bytes;
use ceph_wire::cls::{
    AssertLocked, BreakLock, Lock, LockInfo, LockKind, LockName, LockNames, SetCookie, Unlock, lock_flag,
};
use ceph_wire::{EntityName, EntityType, Utime, Wire, from_bytes, to_bytes};
use common::{World, ceph_exec};
use errno::Errno;
use osd::Millis;
use osd::op::{Op, Output};
use proto::cls::lock::v1::{GetInfo, GetInfoReply, ListLocksReply, LockType};

const LOCK: &[u8] =
    b"\x01\x01\x3e\0\0\0\x08\0\0\0rbd_lock\x01\x14\0\0\0auto 140685479061304\x08\0\0\0internal\
    \0\0\0\0\0\0\0\0\0\0\0\0\0";
const UNLOCK: &[u8] = b"\x01\x01\x24\0\0\0\x08\0\0\0rbd_lock\x14\0\0\0auto 140685479061304";
const GET_INFO: &[u8] = b"\x01\x01\x0c\0\0\0\x08\0\0\0rbd_lock";

/// Nobody holds it and nobody ever has.
const FREE: &[u8] = b"\x01\x01\x09\0\0\0\0\0\0\0\0\0\0\0\0";
/// Somebody has held it.
const LEFT: &[u8] = b"\x01\x01\x11\0\0\0\0\0\0\0\x01\x08\0\0\0internal";
/// Client 7 holds it, who is at 127.0.0.1:1 with nonce 1; the address is of the kind of messenger v1.
const HELD: &[u8] = b"\x01\x01\x6d\0\0\0\x01\0\0\0\
    \x01\x01\x21\0\0\0\x08\x07\0\0\0\0\0\0\0\x14\0\0\0auto 140685479061304\
    \x01\x01\x2f\0\0\0\0\0\0\0\0\0\0\0\
    \x01\x01\x01\x1c\0\0\0\x01\0\0\0\x01\0\0\0\x10\0\0\0\x02\0\0\x01\x7f\0\0\x01\0\0\0\0\0\0\0\0\
    \0\0\0\0\
    \x01\x08\0\0\0internal";

fn world() -> World {
    let mut world = World::new();
    world.must("h", [Op::Create { exclusive: true }]);
    world
}

fn call(world: &mut World, gid: u64, method: &str, input: &'static [u8]) -> Result<Bytes, Errno> {
    world.ceph_call(gid, "h", &format!("lock.{method}"), Bytes::from_static(input))
}

fn ask(world: &mut World, gid: u64, method: &str, input: &impl Wire) -> Result<Bytes, Errno> {
    world.ceph_call(gid, "h", &format!("lock.{method}"), to_bytes(input))
}

fn xattr(world: &mut World) -> Bytes {
    let results = world.must("h", [Op::GetXattr { name: "lock.rbd_lock".into() }]).results;
    let Output::Xattrs { entries } = &results[0].output else { panic!("not xattrs") };
    entries.values().next().expect("it was asked for").clone()
}

fn request(kind: LockKind, cookie: &str, flags: u8) -> Lock {
    let text = |text: &str| text.to_owned();
    let (name, cookie, tag, description) = (text("rbd_lock"), text(cookie), text("t"), text(""));
    Lock { name, kind, cookie, tag, description, duration: Utime::default(), flags }
}

#[test]
fn a_lock_is_stored_and_told_as_ceph_has_it() {
    let mut world = world();
    assert_eq!(call(&mut world, 8, "get_info", GET_INFO), Ok(Bytes::from_static(FREE)));
    assert_eq!(call(&mut world, 7, "lock", LOCK), Ok(Bytes::new()));
    assert_eq!(xattr(&mut world), HELD);
    assert_eq!(call(&mut world, 8, "get_info", GET_INFO), Ok(Bytes::from_static(HELD)));
    assert_eq!(call(&mut world, 8, "lock", LOCK), Err(Errno::EBUSY));
    assert_eq!(call(&mut world, 7, "lock", LOCK), Err(Errno::EEXIST));
    assert_eq!(call(&mut world, 8, "unlock", UNLOCK), Err(Errno::ENOENT));
    assert_eq!(call(&mut world, 7, "unlock", UNLOCK), Ok(Bytes::new()));
    assert_eq!(xattr(&mut world), LEFT, "an unlocked lock keeps its kind and tag");
    assert_eq!(call(&mut world, 8, "get_info", GET_INFO), Ok(Bytes::from_static(LEFT)));
    assert_eq!(
        call(&mut world, 8, "list_locks", b""),
        Ok(to_bytes(&LockNames { names: vec!["rbd_lock".into()] }))
    );
}

/// To gRPC's clients a lock that nobody holds is as one that never was.
#[test]
fn one_lock_is_seen_by_both_kinds_of_clients() {
    let mut world = world();
    let info = GetInfo { name: "rbd_lock".into() };
    assert_eq!(call(&mut world, 7, "lock", LOCK), Ok(Bytes::new()));
    let seen: GetInfoReply = world.call(8, "h", "lock.get_info", &info).expect("the object exists");
    assert_eq!((seen.r#type(), seen.tag.as_str()), (LockType::Exclusive, "internal"));
    let locker = &seen.lockers[0];
    assert_eq!((locker.gid, locker.address.as_str()), (7, "127.0.0.1:1/1"));
    assert_eq!((locker.cookie.as_str(), locker.expires_in_ms), ("auto 140685479061304", None));
    assert_eq!(call(&mut world, 7, "unlock", UNLOCK), Ok(Bytes::new()));
    assert_eq!(world.call(8, "h", "lock.get_info", &info), Ok(GetInfoReply::default()));
    assert_eq!(world.call(8, "h", "lock.list_locks", &()), Ok(ListLocksReply::default()));
}

#[test]
fn a_dead_owner_s_lock_is_broken_by_his_name() {
    let mut world = world();
    call(&mut world, 7, "lock", LOCK).expect("it is free");
    let locker = |number| EntityName { kind: EntityType::Client, number };
    let broken = |number| BreakLock {
        name: "rbd_lock".into(),
        locker: locker(number),
        cookie: "auto 140685479061304".into(),
    };
    assert_eq!(ask(&mut world, 8, "break_lock", &broken(8)), Err(Errno::ENOENT));
    assert_eq!(ask(&mut world, 8, "break_lock", &broken(7)), Ok(Bytes::new()));
    assert_eq!(call(&mut world, 8, "lock", LOCK), Ok(Bytes::new()));
}

/// Ceph: TestRenew.
#[test]
fn a_renewed_lock_lasts_from_then_on_and_an_expired_one_is_free() {
    let mut world = world();
    let one_second = Utime { seconds: 1, nanoseconds: 0 };
    let lasting = |flags| Lock { duration: one_second, ..request(LockKind::Exclusive, "c", flags) };
    let unlock = Unlock { name: "rbd_lock".into(), cookie: "c".into() };
    assert_eq!(ask(&mut world, 7, "lock", &lasting(lock_flag::MUST_RENEW)), Err(Errno::ENOENT));
    assert_eq!(ask(&mut world, 7, "lock", &lasting(0)), Ok(Bytes::new()));
    world.now = Millis(800);
    assert_eq!(ask(&mut world, 7, "lock", &lasting(0)), Err(Errno::EEXIST));
    assert_eq!(ask(&mut world, 7, "lock", &lasting(lock_flag::MAY_RENEW)), Ok(Bytes::new()));
    world.now = Millis(1_600);
    assert_eq!(ask(&mut world, 7, "lock", &lasting(lock_flag::MUST_RENEW)), Ok(Bytes::new()));
    world.now = Millis(2_601);
    assert_eq!(ask(&mut world, 7, "unlock", &unlock), Err(Errno::ENOENT));
    let both = lock_flag::MAY_RENEW | lock_flag::MUST_RENEW;
    assert_eq!(ask(&mut world, 7, "lock", &lasting(both)), Err(Errno::EINVAL));
}

/// A duration below a millisecond is one, and not for ever.
#[test]
fn the_shortest_lock_expires() {
    let mut world = world();
    let duration = Utime { seconds: 0, nanoseconds: 1 };
    ask(&mut world, 7, "lock", &Lock { duration, ..request(LockKind::Exclusive, "c", 0) })
        .expect("it is free");
    world.now = Millis(1);
    assert_eq!(ask(&mut world, 8, "lock", &request(LockKind::Exclusive, "c", 0)), Ok(Bytes::new()));
}

#[test]
fn what_is_not_exactly_held_is_not_held() {
    let mut world = world();
    let text = |text: &str| text.to_owned();
    let (name, kind) = (text("rbd_lock"), LockKind::Shared);
    let held = AssertLocked { name: name.clone(), kind, cookie: text("c"), tag: text("t") };
    assert_eq!(ask(&mut world, 7, "assert_locked", &held), Err(Errno::EBUSY), "nobody holds it");
    ask(&mut world, 7, "lock", &request(LockKind::Shared, "c", 0)).expect("it is free");
    ask(&mut world, 8, "lock", &request(LockKind::Shared, "c", 0)).expect("it is shared");
    assert_eq!(ask(&mut world, 7, "assert_locked", &held), Ok(Bytes::new()));
    let other = AssertLocked { kind: LockKind::Exclusive, ..held.clone() };
    assert_eq!(ask(&mut world, 7, "assert_locked", &other), Err(Errno::EBUSY));
    assert_eq!(
        ask(&mut world, 7, "assert_locked", &AssertLocked { tag: text("u"), ..held }),
        Err(Errno::EBUSY)
    );
    let (cookie, tag, new_cookie) = (text("c"), text("t"), text("d"));
    let change = SetCookie { name: name.clone(), kind, cookie, tag, new_cookie };
    assert_eq!(ask(&mut world, 7, "set_cookie", &change), Ok(Bytes::new()));
    assert_eq!(ask(&mut world, 7, "set_cookie", &change), Err(Errno::EBUSY), "it has another");
    let info = ask(&mut world, 9, "get_info", &LockName { name }).expect("the object exists");
    let info: LockInfo = from_bytes(&info).expect("it is one");
    let holders = info.lockers.keys().map(|id| (id.name.number, id.cookie.as_str())).collect::<Vec<_>>();
    assert_eq!(holders, [(7, "d"), (8, "c")]);
}

#[test]
fn what_is_no_lock_input_is_einval_and_an_object_that_is_not_there_enoent() {
    let mut world = world();
    assert_eq!(call(&mut world, 7, "lock", b"\x01\x01\xff\0\0\0"), Err(Errno::EINVAL));
    assert_eq!(ask(&mut world, 7, "lock", &request(LockKind::None, "c", 0)), Err(Errno::EINVAL));
    let nameless = Lock { name: String::new(), ..request(LockKind::Exclusive, "c", 0) };
    assert_eq!(ask(&mut world, 7, "lock", &nameless), Err(Errno::EINVAL));
    assert_eq!(
        world.errno("absent", [ceph_exec("lock.get_info", Bytes::from_static(GET_INFO))]),
        Errno::ENOENT
    );
    world.must("h", [Op::SetXattr { name: "lock.rbd_lock".into(), value: Bytes::from_static(b"garbage") }]);
    assert_eq!(call(&mut world, 7, "get_info", GET_INFO), Err(Errno::EIO));
}
