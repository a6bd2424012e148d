use std::collections::BTreeMap;

use ceph_wire::cls::{MigrationHeaderKind, MigrationSpec, MigrationState, MirrorImageMode, OldHeader};
use errno::Errno;

use crate::NOTHING;
use crate::common::{World, write};

const MIGRATING: u64 = 0x200;

fn spec(header_kind: MigrationHeaderKind) -> MigrationSpec {
    MigrationSpec {
        header_kind,
        pool: 1,
        namespace: String::new(),
        image_name: "b".to_owned(),
        image_id: "2".to_owned(),
        snap_seqs: BTreeMap::new(),
        overlap: 9,
        is_flattening: false,
        is_mirroring: false,
        state: MigrationState::Preparing,
        state_description: String::new(),
        mirror_image_mode: MirrorImageMode::Journal,
        source_spec: String::new(),
    }
}

fn get(world: &mut World, object: &str) -> Result<MigrationSpec, Errno> {
    world.ask(object, "migration_get", &NOTHING)
}

#[test]
fn a_source_gets_the_feature_while_it_is_migrated() {
    let mut world = World::new();
    let image = world.image(1);
    let features = |world: &mut World| world.number(image, "features");
    let source = spec(MigrationHeaderKind::Source);
    assert_eq!(get(&mut world, image), Err(Errno::EINVAL));
    assert_eq!(world.tell(image, "migration_set", &source), Ok(()));
    assert_eq!(world.tell(image, "migration_set", &source), Err(Errno::EEXIST));
    assert_eq!((features(&mut world), get(&mut world, image)), (1 | MIGRATING, Ok(source.clone())));
    let prepared = (MigrationState::Prepared, "soon".to_owned());
    assert_eq!(world.tell(image, "migration_set_state", &prepared), Ok(()));
    let (state, state_description) = prepared;
    assert_eq!(get(&mut world, image), Ok(MigrationSpec { state, state_description, ..source }));
    assert_eq!(world.tell(image, "migration_remove", &NOTHING), Ok(()));
    assert_eq!((features(&mut world), get(&mut world, image)), (1, Err(Errno::EINVAL)));
}

#[test]
fn a_destination_is_made_with_the_feature() {
    let mut world = World::new();
    let image = world.image(1 | MIGRATING);
    assert_eq!(world.tell(image, "migration_set", &spec(MigrationHeaderKind::Source)), Err(Errno::EEXIST));
    assert_eq!(world.tell(image, "migration_set", &spec(MigrationHeaderKind::Destination)), Ok(()));
    assert_eq!(get(&mut world, image), Ok(spec(MigrationHeaderKind::Destination)));
}

#[test]
fn an_image_of_format_1_is_a_source_and_says_so_in_its_text() {
    let mut world = World::new();
    let object = "a.rbd";
    world.must(object, [write(0, OldHeader::TEXT), write(112, b"behind")]);
    let text = |world: &mut World| world.read(object, None).unwrap()[..OldHeader::TEXT.len()].to_vec();
    assert_eq!(get(&mut world, object), Err(Errno::EINVAL));
    assert_eq!(world.tell(object, "migration_remove", &NOTHING), Err(Errno::EINVAL));
    assert_eq!(
        world.tell(object, "migration_set", &spec(MigrationHeaderKind::Destination)),
        Err(Errno::EINVAL)
    );
    assert_eq!(world.tell(object, "migration_set", &spec(MigrationHeaderKind::Source)), Ok(()));
    assert_eq!(text(&mut world), OldHeader::TEXT_MIGRATING);
    assert_eq!(get(&mut world, object), Ok(spec(MigrationHeaderKind::Source)));
    assert_eq!(world.tell(object, "migration_set", &spec(MigrationHeaderKind::Source)), Err(Errno::EEXIST));
    assert_eq!(world.tell(object, "migration_remove", &NOTHING), Ok(()));
    assert_eq!(text(&mut world), OldHeader::TEXT);
    assert_eq!(world.read(object, None).unwrap()[112..], *b"behind", "the rest is untouched");
}

#[test]
fn what_is_no_header_is_not_migrated() {
    let mut world = World::new();
    assert_eq!(get(&mut world, "a.rbd"), Err(Errno::ENOENT));
    world.must("a.rbd", [write(0, b"something else")]);
    assert_eq!(get(&mut world, "a.rbd"), Err(Errno::ENXIO));
    assert_eq!(world.tell("a.rbd", "migration_set", &spec(MigrationHeaderKind::Source)), Err(Errno::ENXIO));
}
