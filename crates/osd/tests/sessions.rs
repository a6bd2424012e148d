//! Sessions: who may ask, and what runs once however often it is sent.

mod whole;

use bytes::Bytes;
use errno::Errno;
use osd::op::{Dialect, Op, Output, SnapContext, Vector};
use osd::{Config, Kind, Limits, Millis, Request, WatchEvent};
use prost::Message;
use proto::cls::{lock, rbd};
use whole::{World, errno, exec, register, write};

/// Sends a vector, loses the answer, sends it again: it happened once and the first result is reported.
fn happens_once(world: &mut World, gid: u64, tid: u64, object: &str, op: Op) {
    let applied = world.count(Kind::Applied);
    let first = world.send(gid, tid, 0, object, std::slice::from_ref(&op)).expect("it succeeds at first");
    let version = world.version(object);
    let second = world.send(gid, tid, 0, object, &[op]).expect("the first result is reported");
    assert_eq!(second, first);
    assert_eq!(world.version(object), version, "the object did not change again");
    assert_eq!(world.count(Kind::Applied), applied + 1);
    assert_eq!(world.count(Kind::Duplicate), 1);
}

fn lock() -> Op {
    let lock = lock::v1::Lock {
        name: "rbd_lock".to_owned(),
        r#type: lock::v1::LockType::Exclusive.into(),
        cookie: "auto 1".to_owned(),
        tag: "internal".to_owned(),
        ..Default::default()
    };
    exec("lock", "lock", &lock)
}

fn image(world: &mut World, gid: u64) {
    let create = rbd::v1::Create {
        size: 1 << 20,
        order: 22,
        features: 1,
        object_prefix: "rbd_data.1".to_owned(),
        ..Default::default()
    };
    world.must(gid, 1, "rbd_header.1", &[exec("rbd", "create", &create)]);
}

fn snapshot_add(world: &mut World) -> Op {
    let allocated = world.osd.allocate_snap_id(world.now, "rbd", 0, 0);
    let id = world.keep(allocated).expect("the pool exists");
    exec("rbd", "snapshot_add", &rbd::v1::SnapshotAdd { id, name: "s".to_owned(), created_unix_ms: 0 })
}

#[test]
fn what_happens_is_stamped_with_the_start_and_the_time_since() {
    let mut world = World::with(Config { started_unix_ms: 1_800_000_000_000, ..Config::default() });
    let gid = world.connect();
    world.now = Millis(7_000);
    image(&mut world, gid);
    let reply = world.must(gid, 2, "rbd_header.1", &[exec("rbd", "get_header", &())]);
    let Output::Exec { output } = &reply.results[0].output else { panic!("not a class call's result") };
    let header = rbd::v1::Header::decode(output.clone()).expect("it is one");
    assert_eq!(header.created_unix_ms, 1_800_000_007_000);
}

#[test]
fn a_snapshot_gets_the_pools_next_id_with_it_or_takes_none() {
    let next = |name: &str| {
        let snapshot = rbd::v1::SnapshotAdd { id: 0, name: name.to_owned(), created_unix_ms: 0 };
        exec("rbd", "snapshot_add", &snapshot)
    };
    let newest = |world: &World| world.osd.pools()[0].snap_seq;
    let mut world = World::new();
    let gid = world.connect();
    image(&mut world, gid);
    happens_once(&mut world, gid, 2, "rbd_header.1", next("a"));
    assert_eq!((newest(&world), world.count(Kind::SnapId)), (1, 1));
    let refused = world.send(gid, 3, 0, "rbd_header.1", &[next("b"), next("a")]);
    assert_eq!(errno(refused), Errno::EEXIST);
    assert_eq!((newest(&world), world.count(Kind::SnapId)), (1, 1), "with its vector no id was taken");
    world.must(gid, 4, "rbd_header.1", &[next("b"), next("c")]);
    assert_eq!((newest(&world), world.count(Kind::SnapId)), (3, 3));
    let allocated = world.osd.allocate_snap_id(world.now, "rbd", 0, 0);
    assert_eq!(world.keep(allocated), Ok(4));
}

#[test]
fn a_lock_whose_answer_was_lost_is_taken_once() {
    let mut world = World::new();
    let gid = world.connect();
    happens_once(&mut world, gid, 1, "rbd_header.1", lock());
    assert_eq!(world.count(Kind::Lock), 1);
}

#[test]
fn an_unlock_whose_answer_was_lost_happens_once() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "rbd_header.1", &[lock()]);
    let unlock = lock::v1::Unlock { name: "rbd_lock".to_owned(), cookie: "auto 1".to_owned() };
    happens_once(&mut world, gid, 2, "rbd_header.1", exec("lock", "unlock", &unlock));
    assert_eq!(world.count(Kind::Unlock), 1);
}

#[test]
fn a_snapshot_add_whose_answer_was_lost_happens_once() {
    let mut world = World::new();
    let gid = world.connect();
    image(&mut world, gid);
    let add = snapshot_add(&mut world);
    happens_once(&mut world, gid, 2, "rbd_header.1", add);
}

#[test]
fn a_set_id_whose_answer_was_lost_happens_once() {
    let mut world = World::new();
    let gid = world.connect();
    let set_id = exec("rbd", "set_id", &rbd::v1::ImageId { id: "1".to_owned() });
    happens_once(&mut world, gid, 1, "rbd_id.image", set_id);
}

#[test]
fn a_child_attach_whose_answer_was_lost_happens_once() {
    let mut world = World::new();
    let gid = world.connect();
    image(&mut world, gid);
    let add = snapshot_add(&mut world);
    world.must(gid, 2, "rbd_header.1", &[add]);
    let child = rbd::v1::Child { snap_id: 1, pool: "rbd".to_owned(), image_id: "2".to_owned() };
    happens_once(&mut world, gid, 3, "rbd_header.1", exec("rbd", "child_attach", &child));
}

#[test]
fn a_write_whose_answer_was_lost_happens_once() {
    let mut world = World::new();
    let gid = world.connect();
    happens_once(&mut world, gid, 1, "object", write("data"));
}

#[test]
fn a_failure_is_reported_again_although_it_would_succeed_by_now() {
    let mut world = World::new();
    let gid = world.connect();
    let other = world.connect();
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[Op::Remove {}])), Errno::ENOENT);
    world.must(other, 1, "object", &[write("data")]);
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[Op::Remove {}])), Errno::ENOENT);
    world.must(other, 2, "object", &[Op::AssertExists {}]);
}

#[test]
fn a_read_that_is_sent_again_reads_again() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("data")]);
    let before = world.must(gid, 2, "object", &[Op::Stat {}]);
    world.must(gid, 3, "object", &[write("longer data")]);
    assert_ne!(world.must(gid, 2, "object", &[Op::Stat {}]), before);
}

#[test]
fn a_late_copy_from_an_old_connection_never_applies() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("first")]);
    world.send(gid, 2, 2, "object", &[write("second")]).expect("it succeeds");
    let version = world.version("object");
    assert_eq!(errno(world.send(gid, 1, 0, "object", &[write("first")])), Errno::ESTALE);
    assert_eq!(world.version("object"), version);
}

#[test]
fn the_watermark_never_goes_back() {
    let mut world = World::new();
    let gid = world.connect();
    world.send(gid, 5, 5, "object", &[write("x")]).expect("it succeeds");
    world.send(gid, 6, 2, "object", &[write("x")]).expect("it succeeds");
    assert_eq!(errno(world.send(gid, 4, 2, "object", &[write("x")])), Errno::ESTALE);
}

#[test]
fn an_ended_session_is_refused_by_name() {
    let mut world = World::new();
    let gid = world.connect();
    let ended = world.osd.disconnect(world.now, gid);
    world.keep(ended).expect("it was live");
    let refused = world.send(gid, 1, 0, "object", &[write("x")]).expect_err("the session has ended");
    assert_eq!(refused.errno, Errno::ENOTCONN);
    assert!(refused.text.contains("session ended"), "{}", refused.text);
    assert_eq!(world.version("object"), 0);
}

#[test]
fn a_session_ends_when_neither_stream_nor_call_is_left() {
    let mut world = World::new();
    let gid = world.connect();
    world.pass(599_999);
    world.must(gid, 1, "object", &[write("x")]);
    world.pass(599_999);
    assert_eq!(world.osd.sessions().len(), 1);
    world.pass(1);
    assert_eq!(world.osd.sessions(), []);
    assert_eq!(errno(world.send(gid, 2, 0, "object", &[write("x")])), Errno::ENOTCONN);
}

#[test]
fn a_session_with_a_stream_lives_however_silent_it_is() {
    let mut world = World::new();
    let gid = world.connect();
    let opened = world.osd.op_stream_opened(world.now, gid);
    assert!(world.keep(opened));
    world.pass(10_000_000);
    assert_eq!(world.osd.sessions().len(), 1);
    let effects = world.osd.op_stream_closed(world.now, gid);
    world.effects.extend(effects);
    world.pass(600_000);
    assert_eq!(world.osd.sessions(), []);
}

#[test]
fn gids_are_never_given_out_twice() {
    let mut world = World::new();
    let first = world.connect();
    let ended = world.osd.disconnect(world.now, first);
    world.keep(ended).expect("it was live");
    world.fence(first + 1);
    assert_eq!(world.connect(), first + 2, "an instance that was fenced in advance is left out");
}

#[test]
fn nobody_in_particular_may_only_read() {
    let mut world = World::new();
    assert_eq!(errno(world.send(0, 1, 0, "object", &[write("x")])), Errno::EINVAL);
    assert_eq!(errno(world.send(0, 1, 0, "object", &[lock()])), Errno::EINVAL);
    assert_eq!(errno(world.send(0, 0, 0, "object", &[Op::Stat {}])), Errno::ENOENT);
}

#[test]
fn a_snap_id_whose_answer_was_lost_is_allocated_once() {
    let mut world = World::new();
    let gid = world.connect();
    let ids = [1, 1, 2].map(|tid| {
        let allocated = world.osd.allocate_snap_id(world.now, "rbd", gid, tid);
        world.keep(allocated).expect("the pool exists")
    });
    assert_eq!(ids, [1, 1, 2]);
    let refused = world.send(gid, 2, 0, "object", &[write("x")]);
    assert_eq!(errno(refused), Errno::EINVAL, "the tid was used");
}

/// Guards that no id is left without a snapshot: its client dies between asking for it and recording it.
#[test]
fn a_snap_id_that_nothing_names_goes_with_the_session_that_was_given_it() {
    let mut world = World::new();
    let gid = world.connect();
    image(&mut world, gid);
    let ids = [2, 3, 4, 5].map(|tid| {
        let allocated = world.osd.allocate_snap_id(world.now, "rbd", gid, tid);
        world.keep(allocated).expect("the pool exists")
    });
    let [unnamed, written_under, added, given_up] = ids;
    let snap_context = SnapContext { seq: written_under, snaps: vec![written_under] };
    let vector = Vector { snap_context, ..whole::vector("object", &[write("x")]) };
    let request = Request { gid: world.connect(), tid: 1, watermark: 0, vector };
    let written = world.osd.operate(world.now, &request);
    world.keep(written).as_ref().as_ref().expect("it is written");
    let add = rbd::v1::SnapshotAdd { id: added, name: "s".to_owned(), created_unix_ms: 0 };
    world.must(gid, 6, "rbd_header.1", &[exec("rbd", "snapshot_add", &add)]);
    let removed = world.osd.remove_snap_id(world.now, "rbd", given_up, gid);
    world.keep(removed).expect("it was given");
    let trimmed = |world: &World| {
        let events = world.osd.events_after(0, usize::MAX);
        let trims = events.iter().filter(|event| event.kind == Kind::SnapTrimmed);
        trims.map(|event| event.detail.clone()).collect::<Vec<_>>()
    };
    let told = |id: u64| format!("snap id {id}, 0 objects");
    assert_eq!(trimmed(&world), [told(given_up)]);
    world.fence(gid);
    assert_eq!(trimmed(&world), [told(given_up), told(unnamed)]);
}

#[test]
fn a_client_that_never_moves_its_watermark_is_stopped_by_a_named_limit() {
    let mut world = World::with(Config { stored_replies_per_session_max: 2, ..Config::default() });
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("1")]);
    world.must(gid, 2, "object", &[write("2")]);
    let refused = world.send(gid, 3, 0, "object", &[write("3")]).expect_err("the limit is reached");
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert!(refused.text.contains("stored_replies_per_session_max"), "{}", refused.text);
    world.send(gid, 3, 3, "object", &[write("3")]).expect("the watermark made room");
}

#[test]
fn what_breaks_a_rule_changes_nothing_and_says_so() {
    let limits = Limits { payload_bytes_max: 8, ..Limits::default() };
    let mut world = World::with(Config { limits, ..Config::default() });
    let gid = world.connect();
    let garbage = Op::Exec {
        class: "lock".to_owned(),
        method: "lock".to_owned(),
        dialect: Dialect::Protobuf,
        input: "\u{1}\u{1}\u{1}".into(),
    };
    let vectors = [
        (exec("no_such_class", "method", &()), Errno::EOPNOTSUPP, "no_such_class"),
        (garbage, Errno::EINVAL, "lock"),
        (write("nine bytes"), Errno::E2BIG, "payload_bytes_max"),
    ];
    for (tid, (op, expected, named)) in (1..).zip(vectors) {
        let refused = world.send(gid, tid, 0, "object", &[Op::Create { exclusive: false }, op]);
        let refused = refused.expect_err("it breaks a rule");
        assert_eq!(refused.errno, expected, "{refused}");
        assert!(refused.text.contains(named), "{refused}");
    }
    assert_eq!(world.version("object"), 0);
    assert_eq!((world.count(Kind::Applied), world.count(Kind::Refused)), (0, 3));
}

#[test]
fn a_pool_that_does_not_exist_is_named() {
    let world = World::new();
    let listed = world.osd.list_objects("nowhere", "", "", 0).expect_err("there is no such pool");
    assert_eq!(listed.errno, Errno::ENOENT);
    assert!(listed.text.contains("'nowhere'"), "{}", listed.text);
}

#[test]
fn events_are_numbered_without_holes_and_the_oldest_go_first() {
    let mut world = World::with(Config { events_kept_max: 3, ..Config::default() });
    let gid = world.connect();
    for tid in 1..=5 {
        world.must(gid, tid, "object", &[write("x")]);
    }
    let newest = world.osd.newest_event();
    let after = |after| -> Vec<(Kind, u64)> {
        let events = world.osd.events_after(after, 9);
        events.iter().map(|event| (event.kind, event.sequence)).collect()
    };
    let kept = [newest - 2, newest - 1, newest].map(|sequence| (Kind::Applied, sequence));
    assert_eq!(after(newest - 3), kept);
    assert_eq!(after(newest - 1), kept[2..]);
    for reader in [0, newest - 4] {
        let [gap, rest @ ..] = &after(reader)[..] else { panic!("there are events") };
        assert_eq!((gap, rest), (&(Kind::Gap, newest - 3), &kept[..]), "what is missing is marked");
    }
}

#[test]
fn an_event_shows_the_beginning_of_a_payload_and_its_length() {
    let mut world = World::new();
    world.create("header");
    let (gid, _) = world.watcher("header", 1);
    let asked = world.osd.notify(world.now, gid, ("rbd", "header"), vec![7; 16 << 20].into(), None);
    world.keep(asked).expect("it is within the limit");
    let events = world.osd.events_after(0, 99);
    let notify = events.iter().find(|event| event.kind == Kind::Notify).expect("it is told");
    assert_eq!((notify.payload.len(), notify.payload_bytes), (4096, 16 << 20));
}

#[test]
fn stored_replies_have_a_limit_in_bytes_which_the_watermark_frees() {
    let mut world = World::with(Config { stored_reply_bytes_per_session_max: 1000, ..Config::default() });
    let gid = world.connect();
    let large = || [Op::WriteFull { data: vec![0; 900].into() }, Op::Read { offset: 0, length: 0 }];
    world.must(gid, 1, "object", &large());
    world.must(gid, 2, "object", &large());
    let refused = world.send(gid, 3, 0, "object", &large()).expect_err("the first two are still stored");
    assert_eq!(refused.errno, Errno::EAGAIN);
    assert!(refused.text.contains("stored_reply_bytes_per_session_max = 1000"), "{}", refused.text);
    world.send(gid, 3, 3, "object", &large()).expect("the watermark has passed both");
}

/// Refusals are logged before anybody has shown a session: they must not let strangers fill the memory.
#[test]
fn the_log_shows_only_the_beginning_of_what_is_long() {
    let mut world = World::new();
    let long = "n".repeat(1 << 20);
    let many = vec![Op::AssertExists {}; 100_000];
    assert_eq!(errno(world.send(0, 0, 0, &long, &[Op::Stat {}])), Errno::ENAMETOOLONG);
    assert_eq!(errno(world.send(999, 1, 0, &long, &many)), Errno::ENOTCONN);
    assert_eq!(errno(world.send(0, 0, 0, "object", &many)), Errno::E2BIG);
    let stranger = Op::Exec {
        class: long.clone(),
        method: long.clone(),
        dialect: Dialect::Protobuf,
        input: Bytes::new(),
    };
    assert_eq!(errno(world.send(0, 0, 0, "object", &[stranger])), Errno::ENAMETOOLONG);
    let notified = world.osd.notify(world.now, 999, (&long, &long), Bytes::new(), None);
    assert_eq!(errno(notified.0), Errno::ENOTCONN);
    let gid = world.connect();
    let cookie = lock::v1::Lock { name: "l".to_owned(), r#type: 1, cookie: long, ..Default::default() };
    world.must(gid, 1, "object", &[exec("lock", "lock", &cookie)]);
    assert_eq!((world.count(Kind::Refused), world.count(Kind::Lock)), (5, 1));
    for event in world.osd.events_after(0, usize::MAX) {
        let arguments: usize = event.arguments.iter().map(String::len).sum();
        let bytes = event.pool.len() + event.object.len() + event.detail.len() + arguments;
        assert!(bytes < 5 << 10, "{bytes} bytes in a {} event", event.kind.name());
    }
}

#[test]
fn the_log_says_what_a_commit_is_about() {
    let mut world = World::new();
    let gid = world.connect();
    let made = rbd::v1::Create {
        size: 4096,
        order: 12,
        features: 1,
        object_prefix: "d".into(),
        ..Default::default()
    };
    world.must(gid, 1, "h", &[exec("rbd", "create", &made)]);
    world.must(
        gid,
        2,
        "h",
        &[Op::AssertExists {}, exec("rbd", "set_size", &rbd::v1::SetSize { size: 8192 })],
    );
    let added = rbd::v1::SnapshotAdd { id: 1, name: "first".into(), ..Default::default() };
    world.must(gid, 3, "h", &[exec("rbd", "snapshot_add", &added)]);
    let events = world.osd.events_after(0, usize::MAX);
    let applied = events.iter().filter(|event| event.kind == Kind::Applied);
    let told: Vec<_> = applied.map(|event| event.arguments.join("|")).collect();
    assert_eq!(told, ["", "|8192", "1 first"]);
}

#[test]
fn the_log_keeps_as_many_events_as_their_bytes_allow() {
    let mut world = World::with(Config { event_bytes_kept_max: 1000, ..Config::default() });
    for _ in 0..20 {
        assert_eq!(errno(world.send(999, 1, 0, &"n".repeat(200), &[write("x")])), Errno::ENOTCONN);
    }
    let kept = world.osd.events_after(0, usize::MAX);
    let bytes: usize = kept.iter().map(|event| event.object.len()).sum();
    assert!((200..=1000).contains(&bytes), "{bytes} bytes in {} events", kept.len());
    assert_eq!(kept.last().map(|event| event.sequence), Some(world.osd.newest_event()));
}

/// Its name is repeated to everybody who lists sessions or watchers: the answers must fit into a message.
#[test]
fn a_client_whose_name_is_too_long_is_refused_by_the_limit() {
    let mut world = World::new();
    let long = "c".repeat(257);
    let (refused, _) = world.osd.connect(world.now, &long, "127.0.0.1:1");
    let refused = refused.expect_err("the name is too long");
    assert_eq!(refused.errno, Errno::EINVAL);
    assert!(refused.text.starts_with("a client's name has at most 256 bytes"), "{refused}");
    assert!(refused.text.len() < 200, "{refused}");
    assert_eq!(world.osd.sessions(), []);
    let (connected, _) = world.osd.connect(world.now, &long[1..], "127.0.0.1:1");
    connected.expect("256 bytes are allowed");
}

#[test]
fn a_pool_or_an_object_whose_name_is_too_long_is_refused_by_the_limit() {
    let mut world = World::new();
    let long = "p".repeat(257);
    let (gid, stream) = world.watcher("object", 1);
    let (created, _) = world.osd.create_pool(world.now, &long);
    let (allocated, _) = world.osd.allocate_snap_id(world.now, &long, 0, 0);
    let (removed, _) = world.osd.remove_snap_id(world.now, &long, 1, 0);
    let (notified, _) = world.osd.notify(world.now, gid, ("rbd", &long), Bytes::new(), None);
    let (watchers, _) = world.osd.list_watchers(world.now, &long, "object");
    world.down(stream);
    world.up(stream, register(&long, 2, None));
    let [WatchEvent::Result { cookie: 2, error: Some(watched) }] = &world.down(stream)[..] else {
        panic!("a watch request is answered once")
    };
    let refusals = [
        created.map(drop),
        allocated.map(drop),
        removed,
        notified.map(drop),
        watchers.map(drop),
        world.osd.list_objects(&long, "", "", 0).map(drop),
        Err(watched.clone()),
    ];
    for refusal in refusals {
        let refusal = refusal.expect_err("no pool and no object can have this name");
        assert_eq!(refusal.errno, Errno::ENAMETOOLONG, "{refusal}");
        assert!(refusal.text.contains("at most 256 bytes"), "{refusal}");
        assert!(refusal.text.len() < 200, "{refusal}");
    }
    let (created, _) = world.osd.create_pool(world.now, &long[1..]);
    created.expect("256 bytes are allowed");
}
