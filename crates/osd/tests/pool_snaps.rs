//! Snapshots of whole pools.

#[path = "../../store/tests/shaky/mod.rs"]
mod shaky;
mod whole;

use errno::Errno;
use osd::op::{Op, Output, Vector};
use osd::{Config, Millis, Osd, Request};
use shaky::{Handle, Shaky};
use store::Name;
use whole::{World, errno, write};

fn create(world: &mut World, name: &str) -> Result<u64, osd::OpError> {
    let created = world.osd.create_pool_snap(world.now, "rbd", name);
    world.keep(created)
}

fn remove(world: &mut World, name: &str) -> Result<(), osd::OpError> {
    let removed = world.osd.remove_pool_snap(world.now, "rbd", name);
    world.keep(removed)
}

/// What the pool's snapshot has of the object; the errno when it has nothing.
fn read_at(world: &mut World, snap_id: u64) -> Result<Vec<u8>, Errno> {
    let vector = Vector {
        pool: "rbd".to_owned(),
        namespace: Name::default(),
        object: "object".into(),
        snap_id: Some(snap_id),
        snap_context: Default::default(),
        terms: osd::op::Terms::ceph(),
        ops: vec![Op::Read { offset: 0, length: 0 }],
    };
    let operated = world.osd.operate(world.now, &Request { gid: 0, tid: 0, watermark: 0, vector });
    match world.keep(operated).as_ref() {
        Ok(answer) => match &answer.results[0].output {
            Output::Read { data, offset, length } => Ok(data.to_bytes(*offset, *length).to_vec()),
            other => panic!("not a read's result: {other:?}"),
        },
        Err(refused) => Err(refused.error.errno),
    }
}

#[test]
fn a_write_is_made_under_the_pool_s_snapshots_whatever_its_client_says() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("one")]);
    assert_eq!(create(&mut world, "first"), Ok(1));
    world.must(gid, 2, "object", &[write("two")]);
    assert_eq!(create(&mut world, "second"), Ok(2));
    world.must(gid, 3, "object", &[write("six")]);
    assert_eq!(
        [1, 2].map(|snap_id| read_at(&mut world, snap_id)),
        [Ok(b"one".to_vec()), Ok(b"two".to_vec())]
    );
    let [pool] = &world.osd.pools()[..] else { panic!("there is one pool") };
    let named: Vec<_> = pool.named_snaps.iter().map(|(id, snap)| (*id, snap.name.as_str())).collect();
    assert_eq!((named, pool.snap_seq), (vec![(1, "first"), (2, "second")], 2));
}

#[test]
fn a_snapshot_of_a_pool_goes_with_what_only_it_preserved() {
    let mut world = World::new();
    let gid = world.connect();
    world.must(gid, 1, "object", &[write("one")]);
    create(&mut world, "first").expect("the name is free");
    world.must(gid, 2, "object", &[write("two")]);
    assert_eq!(world.osd.pools()[0].totals.bytes, 6);
    remove(&mut world, "first").expect("it is there");
    assert_eq!(world.osd.pools()[0].totals.bytes, 3);
    assert_eq!(read_at(&mut world, 1), Err(Errno::ENOENT));
    assert_eq!(remove(&mut world, "first"), Ok(()), "one that there is not is fine");
    assert_eq!(create(&mut world, "first"), Ok(2), "an id is never used again");
}

#[test]
fn a_pool_has_snapshots_of_one_kind() {
    let mut world = World::new();
    create(&mut world, "first").expect("the name is free");
    let allocated = world.osd.allocate_snap_id(world.now, "rbd", 0, 0);
    assert_eq!(errno(world.keep(allocated)), Errno::EINVAL);
    let mut world = World::new();
    let allocated = world.osd.allocate_snap_id(world.now, "rbd", 0, 0);
    world.keep(allocated).expect("there is no other kind");
    assert_eq!(errno(create(&mut world, "first")), Errno::EINVAL);
    assert_eq!(errno(remove(&mut world, "first")), Errno::EINVAL);
}

#[test]
fn a_snapshot_of_a_pool_has_a_name_of_its_own() {
    let mut world = World::new();
    create(&mut world, "first").expect("the name is free");
    assert_eq!(errno(create(&mut world, "first")), Errno::EEXIST);
    assert_eq!(errno(create(&mut world, "")), Errno::EINVAL);
    assert_eq!(errno(create(&mut world, &"n".repeat(257))), Errno::ENAMETOOLONG);
    let nowhere = world.osd.create_pool_snap(Millis(1), "none", "first");
    assert_eq!(errno(world.keep(nowhere)), Errno::ENOENT);
}

/// The OSD on what a crash has left.
fn opened_again(handle: &Handle) -> (Osd<Shaky>, Handle) {
    handle.catch_up();
    let (store, handle) = handle.crash();
    (Osd::open(store, Config::default(), 4000, Millis(0)).expect("what is kept is sound"), handle)
}

#[test]
fn snapshots_of_a_pool_survive_and_go_with_it() {
    let (store, handle) = Shaky::new();
    let mut osd = Osd::open(store, Config::default(), 4000, Millis(0)).expect("it is empty");
    osd.create_pool(Millis(0), "rbd").0.expect("the first pool");
    for name in ["first", "second"] {
        osd.create_pool_snap(Millis(0), "rbd", name).0.expect("the name is free");
    }
    osd.remove_pool_snap(Millis(0), "rbd", "first").0.expect("it is there");
    let before = osd.pools();
    assert_eq!(before[0].named_snaps.keys().collect::<Vec<_>>(), [&2]);
    let (mut osd, handle) = opened_again(&handle);
    assert_eq!(osd.pools(), before);
    osd.remove_pool(Millis(0), "rbd").0.expect("it is there");
    let (osd, _) = opened_again(&handle);
    assert_eq!(osd.pools(), []);
}
