//! What is changed of an image beside its size.

use errno::Errno;

use crate::common::World;
use crate::{NOTHING, omap_set};

const LAYERING: u64 = 1;
const STRIPING: u64 = 2;
const EXCLUSIVE_LOCK: u64 = 4;
const OBJECT_MAP: u64 = 8;
const DEEP_FLATTEN: u64 = 0x20;
const OPERATIONS: u64 = 0x100;

fn features(world: &mut World, image: &str) -> u64 {
    world.number(image, "features")
}

#[test]
fn features_that_a_living_image_may_get_or_lose_are_changed() {
    let mut world = World::new();
    let set = |world: &mut World, features: u64, mask: u64| {
        world.tell("rbd_header.1", "set_features", &(features, mask))
    };
    assert_eq!(set(&mut world, 0, EXCLUSIVE_LOCK), Err(Errno::ENOENT));
    let image = world.image(LAYERING | DEEP_FLATTEN | EXCLUSIVE_LOCK);
    assert_eq!(set(&mut world, OBJECT_MAP, OBJECT_MAP | EXCLUSIVE_LOCK), Ok(()));
    assert_eq!(features(&mut world, image), LAYERING | DEEP_FLATTEN | OBJECT_MAP);
    assert_eq!(set(&mut world, 0, LAYERING), Err(Errno::EINVAL), "it stays for ever");
    assert_eq!(set(&mut world, OPERATIONS, OPERATIONS), Err(Errno::EINVAL), "it is internal");
    assert_eq!(set(&mut world, 0, DEEP_FLATTEN), Ok(()));
    assert_eq!(set(&mut world, DEEP_FLATTEN, DEEP_FLATTEN), Err(Errno::EINVAL), "it does not come back");
    assert_eq!(set(&mut world, 1 << 40, 1 << 40), Ok(()), "a newer client's are left out");
    assert_eq!(features(&mut world, image), LAYERING | OBJECT_MAP);
}

#[test]
fn op_features_take_the_feature_operations_along() {
    let mut world = World::new();
    let image = world.image(LAYERING);
    let set = |world: &mut World, value: u64, mask: u64| world.tell(image, "op_features_set", &(value, mask));
    assert_eq!(set(&mut world, 0x80, 0x80), Err(Errno::EINVAL), "it is unknown");
    assert_eq!(set(&mut world, 3, 1), Ok(()));
    assert_eq!(world.number(image, "op_features"), 1);
    assert_eq!(features(&mut world, image), LAYERING | OPERATIONS);
    assert_eq!(set(&mut world, 0, 1), Ok(()));
    assert_eq!(features(&mut world, image), LAYERING);
    assert!(world.omap(image).iter().all(|(key, _)| key != "op_features"));
    assert_eq!(world.tell("other", "op_features_set", &(1_u64, 1_u64)), Err(Errno::ENOENT));
}

#[test]
fn a_stripe_unit_divides_a_data_object() {
    let mut world = World::new();
    let plain = world.image(LAYERING);
    assert_eq!(world.ask::<(u64, u64)>(plain, "get_stripe_unit_count", &NOTHING), Err(Errno::ENOEXEC));
    let mut world = World::new();
    let image = world.image(LAYERING | STRIPING);
    let set =
        |world: &mut World, unit: u64, count: u64| world.tell(image, "set_stripe_unit_count", &(unit, count));
    assert_eq!(world.ask(image, "get_stripe_unit_count", &NOTHING), Ok((4096_u64, 1_u64)));
    for (unit, count) in [(0, 2), (1024, 0), (1000, 2), (8192, 2)] {
        assert_eq!(set(&mut world, unit, count), Err(Errno::EINVAL), "{unit} x {count}");
    }
    assert_eq!(set(&mut world, 1024, 2), Ok(()));
    assert_eq!(world.ask(image, "get_stripe_unit_count", &NOTHING), Ok((1024_u64, 2_u64)));
    assert_eq!(world.ask(image, "get_data_pool", &NOTHING), Ok(-1_i64));
}

#[test]
fn the_limit_of_snapshots_is_not_below_their_number() {
    let mut world = World::new();
    assert_eq!(world.tell("rbd_header.1", "snapshot_set_limit", &1_u64), Err(Errno::ENOENT));
    let image = world.image(LAYERING);
    assert_eq!(world.ask(image, "snapshot_get_limit", &NOTHING), Ok(u64::MAX));
    world.must(
        image,
        [omap_set("snapshot_0000000000000001", b""), omap_set("snapshot_0000000000000002", b"")],
    );
    assert_eq!(world.tell(image, "snapshot_set_limit", &1_u64), Err(Errno::ERANGE));
    assert_eq!(world.tell(image, "snapshot_set_limit", &2_u64), Ok(()));
    assert_eq!(world.ask(image, "snapshot_get_limit", &NOTHING), Ok(2_u64));
    assert_eq!(world.tell(image, "snapshot_set_limit", &u64::MAX), Ok(()));
    assert_eq!(world.ask(image, "snapshot_get_limit", &NOTHING), Ok(u64::MAX));
}
