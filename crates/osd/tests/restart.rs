//! An OSD that is opened on what a crash has left: it goes on where the store ended.

#[path = "../../store/tests/shaky/mod.rs"]
mod shaky;
mod whole;

use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use osd::op::{Op, SnapContext, Terms, Vector};
use osd::{
    Answer, Config, Effect, Entity, Millis, OBJECTS_PER_STEP_MAX, OpError, Osd, Request, StreamId,
    WatchEvent, WatchRequest,
};
use proto::cls::rbd::v1::{Create, SnapshotAdd, SnapshotGet};
use shaky::{Handle, Shaky};
use store::{PoolId, Seq, Store, StoreError};
use whole::{errno, exec};

/// Wall clock at the start of the first life.
const STARTED_UNIX_MS: u64 = 1_800_000_000_000;

/// An OSD, on a store that is late.
struct World {
    osd: Osd<Shaky>,
    store: Handle,
    config: Config,
    now: Millis,
}

impl World {
    fn new() -> Self {
        let config = Config { started_unix_ms: STARTED_UNIX_MS, ..Config::default() };
        let (store, handle) = Shaky::new();
        let osd = Osd::open(store, config.clone(), 4000, Millis(0)).expect("it is empty");
        let mut world = Self { osd, store: handle, config, now: Millis(0) };
        world.osd.create_pool(world.now, "rbd").0.expect("the first pool");
        world.store.be_late();
        world
    }

    /// The store has everything that has happened.
    fn settle(&self) {
        self.store.catch_up();
    }

    /// A process dies and another one starts so much later, by its own clock.
    fn crash(&mut self, later: u64) {
        let (store, handle) = self.store.crash();
        self.config.started_unix_ms += self.now.0 + later;
        self.now = Millis(0);
        self.osd = Osd::open(store, self.config.clone(), 4000, self.now).expect("what it kept is sound");
        self.store = handle;
        self.store.be_late();
    }

    /// Another OSD, on a store that a crash left with everything up to there.
    fn crashed_at(&self, seq: u64) -> Self {
        let (store, handle) = self.store.crashed_at(Seq(seq));
        let osd = Osd::open(store, self.config.clone(), 4000, self.now).expect("what it kept is sound");
        Self { osd, store: handle, config: self.config.clone(), now: self.now }
    }

    fn work(&mut self) {
        while self.osd.has_work() {
            self.osd.work(self.now);
        }
    }

    fn connect(&mut self) -> u64 {
        self.osd.connect(self.now, "client", "127.0.0.1:1").0.expect("there is room").0
    }

    fn snap(&mut self) -> u64 {
        self.osd.allocate_snap_id(self.now, "rbd", 0, 0).0.expect("the pool is there")
    }

    fn give_up(&mut self, snap_id: u64) {
        self.osd.remove_snap_id(self.now, "rbd", snap_id, 0).0.expect("it was allocated");
    }

    fn write(&mut self, gid: u64, tid: u64, object: &str, snaps: &[u64]) -> Result<Answer, OpError> {
        let snap_context = SnapContext { seq: snaps.first().copied().unwrap_or(0), snaps: snaps.to_vec() };
        let vector =
            Vector { snap_context, ..vector(object, Op::WriteFull { data: Bytes::from_static(b"data") }) };
        self.operate(gid, tid, vector)
    }

    fn operate(&mut self, gid: u64, tid: u64, vector: Vector) -> Result<Answer, OpError> {
        self.operate_above(gid, (tid, 0), vector)
    }

    fn operate_above(
        &mut self,
        gid: u64,
        (tid, watermark): (u64, u64),
        vector: Vector,
    ) -> Result<Answer, OpError> {
        let operated = self.osd.operate(self.now, &Request { gid, tid, watermark, vector });
        Arc::unwrap_or_clone(operated.0).map_err(|refused| refused.error)
    }

    /// Appends, which shows how often it happened.
    fn append(&mut self, gid: u64, tid: u64) -> Result<Answer, OpError> {
        self.operate(gid, tid, vector("object", append()))
    }

    fn entity(&mut self, gid: u64, address: &str) -> Result<StreamId, OpError> {
        self.osd.entity_connected(self.now, Entity { gid, name: "admin", address }).0
    }

    fn must_entity(&mut self, gid: u64) -> StreamId {
        self.entity(gid, "127.0.0.1:0/77").expect("there is room")
    }

    fn hello(&mut self, gid: u64) -> StreamId {
        self.osd.watch_hello(self.now, gid).0.expect("the session is live")
    }

    /// What the OSD says to a request of a watch stream.
    fn up(&mut self, stream: StreamId, request: WatchRequest) -> Result<(), Errno> {
        let effects = self.osd.watch_request(self.now, stream, request);
        let said = effects.iter().find_map(|effect| match effect {
            Effect::ToWatcher { event: WatchEvent::Result { error, .. }, .. } => Some(error.as_ref()),
            _ => None,
        });
        said.expect("it is answered").map_or(Ok(()), |error| Err(error.errno))
    }

    fn watch(&mut self, stream: StreamId, cookie: u64) -> Result<(), Errno> {
        let (pool, object) = place();
        self.up(stream, WatchRequest::Register { pool, object, cookie, timeout: Some(Millis(10_000)) })
    }

    fn unwatch(&mut self, stream: StreamId, cookie: u64) -> Result<(), Errno> {
        let (pool, object) = place();
        self.up(stream, WatchRequest::Unwatch { pool, object, cookie })
    }

    fn reconnect(&mut self, stream: StreamId, cookie: u64) -> Result<(), Errno> {
        let (pool, object) = place();
        self.up(stream, WatchRequest::Reconnect { pool, object, cookie })
    }

    /// (gid, cookie); nothing for an object that is not there.
    fn watchers(&mut self) -> Vec<(u64, u64)> {
        let listed = self.osd.list_watchers(self.now, "rbd", "object").0.unwrap_or_default();
        listed.iter().map(|watcher| (watcher.gid, watcher.cookie)).collect()
    }

    fn gids(&self) -> Vec<u64> {
        self.osd.sessions().iter().map(|session| session.gid).collect()
    }

    fn pass(&mut self, span: u64) {
        self.now = Millis(self.now.0 + span);
        self.osd.tick(self.now);
    }

    /// How many records of each kind a crash would leave if everything were durable.
    fn records(&self, kind: u8) -> usize {
        let (store, _) = self.store.crashed_at(self.store.newest());
        Store::records(&store, &[kind], b"", usize::MAX).expect("it works").len()
    }

    fn read_at(&mut self, object: &str, snap_id: u64) -> Option<Errno> {
        let vector = Vector { snap_id: Some(snap_id), ..vector(object, Op::Stat {}) };
        self.operate(0, 0, vector).err().map(|refusal| refusal.errno)
    }

    fn bytes(&self) -> u64 {
        self.osd.pools().iter().map(|pool| pool.totals.bytes).sum()
    }

    fn fences(&mut self) -> Vec<(u64, Millis)> {
        self.osd.blocklist(self.now).0
    }
}

fn vector(object: &str, op: Op) -> Vector {
    whole::vector(object, &[op])
}

fn append() -> Op {
    Op::Append { data: Bytes::from_static(b"x") }
}

/// By the rules of Ceph's clients.
fn ceph(ops: Vec<Op>) -> Vector {
    Vector { ops, terms: Terms::ceph(), ..vector("object", append()) }
}

fn place() -> (String, String) {
    ("rbd".to_owned(), "object".to_owned())
}

#[test]
fn pools_and_their_numbers_survive_as_far_as_they_were_durable() {
    let mut world = World::new();
    world.osd.create_pool(world.now, "images").0.expect("the name is free");
    world.osd.create_pool(world.now, "gone").0.expect("the name is free");
    world.osd.remove_pool(world.now, "gone").0.expect("it is there");
    world.settle();
    let before = world.osd.pools();
    world.osd.create_pool(world.now, "lost").0.expect("the name is free");
    world.crash(0);
    assert_eq!(world.osd.pools(), before);
    assert_eq!(world.osd.create_pool(world.now, "gone").0, Ok(4), "the numbers 1 to 3 were given");
}

#[test]
fn a_renamed_pool_keeps_its_number_and_what_it_holds_and_so_after_a_crash() {
    let mut world = World::new();
    let gid = world.connect();
    world.write(gid, 1, "object", &[]).expect("it is written");
    world.osd.create_pool(world.now, "images").0.expect("the name is free");
    assert_eq!(errno(world.osd.rename_pool(world.now, "none", "other").0), Errno::ENOENT);
    assert_eq!(errno(world.osd.rename_pool(world.now, "rbd", "images").0), Errno::EEXIST);
    assert_eq!(errno(world.osd.rename_pool(world.now, "rbd", "").0), Errno::EINVAL);
    world.osd.rename_pool(world.now, "rbd", "tank").0.expect("the name is free");
    world.settle();
    for _ in 0..2 {
        let pools = world.osd.pools();
        let names: Vec<_> = pools.iter().map(|pool| (pool.id, pool.name.as_str())).collect();
        assert_eq!(names, [(1, "tank"), (2, "images")]);
        assert_eq!(pools[0].totals.objects, 1);
        world.crash(0);
    }
}

#[test]
fn snapshot_ids_survive_and_none_is_given_twice() {
    let mut world = World::new();
    let gid = world.connect();
    world.write(gid, 1, "object", &[]).expect("it is written");
    let snaps: Vec<u64> = (0..10).map(|_| world.snap()).collect();
    // Ranges that begin, grow at both ends and join.
    for snap_id in [3, 7, 4, 2, 5, 6] {
        world.give_up(snap_id);
        world.settle();
        world.crash(0);
    }
    let expected = |id: &u64| (2..=7).contains(id).then_some(Errno::ESTALE);
    assert_eq!(
        snaps.iter().map(|&id| world.read_at("object", id)).collect::<Vec<_>>(),
        snaps.iter().map(expected).collect::<Vec<_>>()
    );
    assert_eq!(world.read_at("object", 11), Some(Errno::EINVAL));
    assert_eq!(world.snap(), 11);
}

#[test]
fn a_snapshot_that_was_given_up_is_trimmed_whoever_has_to_finish_it() {
    let mut world = World::new();
    let (gid, snap_id) = (world.connect(), world.snap());
    let objects = 2 * OBJECTS_PER_STEP_MAX + 1;
    for (round, snaps) in [&[][..], &[snap_id]].into_iter().enumerate() {
        for number in 0..objects {
            let tid = (round * objects + number + 1) as u64;
            world.write(gid, tid, &format!("object {number}"), snaps).expect("it is written");
        }
    }
    world.give_up(snap_id);
    world.settle();
    world.crash(0);
    assert!(world.osd.has_work());
    world.work();
    assert_eq!(world.bytes(), 4 * objects as u64);
    world.settle();
    world.crash(0);
    assert!(!world.osd.has_work(), "it is done with");
}

/// The id and the intent are one: there is no moment at which one is kept without the other.
#[test]
fn a_snapshot_is_given_up_and_to_be_trimmed_or_neither() {
    let mut world = World::new();
    let (gid, snap_id) = (world.connect(), world.snap());
    for (tid, snaps) in [(1, &[][..]), (2, &[snap_id])] {
        world.write(gid, tid, "object", snaps).expect("it is written");
    }
    world.settle();
    let before = world.store.newest();
    world.give_up(snap_id);
    let after = world.store.newest();
    for seq in before.0..=after.0 {
        let mut crashed = world.crashed_at(seq);
        let is_given_up = crashed.read_at("object", snap_id) == Some(Errno::ESTALE);
        crashed.work();
        assert_eq!(is_given_up, seq > before.0);
        assert_eq!(crashed.bytes(), if is_given_up { 4 } else { 8 });
    }
}

#[test]
fn a_removed_pool_is_erased_whoever_has_to_finish_it() {
    let mut world = World::new();
    let gid = world.connect();
    let snaps: Vec<u64> = (0..6).map(|_| world.snap()).collect();
    for (index, _) in snaps.iter().enumerate() {
        let context: Vec<u64> = snaps[..index].iter().rev().copied().collect();
        world.write(gid, index as u64 + 1, "object", &context).expect("it is written");
    }
    world.give_up(snaps[1]);
    world.osd.remove_pool(world.now, "rbd").0.expect("it is there");
    let mut steps = 0;
    loop {
        world.settle();
        world.crash(0);
        assert_eq!(world.osd.pools(), []);
        if !world.osd.has_work() {
            break;
        }
        world.osd.work(world.now);
        steps += 1;
        assert!(steps < 100, "it ends");
    }
    let (store, _) = world.store.crash();
    assert_eq!(Store::totals(&store, PoolId(1)).bytes, 0);
    let kept = Store::records(&store, b"", b"", 100).expect("it works");
    let kinds: Vec<u8> = kept.iter().map(|(key, _)| key[0]).collect();
    assert!(!kinds.contains(&b's') && !kinds.contains(&b'e'), "nothing is left of the pool: {kept:?}");
}

#[test]
fn a_fence_survives_and_its_entry_ends_by_the_wall_clock() {
    let mut world = World::new();
    let (fenced, listed) = (world.connect(), world.connect());
    for (gid, expire) in [(fenced, 1_000), (listed, 60_000)] {
        world.osd.blocklist_add(world.now, gid, Some(Millis(expire)), 0).0.expect("an operator may fence");
    }
    let address = "127.0.0.1:0/77";
    world.osd.fence_address(world.now, address, Some(Millis(60_000))).0.expect("the store works");
    world.settle();
    world.crash(10_000);
    assert_eq!(world.fences(), [(listed, Millis(50_000))]);
    assert!(world.osd.is_address_fenced(address));
    for gid in [fenced, listed] {
        assert_eq!(errno(world.write(gid, 1, "object", &[])), Errno::EBLOCKLISTED);
    }
    assert!(world.connect() > listed, "no gid comes back");
    world.settle();
    world.crash(60_000);
    assert_eq!(world.fences(), []);
    assert!(!world.osd.is_address_fenced(address));
    assert_eq!(errno(world.write(listed, 1, "object", &[])), Errno::EBLOCKLISTED);
}

#[test]
fn a_fence_that_was_not_durable_was_never_answered_and_is_gone() {
    let mut world = World::new();
    let gid = world.connect();
    world.settle();
    world.osd.blocklist_add(world.now, gid, None, 0).0.expect("an operator may fence");
    assert!(world.osd.seen() > world.osd.durable(), "its answer waits");
    world.crash(0);
    assert_eq!(world.fences(), []);
}

/// Nobody else can know of it. What a write has named stays, with everything that is there of it.
#[test]
fn a_snapshot_id_that_nothing_names_goes_with_its_session_whoever_has_to_end_it() {
    let mut world = World::new();
    let gid = world.connect();
    world.write(gid, 1, "object", &[]).expect("it is written");
    let mut allocate = |tid| world.osd.allocate_snap_id(world.now, "rbd", gid, tid).0.expect("there is room");
    let (unnamed, named) = (allocate(2), allocate(3));
    let given = world.store.newest();
    world.write(gid, 4, "object", &[named]).expect("it is written");
    let written = world.store.newest();
    world.osd.blocklist_add(world.now, gid, None, 0).0.expect("an operator may fence");
    for seq in given.0..=world.store.newest().0 {
        let mut crashed = world.crashed_at(seq);
        crashed.pass(crashed.config.osd_client_session_timeout.0 + 1);
        assert_eq!(crashed.gids(), [], "its session has ended");
        assert_eq!(crashed.read_at("object", unnamed), Some(Errno::ESTALE), "at {seq}");
        let expected = (seq < written.0).then_some(Errno::ESTALE);
        assert_eq!(crashed.read_at("object", named), expected, "at {seq}");
        assert_eq!(crashed.records(b'u'), 0);
    }
}

#[test]
fn a_snapshot_id_that_nothing_names_goes_with_its_pool() {
    let mut world = World::new();
    let gid = world.connect();
    world.osd.allocate_snap_id(world.now, "rbd", gid, 1).0.expect("there is room");
    assert_eq!(world.records(b'u'), 1);
    world.osd.remove_pool(world.now, "rbd").0.expect("it is there");
    assert_eq!(world.records(b'u'), 0);
    world.settle();
    world.crash(0);
}

/// After a crash at any point there is the id with its snapshot, or neither.
#[test]
fn a_snapshot_and_its_id_survive_together() {
    let mut world = World::new();
    let gid = world.connect();
    let create =
        Create { size: 4096, order: 12, object_prefix: "rbd_data.1".to_owned(), ..Create::default() };
    world.operate(gid, 1, vector("header", exec("rbd", "create", &create))).expect("it is the first");
    let first = world.store.newest();
    let add = SnapshotAdd { name: "s".to_owned(), ..SnapshotAdd::default() };
    world.operate(gid, 2, vector("header", exec("rbd", "snapshot_add", &add))).expect("it is the first");
    for seq in first.0..=world.store.newest().0 {
        let mut left = world.crashed_at(seq);
        let id = left.osd.pools()[0].snap_seq;
        let get = vector("header", exec("rbd", "snapshot_get", &SnapshotGet { id }));
        let is_there = left.operate(0, 0, get).is_ok();
        assert_eq!(is_there, id == 1, "at {seq}");
    }
}

#[test]
fn what_the_store_does_not_take_has_not_happened() {
    let mut world = World::new();
    let (gid, snap_id) = (world.connect(), world.snap());
    let (sessions, pools) = (world.osd.sessions(), world.osd.pools());
    for (failure, expected) in [(StoreError::NoSpace, Errno::ENOSPC), (StoreError::Io, Errno::EIO)] {
        world.store.fail_to_write(Some(failure));
        let now = world.now;
        let refused = [
            world.osd.connect(now, "client", "peer").0.map(|_| ()),
            world.osd.create_pool(now, "images").0.map(|_| ()),
            world.osd.remove_pool(now, "rbd").0,
            world.osd.allocate_snap_id(now, "rbd", 0, 0).0.map(|_| ()),
            world.osd.remove_snap_id(now, "rbd", snap_id, 0).0,
            world.osd.blocklist_add(now, gid, None, 0).0,
            world.osd.fence_address(now, "127.0.0.1:0/77", None).0.map(|_| ()),
        ];
        assert_eq!(refused.map(errno), [expected; 7]);
    }
    world.store.fail_to_write(None);
    assert_eq!((world.osd.sessions(), world.osd.pools()), (sessions, pools));
    assert_eq!((world.fences(), world.osd.is_address_fenced("127.0.0.1:0/77")), (vec![], false));
    assert_eq!(world.read_at("object", snap_id), Some(Errno::ENOENT), "it was not given up");
}

/// An expiry cannot be refused: it is saved when the store works again.
#[test]
fn what_expires_while_the_store_fails_is_saved_later() {
    let mut world = World::new();
    let gid = world.connect();
    world.osd.blocklist_add(world.now, gid, Some(Millis(1_000)), 0).0.expect("an operator may fence");
    world.store.fail_to_write(Some(StoreError::Io));
    world.now = Millis(1_000);
    world.osd.tick(world.now);
    assert_eq!(world.fences(), []);
    world.store.fail_to_write(None);
    let before = world.store.newest();
    world.now = world.osd.next_deadline().expect("it is tried again");
    world.osd.tick(world.now);
    assert!(world.store.newest() > before);
}

/// Reply and change are one: there is no moment at which one is kept without the other.
#[test]
fn a_change_and_its_reply_survive_or_neither_and_a_resend_happens_once() {
    let mut world = World::new();
    let (gid, entity) = (world.connect(), 5_000);
    world.must_entity(entity);
    world.settle();
    let before = world.store.newest();
    for (tid, gid) in [(1, gid), (1, entity), (2, gid), (2, entity)] {
        world.append(gid, tid).expect("it happens");
    }
    let sent = world.osd.seen();
    for seq in before.0..=sent.0 {
        let mut crashed = world.crashed_at(seq);
        let survived = seq - before.0;
        assert_eq!(crashed.bytes(), survived);
        for (number, (tid, gid)) in (1..).zip([(1, gid), (1, entity), (2, gid), (2, entity)]) {
            let again = crashed.append(gid, tid).expect("it happens or has happened");
            assert_eq!(again.version, number, "a lost one happens, another one is answered from its record");
            assert_eq!(crashed.bytes(), number.max(survived));
        }
    }
}

#[test]
fn a_snap_id_and_its_reply_survive_or_neither() {
    let mut world = World::new();
    let gid = world.connect();
    world.settle();
    let before = world.store.newest();
    world.osd.allocate_snap_id(world.now, "rbd", gid, 1).0.expect("the pool is there");
    for seq in before.0..=world.store.newest().0 {
        let mut crashed = world.crashed_at(seq);
        assert_eq!(crashed.osd.allocate_snap_id(crashed.now, "rbd", gid, 1).0, Ok(1));
        assert_eq!(crashed.snap(), 2);
    }
}

#[test]
fn what_a_vector_answered_is_answered_again_after_a_crash() {
    let mut world = World::new();
    let gid = world.connect();
    world.append(gid, 1).expect("it happens");
    let ops = vec![Op::Read { offset: 0, length: 0 }, append(), Op::Stat {}];
    let read_and_append = Vector { ops, ..vector("object", append()) };
    let first = world.operate(gid, 2, read_and_append.clone()).expect("it happens");
    world.settle();
    world.crash(0);
    assert_eq!(world.operate(gid, 2, read_and_append), Ok(first));
}

#[test]
fn what_was_refused_is_decided_anew_after_a_crash() {
    let mut world = World::new();
    let gid = world.connect();
    assert_eq!(errno(world.operate(gid, 1, vector("object", Op::Remove {}))), Errno::ENOENT);
    world.append(gid, 2).expect("it happens");
    world.settle();
    world.crash(0);
    world.operate(gid, 1, vector("object", Op::Remove {})).expect("it is there by now");
}

/// What the client has the answers to is forgotten, but not that it was there.
#[test]
fn a_watermark_survives_and_the_records_below_it_go_in_pieces() {
    let mut world = World::new();
    let gid = world.connect();
    for tid in 1..=100 {
        world.append(gid, tid).expect("it happens");
    }
    assert_eq!(world.records(b'r'), 100);
    for tid in 101..=120 {
        world.operate_above(gid, (tid, 101), vector("object", append())).expect("it happens");
    }
    assert_eq!(world.records(b'r'), 20);
    world.settle();
    world.crash(0);
    assert_eq!(errno(world.append(gid, 100)), Errno::ESTALE);
    world.append(gid, 101).expect("it was answered");
    assert_eq!(world.bytes(), 120);
}

#[test]
fn the_oldest_replies_of_an_entity_make_room_in_the_store_too() {
    let mut world = World::new();
    world.config.replays_per_entity_max = 2;
    world.crash(0);
    world.must_entity(5_000);
    for tid in 1..=50 {
        world.append(5_000, tid).expect("it happens");
    }
    assert!(world.records(b'r') <= 3, "{}", world.records(b'r'));
    world.append(5_000, 1).expect("it made room and happens again");
    world.settle();
    world.crash(0);
    world.append(5_000, 1).expect("it was answered");
    assert_eq!(world.bytes(), 51);
}

#[test]
fn a_session_that_has_ended_leaves_nothing_whoever_has_to_finish_it() {
    let mut world = World::new();
    let gid = world.connect();
    for tid in 1..=2 * OBJECTS_PER_STEP_MAX as u64 + 1 {
        world.append(gid, tid).expect("it happens");
    }
    world.osd.disconnect(world.now, gid).0.expect("it is live");
    world.settle();
    world.crash(0);
    assert_eq!(world.gids(), []);
    assert_eq!(errno(world.append(gid, 1)), Errno::ENOTCONN);
    assert!(world.osd.has_work());
    world.work();
    assert_eq!((world.records(b'r'), world.records(b'i')), (0, 0));
}

/// What is left of its former session is not taken for what the new one did.
#[test]
fn an_entity_whose_session_ended_begins_without_replies() {
    let mut world = World::new();
    world.must_entity(5_000);
    for tid in 1..=2 * OBJECTS_PER_STEP_MAX as u64 + 1 {
        world.append(5_000, tid).expect("it happens");
    }
    world.settle();
    world.crash(0);
    world.pass(700_000);
    assert_eq!(world.gids(), [], "it did not come back");
    world.must_entity(5_000);
    world.append(5_000, 1).expect("it happens");
    world.work();
    assert_eq!(world.records(b'r'), 1);
}

#[test]
fn a_session_has_its_whole_time_to_come_back() {
    let mut world = World::new();
    let gid = world.connect();
    world.must_entity(5_000);
    world.entity(5_000, "127.0.0.1:0/78").expect("it goes on");
    world.settle();
    let before = world.osd.sessions();
    world.crash(1_000_000);
    let after = world.osd.sessions();
    assert_eq!(before.len(), 2);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.gid, &before.name, &before.address), (after.gid, &after.name, &after.address));
        assert!(!after.is_connected);
    }
    world.pass(599_999);
    world.append(gid, 1).expect("it is live");
    world.pass(1);
    assert_eq!(world.gids(), [gid]);
}

#[test]
fn a_session_that_was_fenced_stays_fenced_at_whatever_moment() {
    let mut world = World::new();
    let gid = world.connect();
    world.append(gid, 1).expect("it happens");
    let stream = world.hello(gid);
    world.watch(stream, 1).expect("there is room");
    world.settle();
    let before = world.store.newest();
    world.osd.blocklist_add(world.now, gid, None, 0).0.expect("an operator may fence");
    for seq in before.0..=world.store.newest().0 {
        let mut crashed = world.crashed_at(seq);
        let is_fenced = seq > before.0;
        assert_eq!(crashed.gids().is_empty(), is_fenced);
        assert_eq!(crashed.watchers().is_empty(), is_fenced);
        crashed.work();
        let kinds = [b'i', b'r', b'w'].map(|kind| crashed.records(kind));
        assert_eq!(kinds, if is_fenced { [0; 3] } else { [1; 3] }, "at {seq}");
    }
}

#[test]
fn a_watch_survives_and_its_client_comes_back_to_it() {
    let mut world = World::new();
    let gid = world.connect();
    world.append(gid, 1).expect("it happens");
    let stream = world.hello(gid);
    for cookie in [1, 2] {
        world.watch(stream, cookie).expect("there is room");
    }
    world.unwatch(stream, 2).expect("it is there");
    world.settle();
    world.crash(60_000);
    assert_eq!(world.watchers(), [(gid, 1)], "nobody knows that its client is gone");
    let busy = world.osd.blocklist_add_unless_watching(world.now, gid, None, 0, ("rbd", "object")).0;
    assert_eq!(errno(busy), Errno::EBUSY);
    world.pass(9_999);
    let stream = world.hello(gid);
    world.reconnect(stream, 1).expect("it is there");
    world.pass(9_999);
    assert_eq!(world.watchers(), [(gid, 1)]);
}

#[test]
fn a_watch_whose_client_does_not_come_back_expires_and_no_notify_waits_for_it() {
    let mut world = World::new();
    let (gid, notifier) = (world.connect(), world.connect());
    world.append(gid, 1).expect("it happens");
    let stream = world.hello(gid);
    world.watch(stream, 1).expect("there is room");
    world.settle();
    world.crash(0);
    let notify = (Bytes::new(), Some(Millis(60_000)));
    let started = world.osd.notify(world.now, notifier, ("rbd", "object"), notify.0, notify.1);
    let notify_id = started.0.expect("the object exists");
    assert_eq!(started.1, [], "it waits for the watch");
    world.now = Millis(10_000);
    let effects = world.osd.tick(world.now);
    let is_answer =
        |effect: &Effect| matches!(effect, Effect::NotifyDone { notify_id: id, .. } if *id == notify_id);
    assert!(effects.iter().any(is_answer), "{effects:?}");
    assert_eq!(world.watchers(), []);
    world.settle();
    world.crash(0);
    assert_eq!(world.watchers(), [], "it has expired for good");
}

/// A watch by an op of a vector belongs to it as its other changes do.
#[test]
fn what_a_vector_does_to_watches_survives_with_it_or_not_at_all() {
    let mut world = World::new();
    let gid = 5_000;
    world.must_entity(gid);
    let watch = |cookie| Op::Watch { cookie, timeout: Millis(0) };
    let vectors = [
        (vec![append(), watch(1)], vec![(gid, 1)]),
        (vec![watch(2)], vec![(gid, 1), (gid, 2)]),
        (vec![Op::Unwatch { cookie: 1 }, append()], vec![(gid, 2)]),
        (vec![watch(3), Op::Remove {}, append(), watch(4)], vec![(gid, 4)]),
        (vec![Op::Unwatch { cookie: 4 }], vec![]),
    ];
    world.settle();
    let before = world.store.newest().0;
    for (tid, (ops, _)) in (1..).zip(&vectors) {
        world.operate(gid, tid, ceph(ops.clone())).expect("it happens");
    }
    assert_eq!(world.store.newest().0, before + vectors.len() as u64, "each is one transaction");
    for (index, (_, watchers)) in vectors.iter().enumerate() {
        let mut crashed = world.crashed_at(before + index as u64 + 1);
        assert_eq!(&crashed.watchers(), watchers, "after {index}");
        for (tid, (ops, _)) in (1..).zip(&vectors).take(index + 1) {
            crashed.operate(gid, tid, ceph(ops.clone())).expect("it was answered");
        }
        assert_eq!(&crashed.watchers(), watchers, "nothing happened twice");
    }
}

#[test]
fn a_watch_goes_with_its_object_and_with_its_pool() {
    let mut world = World::new();
    let gid = world.connect();
    let stream = world.hello(gid);
    for object_removed in [true, false] {
        world.append(gid, 1 + 2 * u64::from(object_removed)).expect("it happens");
        world.watch(stream, 1).expect("there is room");
        if object_removed {
            world.operate(gid, 2, vector("object", Op::Remove {})).expect("it is there");
        } else {
            world.osd.remove_pool(world.now, "rbd").0.expect("it is there");
            world.settle();
            let mut crashed = world.crashed_at(world.store.newest().0);
            crashed.work();
            assert_eq!(crashed.records(b'w'), 0);
            world.work();
        }
        assert_eq!(world.records(b'w'), 0);
    }
}

#[test]
fn a_session_or_a_watch_that_the_store_does_not_take_is_refused() {
    let mut world = World::new();
    let gid = world.connect();
    world.append(gid, 1).expect("it happens");
    let stream = world.hello(gid);
    world.watch(stream, 1).expect("there is room");
    world.store.fail_to_write(Some(StoreError::Io));
    assert_eq!(world.watch(stream, 2), Err(Errno::EIO));
    assert_eq!(world.unwatch(stream, 1), Err(Errno::EIO));
    assert_eq!(errno(world.entity(5_000, "127.0.0.1:0/77")), Errno::EIO);
    assert_eq!(errno(world.append(gid, 2)), Errno::EIO);
    assert_eq!((world.watchers(), world.gids()), (vec![(gid, 1)], vec![gid]));
}
