//! Who is asked to show that he lives, and who counts as silent.

mod whole;

use osd::{SilentWatch, WatchEvent, WatchRequest};
use whole::{World, register};

fn ask(world: &mut World) -> Vec<osd::StreamId> {
    let asked = world.osd.ask_watches(world.now);
    world.keep(asked)
}

fn ping(world: &mut World, stream: osd::StreamId) {
    world.up(stream, WatchRequest::Ping { sequence: 1 });
}

fn world() -> World {
    let mut world = World::new();
    world.create("header");
    world
}

#[test]
fn every_stream_that_carries_a_watch_is_asked_once() {
    let mut world = world();
    let (_, one) = world.watcher("header", 1);
    world.up(one, register("header", 2, None));
    let (_, other) = world.watcher("header", 1);
    let gid = world.connect();
    let without_watch = world.hello(gid);
    assert_eq!(ask(&mut world), [one, other]);
    for (stream, asked) in [(one, 1), (other, 1), (without_watch, 0)] {
        let down = world.down(stream);
        assert_eq!(down.iter().filter(|event| **event == WatchEvent::Ask).count(), asked);
    }
}

#[test]
fn a_ping_is_the_answer() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    let asked = ask(&mut world);
    assert!(world.osd.is_waiting_for(&asked));
    ping(&mut world, stream);
    assert!(!world.osd.is_waiting_for(&asked));
    assert_eq!(world.osd.silent_watches(), []);
    assert_eq!(ask(&mut world), [stream], "it may be asked again");
}

/// Or a client that stands still would find as many questions as there were steps, or have its stream cut for them.
#[test]
fn a_silent_stream_is_neither_asked_nor_waited_for_again_until_it_answers() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    ask(&mut world);
    world.down(stream);
    let asked = ask(&mut world);
    assert!(asked.is_empty() && world.down(stream).is_empty());
    assert!(!world.osd.is_waiting_for(&asked));
    let (pool, object) = ("rbd".to_owned(), "header".to_owned());
    let silent = SilentWatch { gid, cookie: 1, name: "client".to_owned(), pool, object };
    assert_eq!(world.osd.silent_watches(), [silent]);
    ping(&mut world, stream);
    assert_eq!(ask(&mut world), [stream]);
}

#[test]
fn nobody_waits_for_a_stream_that_is_lost() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    let asked = ask(&mut world);
    world.lose(stream);
    assert!(!world.osd.is_waiting_for(&asked));
    assert_eq!(world.osd.silent_watches(), [], "it is known to be gone, not silent");
}

#[test]
fn who_answers_each_ask_lives_for_ever_and_who_does_not_expires() {
    let mut world = world();
    let (live, stream) = world.watcher("header", 1);
    let (silent, _) = world.watcher("header", 1);
    for step in 1..=120 {
        world.pass(5_000);
        ask(&mut world);
        ping(&mut world, stream);
        let expected: &[u64] = if step < 6 { &[live, silent] } else { &[live] };
        assert_eq!(world.watchers("header").iter().map(|&(gid, _)| gid).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_shortest_timeout_is_that_of_a_connected_watch_or_the_default() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, Some(40_000)));
    assert_eq!(world.osd.shortest_watch_timeout(), osd::Millis(30_000));
    world.up(stream, register("header", 3, Some(8_000)));
    assert_eq!(world.osd.shortest_watch_timeout(), osd::Millis(8_000));
    world.lose(stream);
    assert_eq!(world.osd.shortest_watch_timeout(), osd::Millis(30_000));
}
