//! The steps of a resize and of its trim (facts 7.1 and 7.2).

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, Image};

use crate::faults::{Requests, op};
use crate::story::assert_in_order;
use crate::support::*;

const SET_SIZE: &str = "header: lock.assert_locked, rbd.set_size, rbd.get_header";
const HEADER_UPDATE: &str = "header: notify header_update";

async fn resize(image: &Image, size: u64) -> Result<(), librbd::Error> {
    soon(image.resize(size, true, CallOptions::default())).await
}

/// What the data objects and the header went through in a resize by the owner.
async fn story_of_resize(cluster: &Cluster, image: &Image, size: u64) -> Vec<String> {
    let before = cluster.now().await;
    resize(image, size).await.unwrap();
    cluster.story(before).await.under_lock()
}

/// Catalogue row 131: NoOpSuccess and GrowSuccess: only the header changes.
#[tokio::test]
async fn growing_and_staying_change_only_the_header() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 3, 1).await;
    for objects in [4, 9] {
        let story = story_of_resize(&cluster, &image, objects * OBJECT).await;
        assert_eq!(story, [SET_SIZE, HEADER_UPDATE], "to {objects} objects");
        assert_eq!(soon(image.size()).await.unwrap(), objects * OBJECT);
    }
}

/// Catalogue rows 131 and 135: ShrinkSuccess, SuccessRemove, SuccessBoundary: the objects go, then the header says so.
#[tokio::test]
async fn shrinking_cuts_the_objects_then_changes_the_header() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 6).await;
    let image = open(&io, "img").await;
    soon(image.write(0, pattern(6))).await.unwrap();
    let size = 2 * OBJECT + 100;
    let story = story_of_resize(&cluster, &image, size).await;
    for cut in
        ["data 2: assert_exists, truncate", "data 3: assert_exists, remove", "data 5: assert_exists, remove"]
    {
        assert_in_order(&story, &[cut, SET_SIZE, HEADER_UPDATE]);
    }
    assert!(!story.iter().any(|line| line.starts_with("data 0") || line.starts_with("data 1")), "{story:#?}");
    assert_eq!(content(&image).await, pattern(6).slice(..size as usize));
}

/// Catalogue row 135: SuccessCopyUp: what a snapshot reads from the parent is copied up before the object is cut.
#[tokio::test]
async fn shrinking_copies_up_what_snapshots_need() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    let story = story_of_resize(&cluster, &image, OBJECT).await;
    for object in 1..4 {
        let copyup = format!("data {object}: rbd.copyup");
        let cut = format!("data {object}: assert_exists, truncate");
        assert_in_order(&story, &[&copyup, &cut, SET_SIZE]);
    }
    assert!(!story.iter().any(|line| line.starts_with("data 0")), "{story:#?}");
    soon(image.flatten(CallOptions::default())).await.unwrap();
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(4), "without the parent");
}

/// Catalogue row 135: without a snapshot nothing of the parent is copied only to be cut. The object stays, empty: without it the
/// parent would show until the header has the smaller overlap.
#[tokio::test]
async fn shrinking_a_clone_without_snapshots_copies_nothing_up() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    write(&image, 3, 1).await;
    let story = story_of_resize(&cluster, &image, OBJECT).await;
    assert_in_order(&story, &["data 3: assert_exists, truncate", SET_SIZE]);
    assert!(!story.iter().any(|line| line.contains("copyup")), "{story:#?}");
}

/// Catalogue row 135: SuccessNoOp: there are no objects to cut.
#[tokio::test]
async fn shrinking_an_empty_image_changes_only_the_header() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 6).await;
    let image = open(&io, "img").await;
    soon(image.acquire_lock()).await.unwrap();
    let story = story_of_resize(&cluster, &image, 2 * OBJECT + 100).await;
    let applied: Vec<_> = story.iter().filter(|line| !line.contains("ENOENT")).collect();
    assert_eq!(applied, [SET_SIZE, HEADER_UPDATE]);
}

/// The size is as before, and so is the gate: bytes up to the old end are written and read.
async fn assert_unchanged(cluster: &Cluster, image: &Image, objects: u64) {
    assert_eq!(soon(image.size()).await.unwrap(), objects * OBJECT);
    let other = open(&cluster.client("reader").await, "img").await;
    assert_eq!(soon(other.size()).await.unwrap(), objects * OBJECT);
    write(image, objects - 1, 0xee).await;
    assert_eq!(read(&other, objects - 1).await, vec![0xee; OBJECT as usize]);
}

/// Catalogue rows 133 and 135: TrimError: RemoveError and BoundaryError.
#[tokio::test]
async fn a_trim_that_fails_leaves_the_size_and_the_gate_as_they_were() {
    for (cut, size) in [("remove", 2 * OBJECT), ("truncate", 2 * OBJECT + 100)] {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        create(&io, "img", 6).await;
        let image = open(&io, "img").await;
        soon(image.write(0, pattern(6))).await.unwrap();
        cluster.refuse_next(Requests { op: cut, object: "rbd_data.*" }, Errno::EIO).await;
        let before = cluster.now().await;
        assert_eq!(errno_of(resize(&image, size).await), Errno::EIO, "{cut}");
        let story = cluster.story(before).await.all();
        assert!(!story.iter().any(|line| line.contains("set_size")), "{cut}: {story:#?}");
        assert!(!story.iter().any(|line| line.contains("notify header_update")), "{cut}: {story:#?}");
        assert_unchanged(&cluster, &image, 6).await;
        resize(&image, size).await.unwrap();
        assert_eq!(content(&image).await, pattern(6).slice(..size as usize), "{cut}, the second time");
    }
}

/// Catalogue row 135: CopyUpError: what a snapshot needs is not cut.
#[tokio::test]
async fn a_trim_that_cannot_copy_up_cuts_nothing() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open_with(&io, "child", slow()).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    cluster.refuse_next(op("rbd.copyup"), Errno::ENOSPC).await;
    let before = cluster.now().await;
    assert_eq!(errno_of(resize(&image, OBJECT).await), Errno::ENOSPC);
    let story = cluster.story(before).await.all();
    assert!(!story.iter().any(|line| line.contains("truncate") || line.contains("set_size")), "{story:#?}");
    assert_eq!(content(&image).await, pattern(4));
    resize(&image, OBJECT).await.unwrap();
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(4));
}

/// Catalogue row 133: UpdateHeaderError.
#[tokio::test]
async fn a_header_that_cannot_be_changed_leaves_the_size_and_the_gate_as_they_were() {
    for objects in [2, 9] {
        let cluster = Cluster::start();
        let io = cluster.client("a").await;
        create(&io, "img", 6).await;
        let image = open(&io, "img").await;
        cluster.refuse_next(op("rbd.set_size"), Errno::EIO).await;
        assert_eq!(errno_of(resize(&image, objects * OBJECT).await), Errno::EIO, "to {objects} objects");
        assert_unchanged(&cluster, &image, 6).await;
        resize(&image, objects * OBJECT).await.unwrap();
        assert_eq!(soon(image.size()).await.unwrap(), objects * OBJECT);
    }
}

/// Catalogue row 131: while objects are cut, I/O below the size to be goes on and I/O beyond it is refused.
#[tokio::test]
async fn io_below_the_new_size_goes_on_while_objects_are_cut() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 6).await;
    let image = open(&io, "img").await;
    write(&image, 5, 1).await;
    let held = cluster.hold_next(Requests { op: "remove", object: "rbd_data.*" }).await;
    let shrinking = tokio::spawn({
        let image = image.clone();
        async move { resize(&image, 2 * OBJECT).await }
    });
    held.arrived().await;
    write(&image, 1, 7).await;
    assert_eq!(errno_of(soon(image.write(2 * OBJECT, Bytes::from_static(b"x"))).await), Errno::EINVAL);
    held.let_go().await;
    soon(shrinking).await.unwrap().unwrap();
    assert_eq!(read(&image, 1).await, vec![7; OBJECT as usize]);
}

/// Catalogue row 131: no write is made while the header changes.
#[tokio::test]
async fn writes_wait_while_the_header_changes() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.acquire_lock()).await.unwrap();
    let before = cluster.now().await;
    let held = cluster.hold_next(op("rbd.set_size")).await;
    let growing = tokio::spawn({
        let image = image.clone();
        async move { resize(&image, 9 * OBJECT).await }
    });
    held.arrived().await;
    let writing = tokio::spawn({
        let image = image.clone();
        async move { write(&image, 1, 7).await }
    });
    held.dwell().await;
    held.let_go().await;
    soon(growing).await.unwrap().unwrap();
    soon(writing).await.unwrap();
    assert_in_order(&cluster.story(before).await.all(), &[SET_SIZE, "data 1: write"]);
}

/// I2, I4: a snapshot that is asked for while a clone is being shrunk shows the same before and after a flatten.
#[tokio::test]
async fn no_snapshot_is_taken_of_a_clone_that_is_cut_in_part() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 8).await;
    let image = open_with(&io, "child", slow()).await;
    let held = cluster.hold_next(op("truncate")).await;
    let (shrinking, creating) = (image.clone(), image.clone());
    let shrinking = tokio::spawn(async move { resize(&shrinking, 4 * OBJECT).await });
    held.arrived().await;
    let creating = tokio::spawn(async move { creating.snap_create("s", CallOptions::default()).await });
    held.dwell().await;
    held.let_go().await;
    soon(shrinking).await.unwrap().unwrap();
    soon(creating).await.unwrap().unwrap();
    soon(image.flatten(CallOptions::default())).await.unwrap();
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(4));
}
