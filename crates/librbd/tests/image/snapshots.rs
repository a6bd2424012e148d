//! Snapshots of open images.

use errno::Errno;
use librbd::{CallOptions, CloneOptions, Features};

use crate::support::*;

#[tokio::test]
async fn a_snapshot_keeps_what_was_written_before_it() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_create("s", CallOptions::default())).await), Errno::EEXIST);
    assert_eq!(errno_of(soon(image.snap_create("a/b", CallOptions::default())).await), Errno::EINVAL);
    write(&image, 0, 2).await;
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(read(&image, 0).await[0], 1);
}

#[tokio::test]
async fn a_rollback_restores_size_and_content() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 8).await;
    let image = open(&io, "img").await;
    soon(image.write(0, pattern(8))).await.unwrap();
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    for size in [3, 12] {
        soon(image.resize(size * OBJECT, true, CallOptions::default())).await.unwrap();
        write(&image, 1, 0x55).await;
        write(&image, size - 1, 0x66).await;
        soon(image.snap_rollback("s", CallOptions::default())).await.unwrap();
        assert_eq!(content(&image).await, pattern(8), "after a resize to {size} objects");
    }
    assert_eq!(errno_of(soon(image.snap_rollback("none", CallOptions::default())).await), Errno::ENOENT);
}

/// What the snapshot still reads from the parent comes back into a HEAD that was flattened.
#[tokio::test]
async fn a_rollback_after_a_flatten_restores_what_the_snapshot_has_from_the_parent() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 8, Features::LAYERING.union(Features::EXCLUSIVE_LOCK)).await;
    let image = open(&io, "child").await;
    write(&image, 2, 0x22).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    let before = content(&image).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    soon(image.discard(0, 8 * OBJECT)).await.unwrap();
    soon(image.snap_rollback("s", CallOptions::default())).await.unwrap();
    assert_eq!(content(&image).await, before);
}

#[tokio::test]
async fn a_protected_snapshot_stays_until_it_is_unprotected() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_unprotect("s")).await), Errno::EINVAL);
    soon(image.snap_protect("s")).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_protect("s")).await), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_remove("s", CallOptions::default())).await), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_protect("none")).await), Errno::ENOENT);
    librbd::clone(&io, "img", "s", &io, "child", &CloneOptions::default()).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_unprotect("s")).await), Errno::EBUSY);
    assert_eq!(
        errno_of(soon(image.snap_remove("s", CallOptions::default())).await),
        Errno::EBUSY,
        "still protected"
    );
    let child = open(&io, "child").await;
    soon(child.flatten(CallOptions::default())).await.unwrap();
    soon(image.snap_unprotect("s")).await.unwrap();
    soon(image.snap_remove("s", CallOptions::default())).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_with_children_cannot_be_removed() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let parent = open(&io, "parent").await;
    assert_eq!(errno_of(soon(parent.snap_remove("base", CallOptions::default())).await), Errno::EBUSY);
    assert_eq!(content(&open(&io, "child").await).await, pattern(4));
}
