//! Images that are mirrored, and how it goes.

use std::collections::BTreeMap;

use ceph_wire::cls::{
    MirrorDirection, MirrorImage, MirrorImageMode, MirrorImageState, MirrorImageStatus, MirrorPeer,
    MirrorSiteState, MirrorSiteStatus,
};
use ceph_wire::{EntityAddr, EntityName, EntityType, Utime};
use errno::Errno;

use crate::NOTHING;
use crate::common::{STARTED_UNIX_MS, World};
use crate::mirror::peer;

const MIRRORING: &str = "rbd_mirroring";

fn image(global_image_id: &str, state: MirrorImageState) -> MirrorImage {
    MirrorImage { global_image_id: global_image_id.to_owned(), state, mode: MirrorImageMode::Snapshot }
}

fn set(world: &mut World, id: &str, image: &MirrorImage) -> Result<(), Errno> {
    world.tell(MIRRORING, "mirror_image_set", &(id.to_owned(), image.clone()))
}

#[test]
fn an_image_is_mirrored_under_one_global_id() {
    let mut world = World::new();
    let enabled = |global_id: &str| image(global_id, MirrorImageState::Enabled);
    assert_eq!(set(&mut world, "1", &image("A", MirrorImageState::Disabling)), Err(Errno::ENOENT));
    assert_eq!(set(&mut world, "1", &enabled("A")), Ok(()));
    assert_eq!(set(&mut world, "1", &enabled("B")), Err(Errno::EINVAL));
    assert_eq!(set(&mut world, "2", &enabled("A")), Err(Errno::EEXIST));
    assert_eq!(set(&mut world, "2", &enabled("B")), Ok(()));
    assert_eq!(world.ask(MIRRORING, "mirror_image_get", &"1".to_owned()), Ok(enabled("A")));
    assert_eq!(world.ask(MIRRORING, "mirror_image_get_image_id", &"B".to_owned()), Ok("2".to_owned()));
    let list = |world: &mut World, after: &str, max: u64| {
        world
            .ask::<BTreeMap<String, String>>(MIRRORING, "mirror_image_list", &(after.to_owned(), max))
            .unwrap()
    };
    let pair = |id: &str, global_id: &str| (id.to_owned(), global_id.to_owned());
    assert_eq!(list(&mut world, "", 1), [pair("1", "A")].into());
    assert_eq!(list(&mut world, "1", 9), [pair("2", "B")].into());
}

#[test]
fn an_image_is_forgotten_when_its_mirroring_ends() {
    let mut world = World::new();
    let remove = |world: &mut World| world.tell(MIRRORING, "mirror_image_remove", &"1".to_owned());
    assert_eq!(remove(&mut world), Err(Errno::ENOENT));
    set(&mut world, "1", &image("A", MirrorImageState::Enabled)).unwrap();
    say(&mut world, "A", "", MirrorSiteState::Replaying);
    say(&mut world, "A", "there", MirrorSiteState::Replaying);
    assert_eq!(remove(&mut world), Err(Errno::EBUSY));
    set(&mut world, "1", &image("A", MirrorImageState::Disabling)).unwrap();
    assert_eq!(remove(&mut world), Ok(()));
    assert_eq!(world.omap(MIRRORING), [], "nothing is left, of no site");
}

fn said(mirror_uuid: &str, state: MirrorSiteState) -> MirrorSiteStatus {
    MirrorSiteStatus { mirror_uuid: mirror_uuid.to_owned(), state, ..MirrorSiteStatus::unknown() }
}

fn say(world: &mut World, global_id: &str, mirror_uuid: &str, state: MirrorSiteState) {
    let status = (global_id.to_owned(), said(mirror_uuid, state));
    assert_eq!(world.tell(MIRRORING, "mirror_image_status_set", &status), Ok(()));
}

fn status(world: &mut World, global_id: &str) -> Result<MirrorImageStatus, Errno> {
    world.ask(MIRRORING, "mirror_image_status_get", &global_id.to_owned())
}

#[test]
fn who_said_how_it_goes_is_up_while_he_watches() {
    let mut world = World::new();
    say(&mut world, "A", "", MirrorSiteState::Replaying);
    assert!(world.read(MIRRORING, None).is_none(), "nothing is kept of an image that is not mirrored");
    set(&mut world, "1", &image("A", MirrorImageState::Enabled)).unwrap();
    assert_eq!(status(&mut world, "A"), Err(Errno::ENOENT));
    world.watchers = vec![1];
    say(&mut world, "A", "", MirrorSiteState::Replaying);
    say(&mut world, "A", "there", MirrorSiteState::Error);
    let shown = |is_up, mirror_uuid, state| {
        let last_update = Utime::from_millis(STARTED_UNIX_MS);
        MirrorSiteStatus { last_update, is_up, ..said(mirror_uuid, state) }
    };
    let both = |is_up| MirrorImageStatus {
        local: Some(shown(is_up, "", MirrorSiteState::Replaying)),
        remotes: vec![shown(is_up, "there", MirrorSiteState::Error)],
    };
    assert_eq!(status(&mut world, "A"), Ok(both(true)));
    world.watchers.clear();
    assert_eq!(status(&mut world, "A"), Ok(both(false)));
    assert_eq!(world.tell(MIRRORING, "mirror_image_status_remove_down", &NOTHING), Ok(()));
    assert_eq!(status(&mut world, "A"), Err(Errno::ENOENT));
}

#[test]
fn images_are_listed_with_how_it_goes() {
    let mut world = World::new();
    let images = ["1", "2"].map(|id| (id.to_owned(), image(&format!("G{id}"), MirrorImageState::Enabled)));
    for (id, image) in &images {
        set(&mut world, id, image).unwrap();
    }
    say(&mut world, "G2", "", MirrorSiteState::Stopped);
    let (listed, statuses): (BTreeMap<String, MirrorImage>, BTreeMap<String, MirrorImageStatus>) =
        world.ask(MIRRORING, "mirror_image_status_list", &(String::new(), 9_u64)).unwrap();
    assert_eq!(listed, images.into());
    assert_eq!(statuses.keys().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn an_instance_is_found_while_it_watches() {
    let mut world = World::new();
    set(&mut world, "1", &image("A", MirrorImageState::Enabled)).unwrap();
    let get = |world: &mut World| {
        world.ask::<(EntityName, EntityAddr)>(MIRRORING, "mirror_image_instance_get", &"A".to_owned())
    };
    assert_eq!(get(&mut world), Err(Errno::ENOENT));
    say(&mut world, "A", "", MirrorSiteState::Replaying);
    assert_eq!(get(&mut world), Err(Errno::ESTALE));
    world.watchers = vec![1];
    let (name, address) = get(&mut world).unwrap();
    assert_eq!(name, EntityName { kind: EntityType::Client, number: 1 });
    let listed: BTreeMap<String, (EntityName, EntityAddr)> =
        world.ask(MIRRORING, "mirror_image_instance_list", &(String::new(), 9_u64)).unwrap();
    assert_eq!(listed, [("1".to_owned(), (name, address))].into());
}

/// How many images are in which state, for peers with these directions and ids.
fn summary(world: &mut World, peers: &[(MirrorDirection, &str)]) -> BTreeMap<MirrorSiteState, i32> {
    let peers = peers.iter().map(|&(direction, mirror_uuid)| MirrorPeer {
        direction,
        mirror_uuid: mirror_uuid.to_owned(),
        ..peer(mirror_uuid, mirror_uuid)
    });
    world
        .ask(MIRRORING, "mirror_image_status_get_summary", &peers.collect::<Vec<_>>())
        .expect("the test set this up to succeed")
}

#[test]
fn a_summary_is_of_who_receives() {
    use MirrorDirection::{Both, Receive, Send};
    use MirrorSiteState::{Error, Replaying, Stopped, Syncing, Unknown};
    let mut world = World::new();
    world.watchers = vec![1];
    set(&mut world, "1", &image("A", MirrorImageState::Enabled)).unwrap();
    let one = |state| BTreeMap::from([(state, 1)]);
    assert_eq!(summary(&mut world, &[]), one(Unknown));
    say(&mut world, "A", "", Replaying);
    assert_eq!(summary(&mut world, &[]), one(Replaying), "old clients name no peers");
    assert_eq!(summary(&mut world, &[(Receive, "x")]), one(Replaying));
    assert_eq!(summary(&mut world, &[(Send, "x")]), one(Unknown), "the receiver says nothing");
    say(&mut world, "A", "x", Stopped);
    assert_eq!(summary(&mut world, &[(Send, "x")]), one(Stopped));
    assert_eq!(summary(&mut world, &[(Both, "x")]), one(Replaying), "the one that is behind counts");
    assert_eq!(summary(&mut world, &[(Receive, "y"), (Send, "x")]), one(Replaying));
    assert_eq!(summary(&mut world, &[(Send, "x"), (Send, "z")]), one(Unknown));
    say(&mut world, "A", "z", Syncing);
    assert_eq!(summary(&mut world, &[(Send, "x"), (Send, "z")]), one(Syncing));
    say(&mut world, "A", "z", Error);
    assert_eq!(summary(&mut world, &[(Both, "x")]), one(Error));
    world.watchers.clear();
    say(&mut world, "A", "z", Replaying);
    assert_eq!(summary(&mut world, &[(Both, "x")]), one(Unknown), "nobody lives");
}
