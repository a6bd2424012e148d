//! Class "lock": the behaviour that Ceph's own tests of cls_lock check.

mod common;

use common::{World, exec, write};
use errno::Errno;
use osd::Millis;
use osd::op::{Op, Output};
use osd::vector::Fact;
use prost::Message;
use proto::cls::lock::v1::{
    AssertLocked, BreakLock, GetInfo, GetInfoReply, ListLocksReply, Lock, LockType, SetCookie, Unlock,
};

const EXCLUSIVE: LockType = LockType::Exclusive;
const SHARED: LockType = LockType::Shared;
const EPHEMERAL: LockType = LockType::ExclusiveEphemeral;

fn request(r#type: LockType, cookie: &str, tag: &str) -> Lock {
    Lock {
        name: "l".into(),
        r#type: r#type.into(),
        cookie: cookie.into(),
        tag: tag.into(),
        ..Lock::default()
    }
}

fn lock(world: &mut World, gid: u64, request: &Lock) -> Result<(), Errno> {
    world.call(gid, "a", "lock.lock", request)
}

fn unlock(world: &mut World, gid: u64, cookie: &str) -> Result<(), Errno> {
    world.call(gid, "a", "lock.unlock", &Unlock { name: "l".into(), cookie: cookie.into() })
}

fn info(world: &mut World) -> GetInfoReply {
    world.call(9, "a", "lock.get_info", &GetInfo { name: "l".into() }).expect("the object exists")
}

fn holders(world: &mut World) -> Vec<(u64, String)> {
    info(world).lockers.into_iter().map(|locker| (locker.gid, locker.cookie)).collect()
}

/// Catalogue row 195: TestMultiLocking.
#[test]
fn an_exclusive_lock_excludes_everybody_else() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c", "")), Ok(()));
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c", "")), Err(Errno::EEXIST));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Err(Errno::EBUSY));
    assert_eq!(lock(&mut world, 2, &request(SHARED, "c", "")), Err(Errno::EBUSY));
    assert_eq!(unlock(&mut world, 1, "c"), Ok(()));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Ok(()));
}

/// Catalogue row 195: TestMultiLocking.
#[test]
fn a_shared_lock_admits_shared_holders_of_the_same_tag() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 1, &request(SHARED, "c", "t")), Ok(()));
    assert_eq!(lock(&mut world, 2, &request(SHARED, "c", "t")), Ok(()));
    assert_eq!(lock(&mut world, 3, &request(SHARED, "c", "other")), Err(Errno::EBUSY));
    assert_eq!(lock(&mut world, 3, &request(EXCLUSIVE, "c", "t")), Err(Errno::EBUSY));
    assert_eq!(holders(&mut world), [(1, "c".into()), (2, "c".into())]);
}

/// Catalogue row 195: TestMultipleLocks.
#[test]
fn locks_of_different_names_are_independent() {
    let mut world = World::new();
    for (gid, name) in [(1, "l1"), (2, "l2")] {
        let request = Lock { name: name.into(), ..request(EXCLUSIVE, "c", "") };
        assert_eq!(lock(&mut world, gid, &request), Ok(()));
    }
    let ListLocksReply { names } = world.call(9, "a", "lock.list_locks", &()).expect("the object exists");
    assert_eq!(names, ["l1", "l2"]);
}

/// Catalogue row 196: TestCookie.
#[test]
fn another_cookie_of_the_same_client_is_another_holder() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c1", "")), Ok(()));
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c2", "")), Err(Errno::EBUSY));
    assert_eq!(unlock(&mut world, 1, "c2"), Err(Errno::ENOENT));
    assert_eq!(unlock(&mut world, 2, "c1"), Err(Errno::ENOENT));
    assert_eq!(unlock(&mut world, 1, "c1"), Ok(()));
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c2", "")), Ok(()));
}

/// Catalogue row 197: TestLockDuration.
#[test]
fn an_expired_holder_is_ignored() {
    let mut world = World::new();
    let timed = Lock { duration_ms: 500, ..request(EXCLUSIVE, "c", "") };
    assert_eq!(lock(&mut world, 1, &timed), Ok(()));
    world.now = Millis(499);
    assert_eq!(info(&mut world).lockers[0].expires_in_ms, Some(1));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Err(Errno::EBUSY));
    world.now = Millis(500);
    assert_eq!(info(&mut world).lockers, []);
    assert_eq!(unlock(&mut world, 1, "c"), Err(Errno::ENOENT));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "other tag")), Ok(()));
    assert_eq!(info(&mut world).lockers[0].expires_in_ms, None);
}

fn assertion(r#type: LockType, cookie: &str, tag: &str) -> AssertLocked {
    AssertLocked { name: "l".into(), r#type: r#type.into(), cookie: cookie.into(), tag: tag.into() }
}

/// Catalogue row 198: TestAssertLocked.
#[test]
fn assert_locked_holds_only_for_exactly_what_the_caller_holds() {
    let mut world = World::new();
    let check =
        |world: &mut World, gid, assertion| world.call::<_, ()>(gid, "a", "lock.assert_locked", &assertion);
    assert_eq!(check(&mut world, 1, assertion(EXCLUSIVE, "c", "t")), Err(Errno::ENOENT), "no object");
    world.must("a", [write(0, b"x")]);
    assert_eq!(check(&mut world, 1, assertion(EXCLUSIVE, "c", "t")), Err(Errno::EBUSY), "no lock");
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c", "t")), Ok(()));
    assert_eq!(check(&mut world, 1, assertion(EXCLUSIVE, "c", "t")), Ok(()));
    assert_eq!(check(&mut world, 1, assertion(SHARED, "c", "t")), Err(Errno::EBUSY));
    assert_eq!(check(&mut world, 1, assertion(EXCLUSIVE, "d", "t")), Err(Errno::EBUSY));
    assert_eq!(check(&mut world, 1, assertion(EXCLUSIVE, "c", "u")), Err(Errno::EBUSY));
    assert_eq!(check(&mut world, 2, assertion(EXCLUSIVE, "c", "t")), Err(Errno::EBUSY));
    assert_eq!(check(&mut world, 1, assertion(LockType::None, "c", "t")), Err(Errno::EINVAL));
}

/// Catalogue row 198: TestAssertLocked. I1: a former owner's guarded write does not land.
#[test]
fn a_write_behind_a_failed_assertion_does_not_land() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Ok(()));
    let guarded =
        world.vector("a", [exec("lock.assert_locked", &assertion(EXCLUSIVE, "c", "")), write(0, b"x")]);
    let before = world.dump();
    let error = world.run(1, &guarded).unwrap_err();
    assert_eq!((error.errno, error.failed_op), (Errno::EBUSY, Some(0)));
    assert_eq!(world.dump(), before);
    world.run(2, &guarded).expect("the holder may write");
}

/// Catalogue row 199: TestSetCookie.
#[test]
fn a_cookie_is_changed_only_by_its_holder_and_only_to_a_free_one() {
    let mut world = World::new();
    let change = |world: &mut World, gid, r#type: LockType, tag: &str, cookie: &str, new_cookie: &str| {
        let (r#type, tag, cookie) = (r#type.into(), tag.into(), cookie.into());
        let input = SetCookie { name: "l".into(), r#type, cookie, tag, new_cookie: new_cookie.into() };
        world.call::<_, ()>(gid, "a", "lock.set_cookie", &input)
    };
    assert_eq!(change(&mut world, 1, SHARED, "t", "c", "d"), Err(Errno::ENOENT), "no object");
    world.must("a", [write(0, b"x")]);
    assert_eq!(change(&mut world, 1, SHARED, "t", "c", "d"), Err(Errno::EBUSY), "no lockers");
    assert_eq!(lock(&mut world, 1, &request(SHARED, "c", "t")), Ok(()));
    assert_eq!(lock(&mut world, 1, &request(SHARED, "e", "t")), Ok(()));
    assert_eq!(change(&mut world, 1, EXCLUSIVE, "t", "c", "d"), Err(Errno::EBUSY), "type");
    assert_eq!(change(&mut world, 1, SHARED, "u", "c", "d"), Err(Errno::EBUSY), "tag");
    assert_eq!(change(&mut world, 1, SHARED, "t", "x", "d"), Err(Errno::EBUSY), "no such cookie");
    assert_eq!(change(&mut world, 2, SHARED, "t", "c", "d"), Err(Errno::EBUSY), "another client's");
    assert_eq!(change(&mut world, 1, SHARED, "t", "c", "e"), Err(Errno::EBUSY), "taken");
    assert_eq!(change(&mut world, 1, SHARED, "t", "c", "d"), Ok(()));
    assert_eq!(holders(&mut world), [(1, "d".into()), (1, "e".into())]);
}

/// Catalogue row 200: TestRenew.
#[test]
fn a_held_lock_can_be_renewed() {
    let mut world = World::new();
    let timed = Lock { duration_ms: 500, ..request(EXCLUSIVE, "c", "") };
    let may = Lock { may_renew: true, ..timed.clone() };
    let must = Lock { must_renew: true, ..timed.clone() };
    assert_eq!(lock(&mut world, 1, &must), Err(Errno::ENOENT));
    assert_eq!(lock(&mut world, 1, &may), Ok(()), "may_renew takes a free lock as well");
    world.now = Millis(400);
    assert_eq!(lock(&mut world, 1, &timed), Err(Errno::EEXIST));
    assert_eq!(lock(&mut world, 1, &must), Ok(()));
    world.now = Millis(899);
    assert_eq!(holders(&mut world), [(1, "c".into())]);
    assert_eq!(lock(&mut world, 2, &may), Err(Errno::EBUSY));
    world.now = Millis(900);
    assert_eq!(lock(&mut world, 1, &must), Err(Errno::ENOENT), "it has expired");
    assert_eq!(lock(&mut world, 1, &Lock { may_renew: true, must_renew: true, ..timed }), Err(Errno::EINVAL));
}

/// Catalogue row 201: TestExclusiveEphemeralBasic.
#[test]
fn an_ephemeral_lock_takes_its_object_along() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 1, &request(EPHEMERAL, "c", "")), Ok(()));
    let removed = world.must("a", [exec("lock.unlock", &Unlock { name: "l".into(), cookie: "c".into() })]);
    assert_eq!(removed.facts[0], Fact::ObjectRemoved);
    assert_eq!(world.errno("a", [Op::Stat {}]), Errno::ENOENT);
}

/// Catalogue row 201: TestExclusiveEphemeralStealEphemeral and StealExclusive.
#[test]
fn an_ephemeral_lock_is_as_exclusive_as_any() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 1, &request(EPHEMERAL, "c", "")), Ok(()));
    assert_eq!(lock(&mut world, 2, &request(EPHEMERAL, "c", "")), Err(Errno::EBUSY));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Err(Errno::EBUSY));
    assert_eq!(info(&mut world).r#type(), EPHEMERAL);
}

#[test]
fn a_broken_lock_is_free() {
    let mut world = World::new();
    let broken = |gid| BreakLock { name: "l".into(), gid, cookie: "c".into() };
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c", "")), Ok(()));
    assert_eq!(world.call::<_, ()>(2, "a", "lock.break_lock", &broken(3)), Err(Errno::ENOENT));
    assert_eq!(world.call::<_, ()>(2, "a", "lock.break_lock", &broken(1)), Ok(()));
    assert_eq!(unlock(&mut world, 1, "c"), Err(Errno::ENOENT));
    assert_eq!(lock(&mut world, 2, &request(EXCLUSIVE, "c", "")), Ok(()));
}

#[test]
fn info_names_the_holder_with_its_address() {
    let mut world = World::new();
    let described = Lock { description: "why".into(), ..request(EXCLUSIVE, "c", "t") };
    assert_eq!(lock(&mut world, 7, &described), Ok(()));
    let GetInfoReply { lockers, r#type, tag } = info(&mut world);
    assert_eq!((r#type, tag.as_str()), (EXCLUSIVE as i32, "t"));
    assert_eq!((lockers[0].gid, lockers[0].cookie.as_str()), (7, "c"));
    assert_eq!((lockers[0].address.as_str(), lockers[0].description.as_str()), ("127.0.0.1:1/1", "why"));
}

#[test]
fn a_released_lock_leaves_nothing_behind() {
    let mut world = World::new();
    world.must("a", [Op::Create { exclusive: true }]);
    assert_eq!(lock(&mut world, 1, &request(EXCLUSIVE, "c", "")), Ok(()));
    assert_eq!(unlock(&mut world, 1, "c"), Ok(()));
    let results = world.must("a", [Op::ListXattrs {}]).results;
    assert_eq!(results, [Output::Xattrs { entries: [].into() }.into()]);
    assert_eq!(info(&mut world), GetInfoReply::default());
}

#[test]
fn nobody_in_particular_cannot_hold_a_lock() {
    let mut world = World::new();
    assert_eq!(lock(&mut world, 0, &request(EXCLUSIVE, "c", "")), Err(Errno::EINVAL));
    assert_eq!(lock(&mut world, 1, &request(LockType::None, "c", "")), Err(Errno::EINVAL));
    assert_eq!(
        lock(&mut world, 1, &Lock { name: String::new(), ..request(EXCLUSIVE, "c", "") }),
        Err(Errno::EINVAL)
    );
}

#[test]
fn every_change_of_a_lock_is_a_fact() {
    let mut world = World::new();
    let (name, cookie) = (|| "l".to_owned(), |cookie: &str| cookie.to_owned());
    let set_cookie = SetCookie {
        name: name(),
        r#type: EXCLUSIVE.into(),
        cookie: cookie("c"),
        tag: String::new(),
        new_cookie: cookie("d"),
    };
    let ops = [
        exec("lock.lock", &request(EXCLUSIVE, "c", "")),
        exec("lock.set_cookie", &set_cookie),
        exec("lock.unlock", &Unlock { name: name(), cookie: cookie("d") }),
        exec("lock.lock", &request(EXCLUSIVE, "e", "")),
        exec("lock.break_lock", &BreakLock { name: name(), gid: 1, cookie: cookie("e") }),
    ];
    let expected = [
        Fact::LockTaken { name: name(), cookie: cookie("c") },
        Fact::LockCookieChanged { name: name(), old: cookie("c"), new: cookie("d") },
        Fact::LockReleased { name: name(), cookie: cookie("d") },
        Fact::LockTaken { name: name(), cookie: cookie("e") },
        Fact::LockBroken { name: name(), gid: 1, cookie: cookie("e") },
    ];
    assert_eq!(world.must("a", ops).facts, expected);
}

/// design: ownership starts from the header state that was read with the lock.
#[test]
fn an_op_after_the_lock_in_a_vector_sees_it() {
    let mut world = World::new();
    let ops = [
        exec("lock.lock", &request(EXCLUSIVE, "c", "")),
        exec("lock.get_info", &GetInfo { name: "l".into() }),
    ];
    let results = world.must("a", ops).results;
    let Output::Exec { output } = &results[1].output else { panic!("not a class call's result") };
    assert_eq!(GetInfoReply::decode(output.clone()).expect("it is one").lockers.len(), 1);
}
