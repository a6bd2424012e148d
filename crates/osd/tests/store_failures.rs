//! A store that fails: the vector is refused as a whole, and what was there stays.

#[path = "../../store/tests/shaky/mod.rs"]
mod shaky;

use bytes::Bytes;
use errno::Errno;
use osd::op::{Op, SnapContext, Terms, Vector};
use osd::{Answer, Config, Millis, OpError, Osd, Request};
use shaky::{Handle, Shaky};
use store::{Name, StoreError};

struct World {
    osd: Osd<Shaky>,
    handle: Handle,
    gid: u64,
    tid: u64,
}

impl World {
    fn new() -> Self {
        let (store, handle) = Shaky::new();
        let mut osd = Osd::open(store, Config::default(), 0, Millis(0)).expect("it is empty");
        osd.create_pool(Millis(0), "rbd").0.expect("the first pool");
        let (gid, _) = osd.connect(Millis(0), "client", "peer").0.expect("there is room");
        Self { osd, handle, gid, tid: 0 }
    }

    fn send(&mut self, snaps: &[u64], op: Op) -> Result<Answer, OpError> {
        self.tid += 1;
        let snap_context = SnapContext { seq: snaps.first().copied().unwrap_or(0), snaps: snaps.to_vec() };
        let (pool, namespace, object) = ("rbd".to_owned(), Name::default(), Name::from("object"));
        let terms = Terms::default();
        let vector = Vector { pool, namespace, object, snap_id: None, snap_context, terms, ops: vec![op] };
        let request = Request { gid: self.gid, tid: self.tid, watermark: 0, vector };
        self.osd.operate(Millis(0), &request).0.as_ref().clone().map_err(|refused| refused.error)
    }

    fn errno(&mut self, op: Op) -> Errno {
        self.send(&[], op).expect_err("the store fails").errno
    }
}

fn write(data: &'static str) -> Op {
    Op::WriteFull { data: Bytes::from_static(data.as_bytes()) }
}

#[test]
fn a_vector_that_the_store_does_not_take_has_not_happened() {
    let mut world = World::new();
    let before = world.send(&[], write("old")).expect("the store works").version;
    for (failure, errno) in [(StoreError::NoSpace, Errno::ENOSPC), (StoreError::Io, Errno::EIO)] {
        world.handle.fail_to_write(Some(failure));
        assert_eq!(world.errno(write("new")), errno);
    }
    world.handle.fail_to_write(None);
    let read = world.send(&[], Op::Read { offset: 0, length: 0 }).expect("the store works again");
    assert_eq!(read.version, before);
    let next = world.send(&[], write("new")).expect("the store works again").version;
    assert_eq!(next, before + 1, "no version was given to what did not happen");
}

#[test]
fn a_vector_that_cannot_read_what_is_stored_is_refused() {
    let mut world = World::new();
    world.send(&[], write("old")).expect("the store works");
    world.handle.fail_to_read(Some(StoreError::Io));
    let key = || Name::from("k");
    let ops = [
        Op::Stat {},
        Op::Read { offset: 0, length: 0 },
        Op::GetXattr { name: key() },
        Op::OmapGet { keys: vec![key()] },
        Op::Write { offset: 0, data: Bytes::new() },
    ];
    for op in ops {
        assert_eq!(world.errno(op.clone()), Errno::EIO, "{op:?}");
    }
    let listed = world.osd.list_objects("rbd", "", "", 0);
    assert_eq!(listed.expect_err("the store fails").errno, Errno::EIO);
}

#[test]
fn a_trim_that_the_store_does_not_take_goes_on_later() {
    let mut world = World::new();
    let snap_id = world.osd.allocate_snap_id(Millis(0), "rbd", 0, 0).0.expect("the pool exists");
    world.send(&[], write("data")).expect("the store works");
    world.send(&[snap_id], write("data")).expect("the store works");
    let bytes = |world: &World| world.osd.pools()[0].totals.bytes;
    assert_eq!(bytes(&world), 8);
    world.handle.fail_to_read(Some(StoreError::Io));
    world.osd.remove_snap_id(Millis(0), "rbd", snap_id, 0).0.expect("the id is given up");
    assert!(!world.osd.has_work(), "it does not try again and again");
    world.handle.fail_to_read(None);
    let later = world.osd.next_deadline().expect("it is tried again");
    world.osd.tick(later);
    world.osd.work(later);
    assert_eq!(bytes(&world), 4);
}
