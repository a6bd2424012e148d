//! Clients of Ceph's: who they are, what they send again, and how they are fenced.

mod whole;

use errno::Errno;
use osd::{Config, Effect, Entity, Kind, Millis, OpError, StreamId};
use whole::{World, errno, write};

const GID: u64 = 5000;
const ADDRESS: &str = "127.0.0.1:0/77";

fn connect(world: &mut World, gid: u64, address: &str) -> Result<StreamId, OpError> {
    let connected = world.osd.entity_connected(world.now, Entity { gid, name: "admin", address });
    world.keep(connected)
}

fn must_connect(world: &mut World) -> StreamId {
    connect(world, GID, ADDRESS).expect("the test set this up to succeed")
}

#[test]
fn a_session_goes_on_over_a_new_connection_and_the_former_one_is_cut() {
    let mut world = World::new();
    let former = must_connect(&mut world);
    let first = world.must(GID, 1, "object", &[write("x")]);
    must_connect(&mut world);
    let is_cut = |effect: &Effect| matches!(effect, Effect::CutStream { stream, .. } if *stream == former);
    assert!(world.effects.iter().any(is_cut), "{:?}", world.effects);
    assert_eq!(world.must(GID, 1, "object", &[write("x")]), first, "it ran before");
    assert_eq!((world.count(Kind::Applied), world.count(Kind::Duplicate)), (1, 1));
    assert_eq!(world.count(Kind::SessionStarted), 1);
}

#[test]
fn a_session_without_a_connection_ends_in_time() {
    let mut world = World::new();
    let stream = must_connect(&mut world);
    world.pass(700_000);
    assert_eq!(world.count(Kind::SessionEnded), 0, "it is connected");
    world.lose(stream);
    world.pass(700_000);
    assert_eq!(world.count(Kind::SessionEnded), 1);
    assert_eq!(errno(world.send(GID, 1, 0, "object", &[write("x")])), Errno::ENOTCONN);
    must_connect(&mut world);
    world.must(GID, 2, "object", &[write("x")]);
}

/// A client that promises nothing has its newest replies kept.
#[test]
fn the_oldest_replies_make_room_and_nothing_is_refused() {
    let mut world = World::with(Config { replays_per_entity_max: 2, ..Config::default() });
    must_connect(&mut world);
    for tid in 1..=3 {
        world.must(GID, tid, "object", &[write("x")]);
    }
    world.must(GID, 2, "object", &[write("x")]);
    assert_eq!(world.count(Kind::Duplicate), 1);
    world.must(GID, 1, "object", &[write("x")]);
    assert_eq!((world.count(Kind::Applied), world.count(Kind::Duplicate)), (4, 1));
}

#[test]
fn a_live_client_is_fenced_by_its_address_for_good() {
    let mut world = World::new();
    must_connect(&mut world);
    world.osd.fence_address(world.now, ADDRESS, None).0.expect("the store works");
    assert_eq!(errno(world.send(GID, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
    assert!(world.osd.unfence_address(world.now, ADDRESS).0);
    assert_eq!(errno(connect(&mut world, GID, ADDRESS)), Errno::EBLOCKLISTED);
    assert_eq!(errno(world.send(GID, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
}

/// The address of a fenced client may come back as another instance once the entry is gone.
#[test]
fn who_comes_from_a_listed_address_waits_for_the_end_of_the_entry() {
    let mut world = World::new();
    world.osd.fence_address(world.now, ADDRESS, Some(Millis(500))).0.expect("the store works");
    must_connect(&mut world);
    assert_eq!(errno(world.send(GID, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
    world.pass(500);
    world.must(GID, 2, "object", &[write("x")]);
}

#[test]
fn port_0_and_nonce_0_fence_everybody_at_an_ip_at_either_door() {
    let mut world = World::new();
    let ours = world.connect();
    must_connect(&mut world);
    connect(&mut world, GID + 1, "127.0.0.2:0/0").expect("there is room");
    world.osd.fence_address(world.now, "127.0.0.1:0/0", None).0.expect("the store works");
    for gid in [ours, GID] {
        assert_eq!(errno(world.send(gid, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
    }
    world.must(GID + 1, 1, "object", &[write("x")]);
}

#[test]
fn a_client_is_fenced_by_its_gid() {
    let mut world = World::new();
    must_connect(&mut world);
    world.fence(GID);
    assert_eq!(errno(world.send(GID, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
}

#[test]
fn nobody_takes_over_a_session_of_the_other_door() {
    let mut world = World::new();
    let ours = world.connect();
    assert_eq!(errno(connect(&mut world, ours, ADDRESS)), Errno::EINVAL);
    assert_eq!(errno(connect(&mut world, 0, ADDRESS)), Errno::EINVAL);
}

#[test]
fn no_gid_of_a_client_is_given_to_another_one() {
    let mut world = World::new();
    connect(&mut world, 4001, ADDRESS).expect("there is room");
    assert_eq!(world.connect(), 4002);
}
