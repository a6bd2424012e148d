//! A removed pool: nobody finds it, what it held goes in pieces, and its number never comes back.

mod whole;

use errno::Errno;
use osd::Millis;
use whole::{World, errno, write};

/// More than one step erases.
const OBJECTS: u64 = 600;

#[test]
fn a_removed_pool_is_gone_at_once_and_its_objects_in_pieces() {
    let mut world = World::new();
    let gid = world.connect();
    for tid in 1..=OBJECTS {
        world.must(gid, tid, &format!("object-{tid}"), &[write("x")]);
    }
    let (removed, _) = world.osd.remove_pool(world.now, "rbd");
    removed.expect("it was there");
    assert_eq!(errno(world.send(gid, OBJECTS + 1, 0, "object-1", &[write("y")])), Errno::ENOENT);
    assert_eq!(errno(world.osd.remove_pool(world.now, "rbd").0), Errno::ENOENT);
    let mut steps = 0;
    while world.osd.has_work() {
        world.osd.work(world.now);
        steps += 1;
    }
    assert_eq!(steps, 4, "three pieces, and a look that finds none");
    let created = world.osd.create_pool(Millis(0), "rbd").0.expect("the name is free");
    assert_eq!(created, 2);
    let pools = world.osd.pools();
    assert_eq!(pools.iter().map(|pool| (pool.id, pool.totals.objects)).collect::<Vec<_>>(), [(2, 0)]);
}
