//! The fence: nothing of a blocklisted instance happens afterwards, ever.

mod whole;

use errno::Errno;
use osd::op::Op;
use osd::{Config, Effect, Kind, Millis};
use whole::{World, disconnected, errno, write};

#[test]
fn a_write_is_in_before_the_fence_or_never() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("before")]);
    let version = world.version("object");
    world.fence(gid);
    assert_eq!(errno(world.send(gid, 2, 0, "object", &[write("after")])), Errno::EBLOCKLISTED);
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[write("before")])), Errno::EBLOCKLISTED);
    assert_eq!(world.version("object"), version);
}

#[test]
fn a_fenced_client_stays_fenced_after_its_entry_has_expired() {
    let mut world = World::new();
    let gid = world.connect();
    let added = world.osd.blocklist_add(world.now, gid, Some(Millis(500)), 0);
    world.keep(added).expect("an operator may fence");
    world.pass(499);
    assert_eq!(world.osd.blocklist(world.now).0, [(gid, Millis(1))]);
    world.pass(1);
    assert_eq!(world.osd.blocklist(world.now).0, []);
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
}

#[test]
fn a_fenced_client_stays_fenced_after_its_entry_was_removed() {
    let mut world = World::new();
    let gid = world.connect();
    world.fence(gid);
    let effects = world.osd.blocklist_remove(world.now, gid);
    world.effects.extend(effects);
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[Op::Stat {}])), Errno::EBLOCKLISTED);
    let hello = world.osd.watch_hello(world.now, gid).0;
    assert_eq!(errno(hello), Errno::EBLOCKLISTED);
}

/// A watch that waits for a reconnect counts: its client may be back any moment.
#[test]
fn who_watches_the_object_is_not_fenced_where_only_the_dead_are_to_be() {
    let mut world = World::new();
    world.create("header");
    let (gid, stream) = world.watcher("header", 7);
    let other = world.connect();
    let fence = |world: &mut World, gid, object| {
        let fenced = world.osd.blocklist_add_unless_watching(world.now, gid, None, other, ("rbd", object));
        world.keep(fenced)
    };
    assert_eq!(errno(fence(&mut world, gid, "header")), Errno::EBUSY);
    world.lose(stream);
    let refusal = fence(&mut world, gid, "header").expect_err("its watch is still there");
    assert!(refusal.text.contains(&format!("client {gid} watches it")), "{}", refusal.text);
    world.must(gid, 1, "header", &[write("x")]);
    let missing = world.osd.blocklist_add_unless_watching(world.now, gid, None, other, ("none", "header"));
    assert_eq!(errno(world.keep(missing)), Errno::ENOENT);
    world.pass(Config::default().osd_client_watch_grace.0);
    fence(&mut world, gid, "header").expect("its watch is gone");
    assert_eq!(errno(world.send(gid, 2, 0, "header", &[write("y")])), Errno::EBLOCKLISTED);
    let never_connected = 4711;
    fence(&mut world, never_connected, "no object").expect("who watches nothing is fenced");
}

#[test]
fn an_entry_can_be_renewed() {
    let mut world = World::new();
    let gid = world.connect();
    for expire in [500, 2000] {
        let added = world.osd.blocklist_add(world.now, gid, Some(Millis(expire)), 0);
        world.keep(added).expect("an operator may fence");
    }
    world.pass(600);
    assert_eq!(world.osd.blocklist(world.now).0, [(gid, Millis(1400))]);
}

#[test]
fn the_fence_takes_watches_stream_and_session_in_one_step() {
    let mut world = World::new();
    world.create("header");
    let (gid, stream) = world.watcher("header", 7);
    world.effects.clear();
    world.fence(gid);
    assert_eq!(world.watchers("header"), []);
    assert!(world.effects.contains(&Effect::SessionEnded { gid }));
    assert!(
        world
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::CutStream { stream: cut, .. } if *cut == stream))
    );
    assert!(world.down(stream).iter().any(disconnected(7, Errno::EBLOCKLISTED)));
    assert!(!world.osd.sessions().iter().any(|session| session.gid == gid));
}

#[test]
fn the_fence_finishes_notifies_that_waited_for_the_fenced() {
    let mut world = World::new();
    world.create("header");
    let (dead, _) = world.watcher("header", 1);
    let notifier = world.connect();
    let notify = world.notify(notifier, "header", "anyone?", 5000);
    assert_eq!(world.answer(notify), None);
    world.fence(dead);
    let answer = world.answer(notify).expect("nobody else is waited for");
    assert!(!answer.timed_out && answer.replies.is_empty() && answer.missed.is_empty(), "{answer:?}");
}

#[test]
fn nobody_fences_himself_and_the_fenced_fence_nobody() {
    let mut world = World::new();
    let (gid, other) = (world.connect(), world.connect());
    assert_eq!(errno(world.osd.blocklist_add(world.now, gid, None, gid).0), Errno::EINVAL);
    world.fence(gid);
    assert_eq!(errno(world.osd.blocklist_add(world.now, other, None, gid).0), Errno::EBLOCKLISTED);
    world.must(other, 1, "object", &[write("still there")]);
}

#[test]
fn refusals_of_the_fenced_are_in_the_event_log() {
    let mut world = World::new();
    let gid = world.connect();
    world.fence(gid);
    let _refused = world.send(gid, 9, 0, "object", &[write("x")]);
    let events = world.osd.events_after(0, usize::MAX);
    let refused = events.iter().find(|event| event.kind == Kind::Refused).expect("it was refused");
    assert_eq!((refused.gid, refused.tid, refused.error), (gid, 9, Some(Errno::EBLOCKLISTED)));
    assert_eq!(refused.object, "object");
}

#[test]
fn refused_fences_are_in_the_event_log() {
    let mut world = World::new();
    let gid = world.connect();
    assert_eq!(errno(world.osd.blocklist_add(world.now, gid, None, gid).0), Errno::EINVAL);
    let events = world.osd.events_after(0, usize::MAX);
    let refused = events.iter().find(|event| event.kind == Kind::Refused).expect("it was refused");
    assert_eq!((refused.gid, refused.error), (gid, Some(Errno::EINVAL)));
    assert!(refused.detail.starts_with("blocklist_add: "), "{}", refused.detail);
}

/// Invariant I1: there is always room for one more fence, and who was fenced long ago is not let in again.
#[test]
fn fencing_never_stops_and_the_forgotten_stay_out() {
    let mut world = World::with(Config { fenced_instances_max: 2, ..Config::default() });
    let clients = [world.connect(), world.connect(), world.connect()];
    for gid in clients {
        world.fence(gid);
    }
    let refusals = clients.map(|gid| errno(world.send(gid, 1, 0, "object", &[write("x")])));
    assert_eq!(refusals, [Errno::ENOTCONN, Errno::EBLOCKLISTED, Errno::EBLOCKLISTED]);
    let listed = world.osd.blocklist(world.now);
    let listed: Vec<u64> = world.keep(listed).iter().map(|&(gid, _)| gid).collect();
    assert_eq!(listed, [clients[1], clients[2]]);
}

#[test]
fn a_fence_by_address_hits_the_session_of_that_address() {
    let mut world = World::new();
    let gid = world.connect();
    let address = world.osd.sessions()[0].address.clone();
    let (revision, fenced) = (world.osd.map_revision(), world.osd.fence_address(world.now, &address, None));
    assert_eq!(fenced.0, Ok(Millis(3_601_000)));
    assert!(world.osd.map_revision() > revision, "maps show it");
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[write("x")])), Errno::EBLOCKLISTED);
    assert_eq!(world.osd.fenced_addresses().collect::<Vec<_>>(), [(address.as_str(), Millis(3_601_000))]);
}

#[test]
fn a_fence_by_address_expires_or_is_removed() {
    let mut world = World::new();
    for address in ["1.2.3.4:0/1", "1.2.3.4:0/2", "1.2.3.4:0/2"] {
        world.osd.fence_address(world.now, address, Some(Millis(500))).0.expect("the store works");
    }
    assert!(world.osd.unfence_address(world.now, "1.2.3.4:0/1").0);
    assert!(!world.osd.unfence_address(world.now, "1.2.3.4:0/1").0);
    assert_eq!(world.osd.fenced_addresses().count(), 1);
    world.pass(500);
    assert_eq!(world.osd.fenced_addresses().count(), 0);
}
