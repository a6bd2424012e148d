use ceph_wire::cls::{BitVector, ObjectState};
use ceph_wire::to_bytes;
use errno::Errno;

use crate::NOTHING;
use crate::common::{World, write};

const MAP: &str = "rbd_object_map.1";

use ObjectState::{Exists, ExistsClean, Nonexistent, Pending};

fn map(states: &[ObjectState]) -> BitVector {
    let mut map = BitVector::new(states.len() as u64, Nonexistent);
    (0..).zip(states).for_each(|(index, state)| map.set(index, *state));
    map
}

fn save(world: &mut World, states: &[ObjectState]) {
    assert_eq!(world.tell(MAP, "object_map_save", &map(states)), Ok(()));
}

fn load(world: &mut World) -> Vec<ObjectState> {
    let map: BitVector =
        world.ask(MAP, "object_map_load", &NOTHING).expect("the test set this up to succeed");
    (0..map.len()).filter_map(|index| map.get(index)).collect()
}

fn update(
    world: &mut World,
    start: u64,
    end: u64,
    to: ObjectState,
    from: Option<ObjectState>,
) -> Result<(), Errno> {
    world.tell(MAP, "object_map_update", &(start, end, to, from))
}

#[test]
fn an_object_map_is_stored_with_checksums_and_read_without() {
    let mut world = World::new();
    assert_eq!(world.ask::<BitVector>(MAP, "object_map_load", &NOTHING), Err(Errno::ENOENT));
    save(&mut world, &[Exists, Nonexistent, Pending, ExistsClean, Exists]);
    let states = [Exists, Nonexistent, Pending, ExistsClean, Exists];
    assert_eq!(world.read(MAP, None), Some(to_bytes(&map(&states)).to_vec()));
    let loaded = world.ceph_call(1, MAP, "rbd.object_map_load", NOTHING.to_vec().into()).unwrap();
    assert_eq!(loaded.len(), 18 + 2 + 4, "a header, the entries, and that there are no checksums");
    assert_eq!(load(&mut world), states);
}

#[test]
fn an_object_map_grows_and_shrinks() {
    let mut world = World::new();
    let resize = |world: &mut World, count: u64, state| world.tell(MAP, "object_map_resize", &(count, state));
    assert_eq!(resize(&mut world, 3, Nonexistent), Ok(()), "without an object it begins empty");
    assert_eq!(resize(&mut world, 5, Exists), Ok(()));
    assert_eq!(load(&mut world), [Nonexistent, Nonexistent, Nonexistent, Exists, Exists]);
    assert_eq!(resize(&mut world, 4, Nonexistent), Err(Errno::ESTALE), "the last object may exist");
    assert_eq!(resize(&mut world, 4, Exists), Ok(()));
    assert_eq!(load(&mut world), [Nonexistent, Nonexistent, Nonexistent, Exists]);
    assert_eq!(resize(&mut world, 256_000_001, Nonexistent), Err(Errno::EINVAL));
}

#[test]
fn entries_that_are_what_is_expected_are_changed() {
    let mut world = World::new();
    assert_eq!(update(&mut world, 0, 1, Exists, None), Err(Errno::ENOENT));
    save(&mut world, &[Nonexistent, Exists, ExistsClean, Pending]);
    assert_eq!(update(&mut world, 0, 4, Pending, Some(Exists)), Ok(()));
    assert_eq!(load(&mut world), [Nonexistent, Pending, Pending, Pending], "clean ones exist, too");
    assert_eq!(update(&mut world, 0, 2, Exists, None), Ok(()));
    assert_eq!(load(&mut world), [Exists, Exists, Pending, Pending]);
    for (start, end) in [(1, 1), (2, 1), (3, 5), (0, u64::MAX)] {
        assert_eq!(update(&mut world, start, end, Exists, None), Err(Errno::ERANGE), "{start}..{end}");
    }
}

/// 20,000 entries are two blocks.
#[test]
fn an_update_writes_the_blocks_that_it_changes() {
    let mut world = World::new();
    let mut states = vec![Nonexistent; 20_000];
    save(&mut world, &states);
    assert_eq!(update(&mut world, 16_380, 16_390, Exists, Some(Nonexistent)), Ok(()));
    states[16_380..16_390].fill(Exists);
    assert_eq!(world.read(MAP, None), Some(to_bytes(&map(&states)).to_vec()), "the checksums, too");
    let unchanged = world.must(
        MAP,
        [crate::common::ceph_exec("rbd.object_map_update", to_bytes(&(0_u64, 2_u64, Exists, Some(Pending))))],
    );
    assert_eq!(unchanged.transaction, None);
    let changed = world.must(
        MAP,
        [crate::common::ceph_exec(
            "rbd.object_map_update",
            to_bytes(&(0_u64, 1_u64, Exists, None::<ObjectState>)),
        )],
    );
    let written = format!("{:?}", changed.transaction).len();
    assert!(written < 40_000, "one block of the two is written, not {written} characters' worth");
}

#[test]
fn a_map_whose_checksums_are_wrong_is_invalid() {
    let mut world = World::new();
    save(&mut world, &[Exists; 5]);
    world.must(MAP, [write(18, &[0xff])]);
    assert_eq!(world.ask::<BitVector>(MAP, "object_map_load", &NOTHING), Err(Errno::EINVAL));
    assert_eq!(update(&mut world, 0, 1, Pending, None), Err(Errno::EINVAL));
    world.must(MAP, [write(0, b"no map")]);
    assert_eq!(world.ask::<BitVector>(MAP, "object_map_load", &NOTHING), Err(Errno::EINVAL));
}

#[test]
fn what_exists_is_clean_after_a_snapshot() {
    let mut world = World::new();
    assert_eq!(world.tell(MAP, "object_map_snap_add", &NOTHING), Err(Errno::ENOENT));
    save(&mut world, &[Nonexistent, Exists, Pending, ExistsClean]);
    assert_eq!(world.tell(MAP, "object_map_snap_add", &NOTHING), Ok(()));
    assert_eq!(load(&mut world), [Nonexistent, ExistsClean, Pending, ExistsClean]);
}

#[test]
fn what_changed_before_a_removed_snapshot_has_changed() {
    let mut world = World::new();
    save(&mut world, &[ExistsClean, ExistsClean, ExistsClean, Nonexistent, ExistsClean]);
    let removed = map(&[Exists, ExistsClean, Nonexistent, Exists]);
    assert_eq!(world.tell(MAP, "object_map_snap_remove", &removed), Ok(()));
    assert_eq!(load(&mut world), [Exists, ExistsClean, ExistsClean, Nonexistent, Exists]);
}
