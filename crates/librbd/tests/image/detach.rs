//! The two ends of a clone come apart: the header first, with the intent to remove the entry in the parent's list of children,
//! which follows.

use errno::Errno;
use librbd::{CallOptions, Config};
use proto::cls::rbd::v1 as cls;
use rados::{IoCtx, ObjectOp};

use crate::faults::op;
use crate::story::assert_in_order;
use crate::support::*;

const CHILD_DETACH: &str = "header: assert_exists, rbd.child_detach";
const PARENT_DETACH: &str = "header: lock.assert_locked, rbd.parent_detach, omap_set, rbd.get_header";

async fn header_of(io: &IoCtx, name: &str) -> String {
    librbd::names::header(&librbd::image_id(io, name).await.unwrap())
}

async fn flatten(image: &librbd::Image) -> Result<(), librbd::Error> {
    soon(image.flatten(CallOptions::default())).await
}

async fn assert_independent(io: &IoCtx, image: &librbd::Image) {
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(content(image).await, pattern(4));
    let parent = open(io, "parent").await;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    assert_eq!(content(image).await, pattern(4), "without the parent");
}

/// Catalogue rows 123 and 129: the parent goes from the child's header, then the child's entry from the parent's.
#[tokio::test]
async fn a_flatten_lets_the_parent_go_first_and_the_childs_entry_last() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    let before = cluster.now().await;
    flatten(&image).await.unwrap();
    let story = cluster.story(before).await.all();
    assert_in_order(
        &story,
        &[
            "data 3: rbd.copyup",
            PARENT_DETACH,
            CHILD_DETACH,
            "header: assert_exists, omap_remove",
            "header: notify header_update",
        ],
    );
    assert_independent(&io, &image).await;
}

/// Catalogue row 127: a child that is not in its parent's list.
#[tokio::test]
async fn a_child_that_its_parent_does_not_list_is_flattened() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    let snap_id = soon(open(&io, "parent").await.snapshots()).await.unwrap()[0].id;
    let image_id = librbd::image_id(&io, "child").await.unwrap();
    let child = cls::Child { snap_id, pool: io.pool().to_owned(), image_id };
    let detach = ObjectOp::new().exec("rbd", "child_detach", &child);
    io.operate(&header_of(&io, "parent").await, detach).await.unwrap();
    assert_eq!(children_of_base(&io).await, 0);
    let before = cluster.now().await;
    flatten(&image).await.unwrap();
    let story = cluster.story(before).await.all();
    assert_in_order(&story, &[PARENT_DETACH, "header: ENOENT rbd.child_detach"]);
    assert_independent(&io, &image).await;
}

/// Catalogue row 127: a parent that is gone altogether; the child has all of its objects.
#[tokio::test]
async fn a_complete_child_is_flattened_without_its_parent() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    for object in 0..4 {
        soon(image.write(object * OBJECT + 7, b"own".as_slice().into())).await.unwrap();
    }
    let expected = content(&image).await;
    soon(image.close()).await;
    io.operate(&header_of(&io, "parent").await, ObjectOp::new().remove()).await.unwrap();
    let orphan = open(&io, "child").await;
    flatten(&orphan).await.unwrap();
    assert!(soon(orphan.info()).await.unwrap().parent.is_none());
    assert_eq!(content(&orphan).await, expected);
}

/// Catalogue row 130: the header has lost its parent while the objects were copied.
#[tokio::test]
async fn a_parent_that_was_detached_meanwhile_is_no_failure() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    let copying = cluster.hold_next(op("rbd.copyup")).await;
    let before = cluster.now().await;
    let flattening = tokio::spawn({
        let image = image.clone();
        async move { flatten(&image).await }
    });
    copying.arrived().await;
    // Nobody is told: the image believes in its parent.
    let detach = ObjectOp::new().exec_empty("rbd", "parent_detach");
    io.operate(&header_of(&io, "child").await, detach).await.unwrap();
    copying.let_go().await;
    soon(flattening).await.unwrap().unwrap();
    let story = cluster.story(before).await.all();
    assert_in_order(&story, &["header: ENOENT rbd.parent_detach", CHILD_DETACH]);
    assert_eq!(children_of_base(&io).await, 0);
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(read(&image, 3).await, pattern(4).slice(3 * OBJECT as usize..));
}

/// Catalogue row 128: the child's entry cannot be removed: the flatten has happened, and the next owner ends it.
#[tokio::test]
async fn a_flatten_whose_childs_entry_stays_is_ended_by_the_next_owner() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    cluster.refuse_next(op("rbd.child_detach"), Errno::EIO).await;
    flatten(&image).await.unwrap();
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(entries_at_parent(&io).await, 1);
    soon(image.close()).await;
    let since = cluster.now().await;
    let next = open(&other, "child").await;
    write(&next, 0, 7).await;
    let detached = |event: &proto::osd::v1::Event| event.detail.contains("rbd.child_detach");
    cluster.osd().until(since, detached).await;
    assert_eq!(entries_at_parent(&io).await, 0);
}

/// I2: an owner that dies between the two ends: the parent still knows its child, or the child does not need the parent.
#[tokio::test]
async fn a_flatten_that_is_cut_between_the_two_ends_never_orphans_the_child() {
    for step in ["rbd.parent_detach", "rbd.child_detach"] {
        let cluster = Cluster::start();
        let io = cluster.client("b").await;
        clone(&io, 4).await;
        let mortal = cluster.mortal("a").await;
        let owner = mortal.open("child", Config::ci()).await;
        let held = cluster.hold_next(op(step)).await;
        let flattening = owner.clone();
        drop(mortal.spawn(async move { flattening.flatten(CallOptions::default()).await }));
        held.arrived().await;
        mortal.kill().await;
        drop(owner);
        assert_eq!(entries_at_parent(&io).await, 1, "{step}: an entry too many at most");
        let since = cluster.now().await;
        held.let_go_of_the_dead().await;
        let image = open(&io, "child").await;
        assert_eq!(content(&image).await, pattern(4), "{step}");
        soon(image.write(0, pattern(1))).await.unwrap();
        if soon(image.info()).await.unwrap().parent.is_some() {
            flatten(&image).await.unwrap();
        }
        let detached = |event: &proto::osd::v1::Event| event.detail.contains("rbd.child_detach");
        cluster.osd().until(since, detached).await;
        assert_independent(&io, &image).await;
    }
}

/// Catalogue row 130: ParentDetachError: the image keeps its parent, and the next flatten ends it.
#[tokio::test]
async fn a_parent_that_cannot_be_detached_stays() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    cluster.refuse_next(op("rbd.parent_detach"), Errno::EIO).await;
    assert_eq!(errno_of(flatten(&image).await), Errno::EIO);
    assert!(soon(image.info()).await.unwrap().parent.is_some());
    assert_eq!(content(&image).await, pattern(4));
    flatten(&image).await.unwrap();
    assert_independent(&io, &image).await;
}

/// Facts 6.9: an object that cannot be copied: its error is the flatten's, and nothing is detached.
#[tokio::test]
async fn an_object_that_cannot_be_copied_leaves_both_ends_attached() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    cluster.refuse_next(op("rbd.copyup"), Errno::EIO).await;
    let before = cluster.now().await;
    assert_eq!(errno_of(flatten(&image).await), Errno::EIO);
    let story = cluster.story(before).await.all();
    assert!(!story.iter().any(|line| line.contains("detach")), "{story:#?}");
    assert_eq!(children_of_base(&io).await, 1);
    flatten(&image).await.unwrap();
    assert_independent(&io, &image).await;
}
