//! Watches and notifies as ops of vectors: the way of Ceph's clients.

mod whole;

use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use osd::op::{Door, Op, Output, SnapContext, Terms, Vector};
use osd::{
    Ack, Config, Effect, Entity, Kind, Limits, Millis, NotifyReply, Refused, Request, StreamId, WatchEvent,
};
use store::Name;
use whole::{World, disconnected};

const COOKIE: u64 = 94;
/// Of the notifier: its own name for the notify.
const NOTIFIER_COOKIE: u64 = 7;

/// The object that everything is about, as it is shown.
const OBJECT: &str = "\u{fffd}header";

/// A world in which Ceph's clients talk.
struct Ceph {
    world: World,
    tid: u64,
}

impl Ceph {
    /// With the object that everything is about, in a namespace, under a name that is no text.
    fn new() -> Self {
        let config = Config {
            osd_client_watch_timeout: Millis(1000),
            osd_client_watch_grace: Millis(500),
            ..Config::default()
        };
        let mut ceph = Self { world: World::with(config), tid: 0 };
        ceph.connect(4999);
        ceph.must(4999, Op::Create { exclusive: true });
        ceph
    }

    fn connect(&mut self, gid: u64) -> StreamId {
        let address = format!("127.0.0.1:0/{gid}");
        let entity = Entity { gid, name: "admin", address: &address };
        let connected = self.world.osd.entity_connected(self.world.now, entity);
        self.world.keep(connected).expect("there is room")
    }

    fn run(&mut self, gid: u64, op: Op) -> Result<Output, Refused> {
        self.tid += 1;
        let vector = Vector {
            pool: "rbd".to_owned(),
            namespace: "other".into(),
            object: Name::from(&b"\xffheader"[..]),
            snap_id: None,
            snap_context: SnapContext::default(),
            terms: Terms::ceph(),
            ops: vec![op],
        };
        let request = Request { gid, tid: self.tid, watermark: 0, vector };
        let operated = self.world.osd.operate(self.world.now, &request);
        let reply = Arc::unwrap_or_clone(self.world.keep(operated));
        reply.map(|mut answer| answer.results.remove(0).output)
    }

    fn must(&mut self, gid: u64, op: Op) -> Output {
        self.run(gid, op).expect("the test set this up to succeed")
    }

    fn errno(&mut self, gid: u64, op: Op) -> Errno {
        self.run(gid, op).expect_err("the test set this up to be refused").error.errno
    }

    /// A client that watches, and its connection.
    fn watcher(&mut self, gid: u64) -> StreamId {
        let stream = self.connect(gid);
        self.must(gid, watch(0));
        self.world.down(stream);
        stream
    }

    fn notify(&mut self, gid: u64, payload: &'static str) -> u64 {
        let payload = Bytes::from_static(payload.as_bytes());
        let notify = Op::Notify { cookie: NOTIFIER_COOKIE, timeout: Millis(3000), payload };
        match self.must(gid, notify) {
            Output::Notified { notify_id } => notify_id,
            other => panic!("{other:?}"),
        }
    }

    /// On an object of the gRPC door's clients.
    fn notify_on(&mut self, gid: u64, object: &str) -> u64 {
        self.tid += 1;
        let payload = Bytes::from_static(b"hello");
        let notify = Op::Notify { cookie: NOTIFIER_COOKIE, timeout: Millis(3000), payload };
        let (pool, object) = ("rbd".to_owned(), Name::from(object));
        let vector = Vector {
            pool,
            namespace: Name::default(),
            object,
            snap_id: None,
            snap_context: SnapContext::default(),
            terms: Terms::ceph(),
            ops: vec![notify],
        };
        let request = Request { gid, tid: self.tid, watermark: 0, vector };
        let operated = self.world.osd.operate(self.world.now, &request);
        let reply = Arc::unwrap_or_clone(self.world.keep(operated)).expect("the object is there");
        match reply.results[0].output {
            Output::Notified { notify_id } => notify_id,
            ref other => panic!("{other:?}"),
        }
    }

    /// What a notifier is told of a notify.
    fn done(&mut self, stream: StreamId, id: u64) -> Option<NotifyReply> {
        self.world.down(stream).into_iter().find_map(|event| match event {
            WatchEvent::NotifyDone { cookie: NOTIFIER_COOKIE, notify_id, reply } if notify_id == id => {
                Some(reply)
            }
            _ => None,
        })
    }

    fn watchers(&mut self) -> Vec<(u64, u64, String)> {
        match self.must(4999, Op::ListWatchers {}) {
            Output::Watchers { watchers } => {
                watchers.into_iter().map(|watcher| (watcher.gid, watcher.cookie, watcher.address)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn watch(timeout: u64) -> Op {
    Op::Watch { cookie: COOKIE, timeout: Millis(timeout) }
}

fn ack(notify_id: u64, payload: &'static str) -> Op {
    Op::NotifyAck { notify_id, cookie: COOKIE, payload: Bytes::from_static(payload.as_bytes()) }
}

#[test]
fn a_notify_reaches_every_watch_and_its_answers_the_notifier() {
    let mut ceph = Ceph::new();
    let (first, second) = (ceph.watcher(5001), ceph.watcher(5002));
    let notifier = ceph.connect(5003);
    let id = ceph.notify(5003, "hello");
    for stream in [first, second] {
        assert_eq!(ceph.world.heard(stream), [(COOKIE, "hello".to_owned())]);
    }
    ceph.must(5001, ack(id, "one"));
    assert_eq!(ceph.done(notifier, id), None, "one has not answered");
    ceph.must(5002, ack(id, "two"));
    let reply = ceph.done(notifier, id).expect("all have answered");
    let answer = |gid, payload| Ack { gid, cookie: COOKIE, door: Door::Ceph, payload: Bytes::from(payload) };
    let replies = vec![answer(5001, "one"), answer(5002, "two")];
    assert_eq!(
        reply,
        NotifyReply {
            pool: "rbd".to_owned(),
            object: OBJECT.to_owned(),
            timed_out: false,
            replies,
            missed: Vec::new()
        }
    );
    let is_call = |effect: &Effect| matches!(effect, Effect::NotifyDone { .. });
    assert!(!ceph.world.effects.iter().any(is_call), "nobody waits for a call");
}

/// What is said goes from door to door as it is, and with it the door: the edge translates.
#[test]
fn a_notify_and_its_answers_say_through_which_door_they_came() {
    let mut ceph = Ceph::new();
    let (notifier, plain) = (ceph.connect(5003), "rbd_header.1");
    ceph.world.create(plain);
    let (grpc, stream) = ceph.world.watcher(plain, 1);
    let door_heard = |world: &mut World| {
        let heard = world.down(stream).into_iter().filter_map(|event| match event {
            WatchEvent::Notification(heard) => Some(heard.door),
            _ => None,
        });
        heard.collect::<Vec<_>>()
    };
    let id = ceph.notify_on(5003, plain);
    assert_eq!(door_heard(&mut ceph.world), [Door::Ceph]);
    ceph.world.ack(stream, plain, id, 1, "hi");
    let reply = ceph.done(notifier, id).expect("all have answered");
    let ack = Ack { gid: grpc, cookie: 1, door: Door::Grpc, payload: Bytes::from("hi") };
    assert_eq!((reply.object.as_str(), reply.replies), (plain, vec![ack]));
    ceph.world.notify(grpc, plain, "hello", 5000);
    assert_eq!(door_heard(&mut ceph.world), [Door::Grpc]);
}

#[test]
fn who_does_not_answer_in_time_is_named() {
    let mut ceph = Ceph::new();
    ceph.watcher(5001);
    let notifier = ceph.connect(5003);
    let id = ceph.notify(5003, "hello");
    ceph.world.pass(2999);
    assert_eq!(ceph.done(notifier, id), None);
    ceph.world.pass(1);
    let missed = vec![(5001, COOKIE)];
    let (pool, object) = ("rbd".to_owned(), OBJECT.to_owned());
    let reply = NotifyReply { pool, object, timed_out: true, replies: Vec::new(), missed };
    assert_eq!(ceph.done(notifier, id), Some(reply));
    ceph.must(5001, ack(id, "late"));
}

/// The client asks again on its new connection, and is answered there.
#[test]
fn a_notifier_that_is_gone_is_told_nothing() {
    let mut ceph = Ceph::new();
    ceph.watcher(5001);
    let former = ceph.connect(5003);
    let id = ceph.notify(5003, "hello");
    let stream = ceph.connect(5003);
    ceph.must(5001, ack(id, ""));
    assert_eq!((ceph.done(former, id), ceph.done(stream, id)), (None, None));
}

#[test]
fn a_notify_to_nobody_is_answered_at_once() {
    let mut ceph = Ceph::new();
    let notifier = ceph.connect(5003);
    let id = ceph.notify(5003, "hello");
    assert!(ceph.done(notifier, id).is_some_and(|reply| !reply.timed_out));
}

/// librados pings every 5 s by its own clock, whatever timeout the OSD is set up with.
#[test]
fn a_silent_watch_lives_for_two_ping_intervals_at_least() {
    let mut ceph = Ceph::new();
    let stream = ceph.watcher(5001);
    ceph.world.pass(9_999);
    ceph.must(5001, Op::Ping { cookie: COOKIE });
    ceph.world.pass(9_999);
    assert_eq!(ceph.watchers().len(), 1, "it was heard of");
    ceph.world.pass(1);
    assert_eq!(ceph.watchers(), []);
    let down = ceph.world.down(stream);
    assert!(down.iter().any(disconnected(COOKIE, Errno::ENOTCONN)), "{down:?}");
    assert_eq!(ceph.errno(5001, Op::Ping { cookie: COOKIE }), Errno::ENOTCONN);
}

#[test]
fn a_longer_timeout_is_granted() {
    let mut ceph = Ceph::new();
    ceph.connect(5001);
    ceph.must(5001, watch(60_000));
    ceph.world.pass(59_999);
    assert_eq!(ceph.watchers().len(), 1);
    assert_eq!(ceph.errno(5001, watch(3_600_001)), Errno::EINVAL);
}

#[test]
fn a_watch_goes_on_over_a_new_connection_and_hears_what_it_has_missed() {
    let mut ceph = Ceph::new();
    let former = ceph.watcher(5001);
    let notifier = ceph.connect(5003);
    ceph.world.lose(former);
    assert_eq!(ceph.errno(5001, Op::Ping { cookie: COOKIE }), Errno::ETIMEDOUT, "it has no connection");
    let id = ceph.notify(5003, "hello");
    let stream = ceph.connect(5001);
    ceph.must(5001, Op::Reconnect { cookie: COOKIE });
    assert_eq!(ceph.world.heard(stream), [(COOKIE, "hello".to_owned())]);
    ceph.must(5001, ack(id, ""));
    assert!(ceph.done(notifier, id).is_some_and(|reply| !reply.timed_out));
}

#[test]
fn a_watch_whose_connection_is_gone_expires_after_the_grace() {
    let mut ceph = Ceph::new();
    let stream = ceph.watcher(5001);
    ceph.world.lose(stream);
    ceph.world.pass(499);
    assert_eq!(ceph.watchers().len(), 1);
    ceph.world.pass(1);
    assert_eq!(ceph.watchers(), []);
    ceph.connect(5001);
    assert_eq!(ceph.errno(5001, Op::Reconnect { cookie: COOKIE }), Errno::ENOTCONN);
}

/// Under a clock that is told when to pass, who lives is asked.
#[test]
fn an_answer_to_the_question_who_lives_renews_the_watches_of_a_connection() {
    let mut ceph = Ceph::new();
    let stream = ceph.watcher(5001);
    let asked = ceph.world.osd.ask_watches(ceph.world.now);
    assert_eq!(ceph.world.keep(asked), [stream]);
    assert_eq!(ceph.world.down(stream), [WatchEvent::Ask]);
    assert!(ceph.world.osd.is_waiting_for(&[stream]));
    ceph.must(5001, Op::Ping { cookie: COOKIE });
    assert!(!ceph.world.osd.is_waiting_for(&[stream]));
}

#[test]
fn watchers_are_listed_with_their_addresses_until_they_watch_no_longer() {
    let mut ceph = Ceph::new();
    ceph.watcher(5001);
    assert_eq!(ceph.watchers(), [(5001, COOKIE, "127.0.0.1:0/5001".to_owned())]);
    ceph.must(5001, Op::Unwatch { cookie: COOKIE });
    ceph.must(5001, Op::Unwatch { cookie: COOKIE });
    assert_eq!(ceph.watchers(), []);
}

#[test]
fn a_removed_object_takes_its_watches_along() {
    let mut ceph = Ceph::new();
    let stream = ceph.watcher(5001);
    ceph.must(4999, Op::Remove {});
    let down = ceph.world.down(stream);
    assert!(down.iter().any(disconnected(COOKIE, Errno::ENOTCONN)), "{down:?}");
    assert_eq!(ceph.errno(5001, watch(0)), Errno::ENOENT);
    let notify = Op::Notify { cookie: 1, timeout: Millis(0), payload: Bytes::new() };
    assert_eq!(ceph.errno(5001, notify), Errno::ENOENT);
}

#[test]
fn a_fenced_client_watches_no_longer() {
    let mut ceph = Ceph::new();
    ceph.watcher(5001);
    ceph.world.fence(5001);
    assert_eq!(ceph.watchers(), []);
    assert_eq!(ceph.errno(5001, watch(0)), Errno::EBLOCKLISTED);
}

/// A watch is no change: who guards by the version must not be disturbed.
#[test]
fn watching_leaves_the_version_alone() {
    let mut ceph = Ceph::new();
    let applied = ceph.world.count(Kind::Applied);
    ceph.watcher(5001);
    assert_eq!(ceph.world.count(Kind::Applied), applied);
    assert_eq!(ceph.world.count(Kind::Watch), 1);
}

#[test]
fn a_client_that_cannot_be_told_anything_watches_nothing() {
    let mut ceph = Ceph::new();
    let stream = ceph.connect(5001);
    ceph.world.lose(stream);
    assert_eq!(ceph.errno(5001, watch(0)), Errno::ENOTCONN);
}

#[test]
fn limits_hold_for_these_ops_too() {
    let mut ceph = Ceph::new();
    let limits =
        Limits { watches_per_object_max: 1, pending_notifies_per_object_max: 1, ..Limits::default() };
    ceph.world = World::with(Config { limits, ..Config::default() });
    ceph.connect(4999);
    ceph.must(4999, Op::Create { exclusive: true });
    ceph.watcher(5001);
    ceph.connect(5002);
    assert_eq!(ceph.errno(5002, watch(0)), Errno::EMFILE);
    ceph.must(5001, watch(0));
    ceph.notify(5002, "hello");
    let notify = Op::Notify { cookie: 1, timeout: Millis(0), payload: Bytes::new() };
    assert_eq!(ceph.errno(5002, notify), Errno::EAGAIN);
}
