//! The steps of snapshot create and remove (facts 7.3).

use errno::Errno;
use librbd::{CallOptions, Config, Features, Image};
use proto::cls::rbd::v1 as cls;
use proto::osd::v1::{FaultCondition, FaultDirection};
use rados::{IoCtx, ObjectOp};

use crate::faults::{Requests, op};
use crate::story::{assert_in_order, position};
use crate::support::*;

const ADD: &str = "header: lock.assert_locked, rbd.snapshot_add, rbd.get_header";
const REMOVE: &str = "header: lock.assert_locked, rbd.snapshot_remove";
const HEADER_UPDATE: &str = "header: notify header_update";

async fn on_header(io: &IoCtx, name: &str, op: ObjectOp) {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    io.operate(&header, op).await.unwrap();
}

async fn owner_of(io: &IoCtx, name: &str) -> Image {
    let image = open(io, name).await;
    soon(image.acquire_lock()).await.unwrap();
    image
}

async fn create_snapshot(image: &Image, name: &str) -> Result<(), librbd::Error> {
    soon(image.snap_create(name, CallOptions::default())).await
}

async fn remove_snapshot(image: &Image, name: &str) -> Result<(), librbd::Error> {
    soon(image.snap_remove(name, CallOptions::default())).await
}

async fn id_of(image: &Image, name: &str) -> u64 {
    let snapshots = soon(image.snapshots()).await.unwrap();
    snapshots.iter().find(|snapshot| snapshot.name == name).expect("the snapshot exists").id
}

/// Catalogue row 136.
#[tokio::test]
async fn a_snapshot_gets_an_id_when_it_is_added_then_everybody_is_told() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    let before = cluster.now().await;
    create_snapshot(&image, "s").await.unwrap();
    let allocated = format!("pool: snap id {}", id_of(&image, "s").await);
    assert_eq!(cluster.story(before).await.under_lock(), [ADD, &allocated, HEADER_UPDATE]);
}

/// I6: no snapshot id without a snapshot, whenever the owner dies or is fenced.
#[tokio::test]
async fn an_owner_that_dies_while_it_makes_a_snapshot_leaves_no_id_without_one() {
    for direction in [FaultDirection::Request, FaultDirection::Reply] {
        let cluster = Cluster::start();
        let io = cluster.client("next").await;
        create(&io, "img", 4).await;
        let mortal = cluster.mortal("mortal").await;
        let owner = mortal.open("img", Config::ci()).await;
        let before = cluster.now().await;
        let step = FaultCondition {
            direction: direction.into(),
            gid: mortal.io.rados().gid(),
            op: "rbd.snapshot_add".to_owned(),
            ..FaultCondition::default()
        };
        let held = cluster.osd().hold(0, step).await;
        let creating = owner.clone();
        drop(mortal.spawn(async move { creating.snap_create("s", CallOptions::default()).await }));
        held.arrived().await;
        mortal.kill().await;
        drop(owner);
        let next = owner_of(&io, "img").await;
        held.let_go_of_the_dead().await;
        let known: Vec<_> =
            soon(next.snapshots()).await.unwrap().iter().map(|snapshot| snapshot.id).collect();
        let story = cluster.story(before).await.all();
        let given = story.iter().filter_map(|line| line.strip_prefix("pool: snap id ")?.parse().ok());
        assert_eq!(given.collect::<Vec<u64>>(), known, "{direction:?}: {story:#?}");
        assert_eq!(known.len(), usize::from(direction == FaultDirection::Reply));
    }
}

/// Catalogue row 139: an image whose ids are ahead of the pool's gets none, and none is used up.
#[tokio::test]
async fn an_image_whose_snapshot_ids_are_ahead_of_the_pools_is_refused() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    let far = cls::SnapshotAdd { id: 1_000_000, name: "far".to_owned(), created_unix_ms: 0 };
    on_header(&io, "img", ObjectOp::new().exec("rbd", "snapshot_add", &far)).await;
    assert_eq!(errno_of(create_snapshot(&image, "s").await), Errno::ESTALE);
    assert_eq!(io.allocate_snap_id().await.unwrap(), 1);
}

/// Catalogue row 140: CreateSnapError: no id is taken, nobody is told, and writes go on.
#[tokio::test]
async fn a_snapshot_that_is_refused_takes_no_id_and_lets_writes_go_on() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    let limit = std::collections::BTreeMap::from([("snap_limit".to_owned(), vec![0; 8].into())]);
    on_header(&io, "img", ObjectOp::new().omap_set(limit)).await;
    let before = cluster.now().await;
    assert_eq!(errno_of(create_snapshot(&image, "s").await), Errno::EDQUOT);
    let story = cluster.story(before).await.under_lock();
    assert_eq!(story, ["header: EDQUOT rbd.snapshot_add"]);
    write(&image, 0, 1).await;
    assert_eq!(soon(image.snapshots()).await.unwrap(), []);
}

/// Catalogue rows 142 and 143: Success, MissingSnap: the header first, then the id is given up, then everybody is told.
#[tokio::test]
async fn a_removed_snapshot_leaves_the_header_and_gives_its_id_up() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    write(&image, 0, 1).await;
    create_snapshot(&image, "s").await.unwrap();
    write(&image, 0, 2).await;
    let given_up = format!("pool: trimmed snap id {}", id_of(&image, "s").await);
    let before = cluster.now().await;
    remove_snapshot(&image, "s").await.unwrap();
    let story = cluster.story(before).await.all();
    assert_in_order(&story, &[REMOVE, &given_up, HEADER_UPDATE]);
    assert!(!story.iter().any(|line| line.contains("child_detach")), "it has no parent: {story:#?}");
    assert_eq!(soon(image.snapshots()).await.unwrap(), []);
    assert_eq!(errno_of(remove_snapshot(&image, "s").await), Errno::ENOENT);
}

/// Catalogue row 142: SuccessCloneParent: HEAD needs the parent, so the child stays registered.
#[tokio::test]
async fn removing_a_snapshot_of_a_clone_leaves_the_clone_to_its_parent() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = owner_of(&io, "child").await;
    create_snapshot(&image, "s").await.unwrap();
    let before = cluster.now().await;
    remove_snapshot(&image, "s").await.unwrap();
    let story = cluster.story(before).await.all();
    assert!(!story.iter().any(|line| line.contains("child_detach")), "{story:#?}");
    assert_eq!(children_of_base(&io).await, 1);
    assert_eq!(content(&image).await, pattern(4));
}

/// Catalogue row 142: FlattenedCloneRemovesChild: with the last snapshot that needs the parent, and not before.
#[tokio::test]
async fn the_last_snapshot_of_a_flattened_clone_takes_the_childs_entry_along() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 4, Features::LAYERING.union(Features::EXCLUSIVE_LOCK)).await;
    let image = owner_of(&io, "child").await;
    create_snapshot(&image, "first").await.unwrap();
    create_snapshot(&image, "second").await.unwrap();
    soon(image.flatten(CallOptions::default())).await.unwrap();
    create_snapshot(&image, "after").await.unwrap();
    remove_snapshot(&image, "second").await.unwrap();
    assert_eq!(children_of_base(&io).await, 1, "the first one reads the parent");
    let before = cluster.now().await;
    remove_snapshot(&image, "first").await.unwrap();
    assert_eq!(children_of_base(&io).await, 0);
    let story = cluster.story(before).await.all();
    assert_in_order(&story, &[REMOVE, HEADER_UPDATE]);
    position(&story, "header: assert_exists, rbd.child_detach");
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(content(&image).await, pattern(4));
}

/// Catalogue row 138: without an id there is no snapshot, and writes go on.
#[tokio::test]
async fn an_id_that_cannot_be_had_fails_the_snapshot_and_lets_writes_go_on() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    cluster.refuse_next(op("rbd.snapshot_add"), Errno::EIO).await;
    let before = cluster.now().await;
    assert_eq!(errno_of(create_snapshot(&image, "s").await), Errno::EIO);
    let story = cluster.story(before).await.all();
    assert!(!story.iter().any(|line| line.starts_with("pool:")), "{story:#?}");
    write(&image, 0, 1).await;
    create_snapshot(&image, "s").await.unwrap();
}

/// Catalogue row 136: a snapshot waits for writes under way, and later writes wait for it.
#[tokio::test]
async fn a_snapshot_is_taken_between_writes() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = owner_of(&io, "img").await;
    let before = cluster.now().await;
    let (under_way, addition) = (
        cluster.hold_next(Requests { op: "write", object: "rbd_data.*" }).await,
        cluster.hold_next(op("rbd.snapshot_add")).await,
    );
    let early = tokio::spawn({
        let image = image.clone();
        async move { write(&image, 0, 1).await }
    });
    under_way.arrived().await;
    let creating = tokio::spawn({
        let image = image.clone();
        async move { create_snapshot(&image, "s").await }
    });
    under_way.dwell().await;
    under_way.let_go().await;
    soon(early).await.unwrap();
    addition.arrived().await;
    let late = tokio::spawn({
        let image = image.clone();
        async move { write(&image, 0, 2).await }
    });
    addition.dwell().await;
    addition.let_go().await;
    soon(creating).await.unwrap().unwrap();
    soon(late).await.unwrap();
    let story = cluster.story(before).await.all();
    assert_in_order(&story, &["data 0: write", ADD, "pool: snap id", "data 0: write"]);
    assert_eq!(read(&image, 0).await[0], 2);
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(read(&image, 0).await[0], 1);
}
