//! The steps of a rollback: no I/O meanwhile, the size, then every object.

use errno::Errno;
use librbd::{CallOptions, Image};
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use crate::faults::{Requests, op};
use crate::story::assert_in_order;
use crate::support::*;

const SET_SIZE: &str = "header: lock.assert_locked, rbd.set_size, rbd.get_header";

/// An image with snapshot "s" full of a pattern; every object of HEAD has changed since.
async fn changed_since_snapshot(io: &rados::IoCtx) -> Image {
    create(io, "img", 4).await;
    let image = open(io, "img").await;
    soon(image.write(0, pattern(4))).await.unwrap();
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    for object in 0..4 {
        write(&image, object, 0x55).await;
    }
    image
}

async fn roll_back(image: &Image) -> Result<(), librbd::Error> {
    soon(image.snap_rollback("s", CallOptions::default())).await
}

async fn resize(image: &Image, objects: u64) {
    soon(image.resize(objects * OBJECT, true, CallOptions::default())).await.unwrap();
}

/// Catalogue row 146: Success: the size comes first; SkipResize: unless it is the snapshot's already.
#[tokio::test]
async fn a_rollback_sets_the_size_if_need_be_and_then_rolls_the_objects_back() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    let image = changed_since_snapshot(&io).await;
    for (objects, is_resized) in [(4, false), (6, true), (2, true)] {
        resize(&image, objects).await;
        let before = cluster.now().await;
        roll_back(&image).await.unwrap();
        let story = cluster.story(before).await.all();
        assert_eq!(
            story.iter().any(|line| line == SET_SIZE),
            is_resized,
            "from {objects} objects: {story:#?}"
        );
        for object in 0..4 {
            let rolled_back = format!("data {object}: rollback");
            let expected: &[&str] = if is_resized { &[SET_SIZE, &rolled_back] } else { &[&rolled_back] };
            assert_in_order(&story, expected);
        }
        assert_eq!(content(&image).await, pattern(4), "from {objects} objects");
    }
}

/// Catalogue row 146: RollbackObjectsError and ResizeError: the error is the call's, writes go on, and the snapshot is whole:
/// the next rollback ends it.
#[tokio::test]
async fn a_rollback_that_fails_lets_writes_go_on_and_can_be_run_again() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    let image = changed_since_snapshot(&io).await;
    for (step, objects) in [("rollback", 4), ("rbd.set_size", 6), ("rbd.set_size", 2), ("remove", 6)] {
        resize(&image, objects).await;
        write(&image, objects - 1, 0x66).await;
        cluster.refuse_next(op(step), Errno::EIO).await;
        assert_eq!(errno_of(roll_back(&image).await), Errno::EIO, "{step}");
        write(&image, 0, 0x77).await;
        assert_eq!(read(&image, 0).await[0], 0x77);
        roll_back(&image).await.unwrap();
        assert_eq!(content(&image).await, pattern(4), "after an error of {step}");
    }
}

/// Catalogue row 146: no write is made among objects of which some are rolled back.
#[tokio::test]
async fn writes_wait_for_the_end_of_a_rollback() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    let image = changed_since_snapshot(&io).await;
    let before = cluster.now().await;
    let held = cluster.hold_next(Requests { op: "rollback", object: "rbd_data.*.0000000000000003" }).await;
    let rolling_back = tokio::spawn({
        let image = image.clone();
        async move { roll_back(&image).await }
    });
    held.arrived().await;
    let writing = tokio::spawn({
        let image = image.clone();
        async move { write(&image, 1, 0x77).await }
    });
    held.dwell().await;
    held.let_go().await;
    soon(rolling_back).await.unwrap().unwrap();
    soon(writing).await.unwrap();
    assert_in_order(&cluster.story(before).await.all(), &["data 3: rollback", "data 1: write"]);
    assert_eq!(read(&image, 1).await[0], 0x77);
}

/// Catalogue row 144: SetProtectionStateError; and an index of children that cannot be read leaves the snapshot protected.
#[tokio::test]
async fn a_protection_that_cannot_be_changed_is_as_before() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    let image = changed_since_snapshot(&io).await;
    cluster.refuse_next(op("rbd.set_protection_status"), Errno::EIO).await;
    assert_eq!(errno_of(soon(image.snap_protect("s")).await), Errno::EIO);
    assert_eq!(errno_of(soon(image.snap_unprotect("s")).await), Errno::EINVAL, "not protected");
    soon(image.snap_protect("s")).await.unwrap();
    cluster.refuse_next(op("rbd.get_children"), Errno::EIO).await;
    assert_eq!(errno_of(soon(image.snap_unprotect("s")).await), Errno::EIO);
    assert_eq!(errno_of(soon(image.snap_protect("s")).await), Errno::EBUSY, "still protected");
    soon(image.snap_unprotect("s")).await.unwrap();
}

/// I2: a snapshot that is asked for in the middle has what was there after the rollback, and keeps it.
#[tokio::test]
async fn no_snapshot_is_taken_of_an_image_that_is_rolled_back_in_part() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    changed_since_snapshot(&io).await.close().await;
    let image = open_with(&io, "img", slow()).await;
    let held = cluster.hold_next(op("rollback")).await;
    let (rolling, creating) = (image.clone(), image.clone());
    let rolling = tokio::spawn(async move { roll_back(&rolling).await });
    held.arrived().await;
    let creating = tokio::spawn(async move { creating.snap_create("t", CallOptions::default()).await });
    held.dwell().await;
    held.let_go().await;
    soon(rolling).await.unwrap().unwrap();
    soon(creating).await.unwrap().unwrap();
    soon(image.set_snapshot(Some("t"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(4));
}

/// Nobody who takes the lock for it removes a snapshot under a rollback; Ceph's librbd removes snapshots without the lock.
#[tokio::test]
async fn a_snapshot_that_is_removed_under_a_rollback_is_enoent() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    let image = changed_since_snapshot(&io).await;
    let id = soon(image.snapshots()).await.unwrap()[0].id;
    let held = cluster.hold_next(op("rollback")).await;
    let rolling = tokio::spawn({
        let image = image.clone();
        async move { roll_back(&image).await }
    });
    held.arrived().await;
    let removal = cls::SnapshotRemove { id, to_trash: false };
    let header = format!("rbd_header.{}", image.id());
    other.operate(&header, ObjectOp::new().exec("rbd", "snapshot_remove", &removal)).await.unwrap();
    other.remove_snap_id(id).await.unwrap();
    held.let_go().await;
    assert_eq!(errno_of(soon(rolling).await.unwrap()), Errno::ENOENT);
    write(&image, 0, 1).await;
}
