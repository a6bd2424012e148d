//! With whom a pool is mirrored, and by which daemons.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::Utime;
use ceph_wire::cls::{MirrorDirection, MirrorImageMap, MirrorMode, MirrorPeer};
use errno::Errno;

use crate::NOTHING;
use crate::common::{STARTED_UNIX_MS, World};

const MIRRORING: &str = "rbd_mirroring";
const LEADER: &str = "rbd_mirror_leader";

pub(crate) fn peer(uuid: &str, site_name: &str) -> MirrorPeer {
    MirrorPeer {
        uuid: uuid.to_owned(),
        site_name: site_name.to_owned(),
        client_name: "client".to_owned(),
        direction: MirrorDirection::Both,
        mirror_uuid: String::new(),
        last_seen: Utime::default(),
    }
}

fn set_mode(world: &mut World, mode: MirrorMode) -> Result<(), Errno> {
    world.tell(MIRRORING, "mirror_mode_set", &mode)
}

fn mirrored() -> World {
    let mut world = World::new();
    world.tell(MIRRORING, "mirror_uuid_set", &"us".to_owned()).expect("the test set this up to succeed");
    set_mode(&mut world, MirrorMode::Pool).expect("the test set this up to succeed");
    world
}

fn add(world: &mut World, peer: &MirrorPeer) -> Result<(), Errno> {
    world.tell(MIRRORING, "mirror_peer_add", peer)
}

fn peers(world: &mut World) -> Vec<MirrorPeer> {
    world.ask(MIRRORING, "mirror_peer_list", &NOTHING).expect("the test set this up to succeed")
}

#[test]
fn a_pool_has_an_id_before_it_is_mirrored() {
    let mut world = World::new();
    assert_eq!(world.ask::<MirrorMode>(MIRRORING, "mirror_mode_get", &NOTHING), Err(Errno::ENOENT));
    assert_eq!(set_mode(&mut world, MirrorMode::Image), Err(Errno::EINVAL));
    assert_eq!(world.tell(MIRRORING, "mirror_uuid_set", &String::new()), Err(Errno::EINVAL));
    assert_eq!(world.tell(MIRRORING, "mirror_uuid_set", &"us".to_owned()), Ok(()));
    assert_eq!(world.omap(MIRRORING), [("mirror_uuid".to_owned(), b"us".to_vec())]);
    assert_eq!(set_mode(&mut world, MirrorMode::Image), Ok(()));
    assert_eq!(world.tell(MIRRORING, "mirror_uuid_set", &"others".to_owned()), Err(Errno::EINVAL));
    assert_eq!(world.ask(MIRRORING, "mirror_uuid_get", &NOTHING), Ok("us".to_owned()));
    assert_eq!(world.ask(MIRRORING, "mirror_mode_get", &NOTHING), Ok(MirrorMode::Image));
    assert_eq!(world.tell(MIRRORING, "mirror_mode_set", &9_u32), Err(Errno::EINVAL));
}

#[test]
fn mirroring_ends_when_there_are_no_peers() {
    let mut world = mirrored();
    add(&mut world, &peer("1", "there")).unwrap();
    assert_eq!(set_mode(&mut world, MirrorMode::Disabled), Err(Errno::EBUSY));
    assert_eq!(world.tell(MIRRORING, "mirror_peer_remove", &"1".to_owned()), Ok(()));
    assert_eq!(world.tell(MIRRORING, "mirror_peer_remove", &"1".to_owned()), Ok(()), "it may be gone");
    assert_eq!(set_mode(&mut world, MirrorMode::Disabled), Ok(()));
    assert_eq!(world.ask::<String>(MIRRORING, "mirror_uuid_get", &NOTHING), Err(Errno::ENOENT));
}

#[test]
fn a_peer_differs_from_the_pool_and_from_other_peers() {
    let mut world = World::new();
    assert_eq!(add(&mut world, &peer("1", "there")), Err(Errno::EINVAL), "the pool is not mirrored");
    let mut world = mirrored();
    let named = MirrorPeer { mirror_uuid: "them".to_owned(), ..peer("1", "there") };
    let sender = MirrorPeer { direction: MirrorDirection::Send, ..peer("2", "b") };
    let nobody = MirrorPeer { client_name: String::new(), ..peer("2", "b") };
    for refused in [peer("us", "b"), peer("", "b"), peer("2", ""), sender, nobody] {
        assert_eq!(add(&mut world, &refused), Err(Errno::EINVAL), "{refused:?}");
    }
    assert_eq!(add(&mut world, &named), Ok(()));
    assert_eq!(add(&mut world, &peer("1", "b")), Err(Errno::ESTALE));
    assert_eq!(add(&mut world, &peer("2", "there")), Err(Errno::EEXIST));
    let same = MirrorPeer { mirror_uuid: "them".to_owned(), ..peer("2", "b") };
    assert_eq!(add(&mut world, &same), Err(Errno::EEXIST));
    assert_eq!(peers(&mut world), [named]);
}

#[test]
fn a_peer_is_changed_field_by_field() {
    let mut world = mirrored();
    add(&mut world, &peer("1", "a")).unwrap();
    add(&mut world, &peer("2", "b")).unwrap();
    let set = |world: &mut World, what: &str, uuid: &str, value: &str| {
        world.tell(MIRRORING, &format!("mirror_peer_set_{what}"), &(uuid.to_owned(), value.to_owned()))
    };
    assert_eq!(set(&mut world, "client", "9", "x"), Err(Errno::ENOENT));
    assert_eq!(set(&mut world, "client", "1", "x"), Ok(()));
    assert_eq!(set(&mut world, "cluster", "9", "x"), Err(Errno::ENOENT));
    assert_eq!(set(&mut world, "cluster", "1", "b"), Err(Errno::EEXIST));
    assert_eq!(set(&mut world, "cluster", "1", "c"), Ok(()));
    let direction = ("1".to_owned(), MirrorDirection::Receive);
    assert_eq!(world.tell(MIRRORING, "mirror_peer_set_direction", &direction), Ok(()));
    let changed = MirrorPeer {
        client_name: "x".to_owned(),
        site_name: "c".to_owned(),
        direction: MirrorDirection::Receive,
        ..peer("1", "a")
    };
    assert_eq!(peers(&mut world), [changed, peer("2", "b")]);
}

fn ping(world: &mut World, site_name: &str, mirror_uuid: &str) -> Result<(), Errno> {
    let input = (site_name.to_owned(), mirror_uuid.to_owned(), MirrorDirection::Send);
    world.tell(MIRRORING, "mirror_peer_ping", &input)
}

#[test]
fn a_daemon_that_was_here_is_a_peer_that_is_sent_to() {
    let mut world = World::new();
    assert_eq!(ping(&mut world, "a", "A"), Err(Errno::EINVAL), "the pool is not mirrored");
    let mut world = mirrored();
    assert_eq!(ping(&mut world, "", "A"), Err(Errno::EINVAL));
    assert_eq!(ping(&mut world, "a", "A"), Ok(()));
    let [made] = &peers(&mut world)[..] else { panic!("one peer") };
    assert_eq!((made.site_name.as_str(), made.mirror_uuid.as_str()), ("a", "A"));
    assert_eq!(
        (made.direction, made.last_seen),
        (MirrorDirection::Send, Utime::from_millis(STARTED_UNIX_MS))
    );
    assert_eq!(made.uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{}", made.uuid);
    let made = made.clone();
    assert_eq!(ping(&mut world, "b", "A"), Ok(()));
    assert_eq!(peers(&mut world), [MirrorPeer { site_name: "b".to_owned(), ..made }], "it has another name");
    let direction = ("a".to_owned(), "A".to_owned(), MirrorDirection::Receive);
    assert_eq!(world.tell(MIRRORING, "mirror_peer_ping", &direction), Err(Errno::EINVAL));
}

#[test]
fn a_peer_that_was_received_from_is_sent_to_as_well() {
    let mut world = mirrored();
    add(&mut world, &MirrorPeer { direction: MirrorDirection::Receive, ..peer("1", "a") }).unwrap();
    assert_eq!(ping(&mut world, "a", "A"), Ok(()));
    let last_seen = Utime::from_millis(STARTED_UNIX_MS);
    assert_eq!(peers(&mut world), [MirrorPeer { mirror_uuid: "A".to_owned(), last_seen, ..peer("1", "a") }]);
}

#[test]
fn daemons_are_listed_while_they_are_there() {
    let mut world = World::new();
    assert_eq!(world.tell(LEADER, "mirror_instances_remove", &"1".to_owned()), Err(Errno::ENOENT));
    for id in ["2", "1"] {
        assert_eq!(world.tell(LEADER, "mirror_instances_add", &id.to_owned()), Ok(()));
    }
    let list =
        |world: &mut World| world.ask::<Vec<String>>(LEADER, "mirror_instances_list", &NOTHING).unwrap();
    assert_eq!(list(&mut world), ["1", "2"]);
    assert_eq!(world.tell(LEADER, "mirror_instances_remove", &"1".to_owned()), Ok(()));
    assert_eq!(list(&mut world), ["2"]);
}

#[test]
fn who_serves_an_image_is_kept_by_its_global_id() {
    let mut world = World::new();
    let map = |id: &str| MirrorImageMap {
        instance_id: id.to_owned(),
        mapped: Utime::default(),
        data: Bytes::new(),
    };
    for (image, instance) in [("a", "1"), ("b", "2"), ("a", "2")] {
        let update = (image.to_owned(), map(instance));
        assert_eq!(world.tell(LEADER, "mirror_image_map_update", &update), Ok(()));
    }
    let list = |world: &mut World, after: &str| {
        world
            .ask::<BTreeMap<String, MirrorImageMap>>(
                LEADER,
                "mirror_image_map_list",
                &(after.to_owned(), 9_u64),
            )
            .unwrap()
    };
    assert_eq!(list(&mut world, ""), [("a".to_owned(), map("2")), ("b".to_owned(), map("2"))].into());
    assert_eq!(list(&mut world, "a"), [("b".to_owned(), map("2"))].into());
    for _ in 0..2 {
        assert_eq!(world.tell(LEADER, "mirror_image_map_remove", &"b".to_owned()), Ok(()), "it may be gone");
    }
    assert_eq!(list(&mut world, "a"), [].into());
}
