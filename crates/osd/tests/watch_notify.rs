//! Watches and notify2, by the tables of the protocol.

mod whole;

use bytes::Bytes;
use errno::Errno;
use osd::limits::{ACK_BYTES_MAX, ACKS_BYTES_MAX, NOTIFY_TIMEOUT_MAX, WATCH_TIMEOUT_MAX};
use osd::op::Op;
use osd::{Config, Effect, Limits, Millis, NotifyReply, WatchEvent, WatchRequest};
use whole::{World, disconnected, errno, reconnect, register, result, unwatch};

/// A world with one object to watch.
fn world() -> World {
    let mut world = World::new();
    world.create("header");
    world
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// (gid, cookie, payload) of every ack.
fn said(answer: &NotifyReply) -> Vec<(u64, u64, Bytes)> {
    answer.replies.iter().map(|ack| (ack.gid, ack.cookie, ack.payload.clone())).collect()
}

/// Catalogue row 190: the reply holds each watcher's ack; the notifier hears itself.
#[test]
fn a_notify_gathers_the_ack_of_every_watch_its_own_included() {
    let mut world = world();
    let (one, first) = world.watcher("header", 1);
    let (two, second) = world.watcher("header", 2);
    let notify = world.notify(one, "header", "hello", 5000);
    assert_eq!(world.heard(first), [(1, "hello".to_owned())]);
    assert_eq!(world.heard(second), [(2, "hello".to_owned())]);
    world.ack(second, "header", notify, 2, "two");
    assert_eq!(world.answer(notify), None);
    world.ack(first, "header", notify, 1, "");
    let answer = world.answer(notify).expect("everybody answered");
    assert_eq!(said(&answer), [(one, 1, bytes("")), (two, 2, bytes("two"))]);
    assert!(!answer.timed_out && answer.missed.is_empty());
}

/// Catalogue row 191.
#[test]
fn two_watches_of_one_client_give_two_replies() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, None));
    let notify = world.notify(gid, "header", "hello", 5000);
    assert_eq!(world.heard(stream).len(), 2);
    world.ack(stream, "header", notify, 1, "a");
    world.ack(stream, "header", notify, 2, "b");
    let answer = world.answer(notify).expect("both answered");
    assert_eq!(said(&answer), [(gid, 1, bytes("a")), (gid, 2, bytes("b"))]);
}

/// Catalogue row 192.
#[test]
fn a_slow_watcher_is_missed_and_the_next_notify_works() {
    let mut world = world();
    let (slow, stream) = world.watcher("header", 1);
    let (quick, other) = world.watcher("header", 2);
    let notify = world.notify(quick, "header", "first", 1000);
    world.ack(other, "header", notify, 2, "here");
    world.pass(999);
    assert_eq!(world.answer(notify), None);
    world.pass(1);
    let answer = world.answer(notify).expect("its time is over");
    assert!(answer.timed_out);
    assert_eq!(said(&answer), [(quick, 2, bytes("here"))]);
    assert_eq!(answer.missed, [(slow, 1)]);
    world.ack(stream, "header", notify, 1, "late");
    let next = world.notify(quick, "header", "second", 1000);
    world.ack(stream, "header", next, 1, "in time");
    world.ack(other, "header", next, 2, "");
    assert!(!world.answer(next).expect("everybody answered").timed_out);
}

/// Catalogue row 193: and the notifies that waited end.
#[test]
fn removing_the_object_disconnects_its_watchers_and_ends_its_notifies() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    let notify = world.notify(gid, "header", "hello", 5000);
    world.down(stream);
    world.must(gid, 1, "header", &[Op::Remove {}]);
    assert!(world.down(stream).iter().any(disconnected(1, Errno::ENOTCONN)));
    let answer = world.answer(notify).expect("nobody is waited for");
    assert!(!answer.timed_out && answer.replies.is_empty() && answer.missed.is_empty());
    world.up(stream, reconnect("header", 1));
    assert!(world.down(stream).iter().any(result(1, Some(Errno::ENOENT))));
    world.up(stream, unwatch("header", 1));
    assert!(world.down(stream).iter().any(result(1, Some(Errno::ENOENT))));
}

/// Catalogue row 194.
#[test]
fn every_watch_has_its_own_timeout() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, Some(8000)));
    world.pass(8000);
    assert_eq!(world.watchers("header"), [(gid, 1)]);
    assert!(world.down(stream).iter().any(disconnected(2, Errno::ENOTCONN)), "its stream is still there");
    world.pass(22_000);
    assert_eq!(world.watchers("header"), []);
}

#[test]
fn a_ping_renews_every_watch_of_its_stream() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, Some(40_000)));
    world.pass(29_999);
    world.up(stream, WatchRequest::Ping { sequence: 5 });
    assert!(world.down(stream).contains(&WatchEvent::Pong { sequence: 5 }));
    world.pass(29_999);
    assert_eq!(world.watchers("header"), [(gid, 1), (gid, 2)]);
    world.pass(1);
    assert_eq!(world.watchers("header"), [(gid, 2)]);
}

#[test]
fn a_watch_whose_connection_is_gone_expires_after_the_grace() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    world.lose(stream);
    world.pass(499);
    assert_eq!(world.watchers("header"), [(gid, 1)]);
    world.pass(1);
    assert_eq!(world.watchers("header"), []);
}

#[test]
fn the_grace_never_lengthens_a_watch() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    world.pass(29_900);
    world.lose(stream);
    world.pass(100);
    assert_eq!(world.watchers("header"), []);
}

#[test]
fn a_reconnected_watch_is_sent_what_it_missed_in_order() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    let notifier = world.connect();
    let acked = world.notify(notifier, "header", "acked", 5000);
    world.ack(stream, "header", acked, 1, "");
    let unacked = world.notify(notifier, "header", "sent", 5000);
    world.lose(stream);
    let unsent = world.notify(notifier, "header", "unsent", 5000);
    let again = world.hello(gid);
    world.up(again, reconnect("header", 1));
    assert_eq!(world.heard(again), [(1, "sent".to_owned()), (1, "unsent".to_owned())]);
    world.ack(again, "header", unacked, 1, "");
    world.ack(again, "header", unsent, 1, "");
    assert!(
        [unacked, unsent].iter().all(|&id| world.answer(id).is_some_and(|answer| answer.replies.len() == 1))
    );
    world.pass(29_999);
    assert_eq!(world.watchers("header"), [(gid, 1)], "it has its whole timeout again");
}

#[test]
fn an_expired_watch_cannot_reconnect() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    world.lose(stream);
    world.pass(500);
    let again = world.hello(gid);
    world.up(again, reconnect("header", 1));
    assert!(world.down(again).iter().any(result(1, Some(Errno::ENOTCONN))));
}

#[test]
fn a_second_stream_of_a_session_replaces_the_first() {
    let mut world = world();
    let (gid, first) = world.watcher("header", 1);
    let second = world.hello(gid);
    let is_cut = |effect: &Effect| matches!(effect, Effect::CutStream { stream, .. } if *stream == first);
    assert!(world.effects.iter().any(is_cut));
    world.up(second, reconnect("header", 1));
    world.lose(first);
    world.up(first, unwatch("header", 1));
    world.pass(20_000);
    assert_eq!(world.watchers("header"), [(gid, 1)], "what comes from the first stream is ignored");
}

#[test]
fn a_disconnected_watch_is_waited_for_until_it_is_gone() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    world.lose(stream);
    let notifier = world.connect();
    let notify = world.notify(notifier, "header", "hello", 5000);
    world.pass(499);
    assert_eq!(world.answer(notify), None);
    world.pass(1);
    let answer = world.answer(notify).expect("the watch is gone");
    assert!(!answer.timed_out && answer.missed.is_empty(), "in neither list: {answer:?}");
}

#[test]
fn an_unwatch_ends_the_wait_for_its_ack() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    let notify = world.notify(gid, "header", "hello", 5000);
    world.up(stream, unwatch("header", 1));
    assert!(world.down(stream).iter().any(result(1, None)));
    let answer = world.answer(notify).expect("nobody is waited for");
    assert!(answer.replies.is_empty() && answer.missed.is_empty());
    world.up(stream, unwatch("header", 1));
    assert!(world.down(stream).iter().any(result(1, None)), "an absent watch is fine");
}

#[test]
fn a_notify_that_nobody_watches_is_answered_at_once() {
    let mut world = world();
    let gid = world.connect();
    let notify = world.notify(gid, "header", "hello", 5000);
    let answer = world.answer(notify).expect("answered in the same step");
    assert!(!answer.timed_out && answer.replies.is_empty() && answer.missed.is_empty());
}

#[test]
fn a_notify_on_a_missing_object_is_refused() {
    let mut world = world();
    let gid = world.connect();
    let refused = world.osd.notify(world.now, gid, ("rbd", "nothing"), Bytes::new(), None).0;
    assert_eq!(errno(refused), Errno::ENOENT);
}

#[test]
fn a_watch_that_has_been_silent_too_long_is_not_waited_for() {
    let mut world = world();
    world.watcher("header", 1);
    world.now = Millis(world.now.0 + 30_001);
    let notifier = world.connect();
    let notify = world.notify(notifier, "header", "hello", 5000);
    assert!(world.answer(notify).expect("nobody is waited for").missed.is_empty());
}

#[test]
fn the_first_ack_counts_and_repeated_ones_are_ignored() {
    let mut world = world();
    let (one, first) = world.watcher("header", 1);
    let (_, second) = world.watcher("header", 2);
    let notify = world.notify(one, "header", "hello", 5000);
    world.ack(first, "header", notify, 1, "first");
    world.ack(first, "header", notify, 1, "again");
    world.ack(first, "header", notify, 2, "of somebody else");
    assert_eq!(world.answer(notify), None);
    world.ack(second, "header", notify, 2, "two");
    let answer = world.answer(notify).expect("both answered");
    assert_eq!(said(&answer)[0], (one, 1, bytes("first")));
    assert_eq!(answer.replies.len(), 2);
}

#[test]
fn watchers_of_an_object_hear_notifies_in_the_order_in_which_they_came() {
    let mut world = world();
    let (one, first) = world.watcher("header", 1);
    let (two, second) = world.watcher("header", 2);
    world.notify(one, "header", "a", 5000);
    world.notify(two, "header", "b", 5000);
    world.notify(one, "header", "c", 5000);
    let order = |heard: Vec<(u64, String)>| heard.into_iter().map(|(_, payload)| payload).collect::<String>();
    let heard = (world.heard(first), world.heard(second));
    assert_eq!((order(heard.0), order(heard.1)), ("abc".to_owned(), "abc".to_owned()));
}

#[test]
fn a_disconnected_client_leaves_no_watch() {
    let mut world = world();
    let (gid, _) = world.watcher("header", 1);
    let ended = world.osd.disconnect(world.now, gid);
    world.keep(ended).expect("it was live");
    assert_eq!(world.watchers("header"), []);
    assert_eq!(
        world.osd.next_deadline().map(|deadline| deadline.0),
        Some(601_000),
        "only the creator's session is due"
    );
}

#[test]
fn a_session_with_a_pending_notify_does_not_end() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    let notifier = world.connect();
    let notify = world.notify(notifier, "header", "hello", 700_000);
    for _ in 0..70 {
        world.up(stream, WatchRequest::Ping { sequence: 1 });
        world.pass(9_999);
    }
    assert_eq!(world.answer(notify), None);
    assert!(world.osd.sessions().iter().any(|session| session.gid == notifier));
    world.up(stream, WatchRequest::Ping { sequence: 1 });
    world.pass(70);
    assert!(world.answer(notify).is_some_and(|answer| answer.timed_out));
}

#[test]
fn limits_of_watches_and_notifies_are_named() {
    let limits =
        Limits { watches_per_object_max: 1, pending_notifies_per_object_max: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    world.create("header");
    let (gid, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, None));
    assert!(world.down(stream).iter().any(result(2, Some(Errno::EMFILE))));
    world.notify(gid, "header", "first", 5000);
    let refused = world.osd.notify(world.now, gid, ("rbd", "header"), Bytes::new(), None).0;
    let refused = refused.expect_err("the limit is reached");
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert!(refused.text.contains("pending_notifies_per_object_max"), "{}", refused.text);
}

#[test]
fn the_limit_of_a_sessions_watches_is_named_and_leaves_others_alone() {
    let limits = Limits { watches_per_session_max: 2, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    world.create("one");
    world.create("two");
    let (_, stream) = world.watcher("one", 1);
    world.up(stream, register("two", 1, None));
    world.down(stream);
    world.up(stream, register("two", 2, None));
    let down = world.down(stream);
    let [WatchEvent::Result { cookie: 2, error: Some(error) }] = down.as_slice() else { panic!("{down:?}") };
    assert_eq!(error.errno, Errno::EMFILE);
    assert!(error.text.contains("watches_per_session_max = 2"), "{}", error.text);
    world.up(stream, register("two", 1, None));
    assert!(world.down(stream).iter().any(result(1, None)), "what it has may be registered anew");
    let (_, other) = world.watcher("two", 1);
    assert!(world.down(other).iter().any(result(1, None)));
    world.up(stream, unwatch("one", 1));
    world.up(stream, register("two", 2, None));
    assert!(world.down(stream).iter().any(result(2, None)), "there is room again");
}

#[test]
fn a_watch_needs_an_object_and_a_cookie() {
    let mut world = world();
    let (_, stream) = world.watcher("header", 1);
    world.down(stream);
    for (object, cookie, expected) in [("header", 0, Errno::EINVAL), ("nothing", 2, Errno::ENOENT)] {
        world.up(stream, register(object, cookie, None));
        assert!(world.down(stream).iter().any(result(cookie, Some(expected))), "{object} {cookie}");
    }
}

/// WATCH creates or replaces.
#[test]
fn a_cookie_that_is_registered_again_has_its_new_timeout_and_stream_and_hears_what_waits_for_it() {
    let limits = Limits { watches_per_object_max: 1, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    world.create("header");
    let (gid, first) = world.watcher("header", 1);
    let notify = world.notify(gid, "header", "hello", 60_000);
    let second = world.hello(gid);
    world.up(second, register("header", 1, Some(8000)));
    let down = world.down(second);
    assert!(down.iter().any(result(1, None)), "also at the limit of watches: {down:?}");
    assert!(down.iter().any(|event| matches!(event, WatchEvent::Notification(heard) if heard.cookie == 1)));
    world.lose(first);
    world.pass(7999);
    assert_eq!(
        world.watchers("header"),
        [(gid, 1)],
        "it is there once, whatever becomes of its first stream"
    );
    world.ack(second, "header", notify, 1, "");
    assert!(world.answer(notify).is_some_and(|answer| answer.replies.len() == 1));
    world.pass(1);
    assert_eq!(world.watchers("header"), [], "its first timeout was longer");
}

#[test]
fn a_notify_that_did_not_fit_into_a_stream_says_who_missed_it() {
    let mut world = world();
    let (one, stream) = world.watcher("header", 1);
    world.up(stream, register("header", 2, None));
    let (other, quick) = world.watcher("header", 3);
    let overrun = world.notify(other, "header", "hello", 60_000);
    world.ack(stream, "header", overrun, 1, "");
    let effects = world.osd.watch_stream_overrun(world.now, stream);
    world.effects.extend(effects);
    let afterwards = world.notify(other, "header", "hello", 60_000);
    for notify in [overrun, afterwards] {
        world.ack(quick, "header", notify, 3, "");
    }
    world.pass(500);
    let answer = world.answer(overrun).expect("its watches are gone");
    assert_eq!((answer.timed_out, answer.missed), (true, vec![(one, 2)]));
    let answer = world.answer(afterwards).expect("its watches are gone");
    assert!(!answer.timed_out && answer.missed.is_empty(), "it was never put on its way: {answer:?}");
}

#[test]
fn a_watch_that_comes_back_after_an_overrun_and_answers_has_not_missed_it() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    let notify = world.notify(gid, "header", "hello", 60_000);
    let effects = world.osd.watch_stream_overrun(world.now, stream);
    world.effects.extend(effects);
    let again = world.hello(gid);
    world.up(again, reconnect("header", 1));
    world.ack(again, "header", notify, 1, "here");
    let answer = world.answer(notify).expect("everybody answered");
    assert_eq!((answer.timed_out, answer.replies.len()), (false, 1));
}

#[test]
fn notifies_that_wait_have_a_limit_in_bytes_with_their_acks() {
    let mut world = World::with(Config { pending_notify_bytes_max: 100_000, ..Config::default() });
    world.create("header");
    world.create("other");
    let (gid, stream) = world.watcher("header", 1);
    let (_, second) = world.watcher("header", 2);
    world.up(stream, register("other", 1, None));
    let mut ask = |object, bytes: usize| {
        let payload = Bytes::from(vec![0; bytes]);
        let started = world.osd.notify(world.now, gid, ("rbd", object), payload, None);
        world.keep(started)
    };
    let first = ask("header", 50_000).expect("there is room");
    let refused = ask("other", 50_000).expect_err("the limit is that of all objects");
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert!(refused.text.contains("pending_notify_bytes_max = 100000"), "{}", refused.text);
    let ack = |payload: usize, cookie| WatchRequest::Ack {
        pool: "rbd".to_owned(),
        object: "header".to_owned(),
        notify_id: first,
        cookie,
        payload: vec![0; payload].into(),
    };
    world.up(stream, ack(40_000, 1));
    world.up(second, ack(40_000, 2));
    let answer = world.answer(first).expect("everybody answered");
    let bytes: Vec<_> = answer.replies.iter().map(|ack| ack.payload.len()).collect();
    assert_eq!(bytes, [40_000, 0], "one ack too many counts without its payload");
    let again = world.osd.notify(world.now, gid, ("rbd", "other"), vec![0; 99_000].into(), None);
    world.keep(again).expect("what has ended takes no room");
}

/// Invariant I5: whoever waits for a client's acks, or for its end, waits for a bounded time.
#[test]
fn a_client_cannot_make_the_osd_wait_for_ever() {
    let mut world = world();
    let gid = world.connect();
    let stream = world.hello(gid);
    world.up(stream, register("header", 1, Some(WATCH_TIMEOUT_MAX.0 + 1)));
    assert!(world.down(stream).iter().any(result(1, Some(Errno::EINVAL))));
    world.up(stream, register("header", 1, Some(WATCH_TIMEOUT_MAX.0)));
    assert_eq!(world.watchers("header"), [(gid, 1)]);
    let ask = |world: &mut World, timeout| {
        let started = world.osd.notify(world.now, gid, ("rbd", "header"), Bytes::new(), Some(timeout));
        world.keep(started)
    };
    let refused = ask(&mut world, Millis(u64::MAX)).expect_err("it would never end");
    assert_eq!(refused.errno, Errno::EINVAL);
    assert!(refused.text.contains("NOTIFY_TIMEOUT_MAX = 3600000 ms"), "{}", refused.text);
    ask(&mut world, NOTIFY_TIMEOUT_MAX).expect("the limit itself is fine");
}

#[test]
fn a_large_ack_counts_without_its_payload() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    for (bytes, counted) in [(ACK_BYTES_MAX, ACK_BYTES_MAX), (ACK_BYTES_MAX + 1, 0)] {
        let notify_id = world.notify(gid, "header", "?", 5000);
        let (pool, object, payload) = ("rbd".to_owned(), "header".to_owned(), Bytes::from(vec![0; bytes]));
        world.up(stream, WatchRequest::Ack { pool, object, notify_id, cookie: 1, payload });
        let answer = world.answer(notify_id).expect("everybody answered");
        assert_eq!((answer.replies.len(), answer.replies[0].payload.len()), (1, counted));
    }
    let events = world.osd.events_after(0, usize::MAX);
    let refused: Vec<_> = events.iter().filter(|event| event.error == Some(Errno::E2BIG)).collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].detail.contains("ACK_BYTES_MAX"), "{}", refused[0].detail);
}

#[test]
fn the_acks_of_one_notify_fit_into_one_message() {
    let mut world = world();
    let (gid, stream) = world.watcher("header", 1);
    let watches = (ACKS_BYTES_MAX / ACK_BYTES_MAX + 2) as u64;
    for cookie in 2..=watches {
        world.up(stream, register("header", cookie, None));
    }
    let notify_id = world.notify(gid, "header", "?", 5000);
    for cookie in 1..=watches {
        let (pool, object) = ("rbd".to_owned(), "header".to_owned());
        let payload = Bytes::from(vec![0; ACK_BYTES_MAX]);
        world.up(stream, WatchRequest::Ack { pool, object, notify_id, cookie, payload });
    }
    let answer = world.answer(notify_id).expect("everybody answered");
    assert_eq!(answer.replies.len() as u64, watches);
    assert_eq!(answer.replies.iter().map(|ack| ack.payload.len()).sum::<usize>(), ACKS_BYTES_MAX);
}
