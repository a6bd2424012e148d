//! Flatten and resize.

use errno::Errno;
use librbd::{CallOptions, Config, Features, Image, OpenOptions, OperationEvent};

use crate::support::*;

/// Catalogue row 162: ZeroOverlapFlatten.
#[tokio::test]
async fn a_clone_with_overlap_zero_is_flattened() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    soon(image.resize(0, true, CallOptions::default())).await.unwrap();
    soon(image.resize(4 * OBJECT, false, CallOptions::default())).await.unwrap();
    assert!(soon(image.info()).await.unwrap().parent.is_some());
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(content(&image).await, vec![0; 4 * OBJECT as usize]);
    assert_eq!(children_of_base(&io).await, 0);
}

/// Catalogue row 176: test_flatten_errors; the order of facts 6.1.
#[tokio::test]
async fn flatten_without_a_parent_is_einval_and_erofs_comes_first() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    assert_eq!(errno_of(soon(image.flatten(CallOptions::default())).await), Errno::EINVAL);
    let options = OpenOptions { read_only: true, snapshot: None };
    let read_only = soon(Image::open(&io, "img", options, Config::ci())).await.unwrap();
    assert_eq!(errno_of(soon(read_only.flatten(CallOptions::default())).await), Errno::EROFS);
}

/// Catalogue row 180: test_flatten_with_progress.
#[tokio::test]
async fn progress_grows_to_the_total() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 8).await;
    let image = open(&io, "child").await;
    let (options, call) = watched_call();
    soon(image.flatten(options)).await.unwrap();
    let progress: Vec<_> = all_heard(call)
        .into_iter()
        .filter_map(|event| match event {
            OperationEvent::Progress { offset, total, attempt } => Some((offset, total, attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(progress, (1..=8).map(|done| (done, 8, 1)).collect::<Vec<_>>());
}

/// Facts 6.9: without deep-flatten snapshots keep the parent, and the child stays registered until the last one goes.
#[tokio::test]
async fn without_deep_flatten_a_snapshot_keeps_the_child_registered() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 8, Features::LAYERING.union(Features::EXCLUSIVE_LOCK)).await;
    let image = open(&io, "child").await;
    soon(image.snap_create("before", CallOptions::default())).await.unwrap();
    write(&image, 0, 0xaa).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(children_of_base(&io).await, 1);
    assert_eq!(soon(image.info()).await.unwrap().parent.expect("of the snapshot").overlap, None);
    assert_eq!(errno_of(soon(image.flatten(CallOptions::default())).await), Errno::EINVAL);
    soon(image.set_snapshot(Some("before"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(8));
    soon(image.set_snapshot(None)).await.unwrap();
    soon(image.snap_remove("before", CallOptions::default())).await.unwrap();
    assert_eq!(children_of_base(&io).await, 0);
    assert!(soon(image.info()).await.unwrap().parent.is_none());
}

/// Facts 6.7: with deep-flatten the snapshots lose the parent and keep their data (I4).
#[tokio::test]
async fn with_deep_flatten_snapshots_become_independent() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 8).await;
    let image = open(&io, "child").await;
    soon(image.snap_create("before", CallOptions::default())).await.unwrap();
    write(&image, 0, 0xaa).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(children_of_base(&io).await, 0);
    let parent = open(&io, "parent").await;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    soon(image.set_snapshot(Some("before"))).await.unwrap();
    assert_eq!(content(&image).await, pattern(8));
}

/// I2, I4: flatten beside writes and a snapshot changes nothing of what they did.
#[tokio::test]
async fn flatten_runs_beside_writes_and_snapshots() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 64).await;
    let image = open_with(&io, "child", slow()).await;
    let flattening = tokio::spawn({
        let image = image.clone();
        async move { image.flatten(CallOptions::default()).await }
    });
    for object in (0..64).step_by(3) {
        write(&image, object, 0x77).await;
        if object == 30 {
            soon(image.snap_create("middle", CallOptions::default())).await.unwrap();
        }
    }
    soon(flattening).await.unwrap().unwrap();
    let expected = |written_below: u64| {
        let mut bytes = pattern(64).to_vec();
        for object in (0..written_below).step_by(3) {
            bytes[(object * OBJECT) as usize..((object + 1) * OBJECT) as usize].fill(0x77);
        }
        bytes
    };
    assert_eq!(content(&image).await, expected(64));
    soon(image.set_snapshot(Some("middle"))).await.unwrap();
    assert_eq!(content(&image).await, expected(31));
}

/// Facts 7.1.
#[tokio::test]
async fn a_shrunk_image_grows_back_with_zeros() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 8).await;
    let image = open(&io, "child").await;
    write(&image, 6, 0x11).await;
    assert_eq!(errno_of(soon(image.resize(OBJECT, false, CallOptions::default())).await), Errno::EINVAL);
    let half = 2 * OBJECT + OBJECT / 2;
    soon(image.resize(half, true, CallOptions::default())).await.unwrap();
    assert_eq!(content(&image).await, pattern(8).slice(..half as usize));
    assert_eq!(errno_of(soon(image.write(half, vec![1].into())).await), Errno::EINVAL);
    soon(image.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    let mut expected = pattern(8).to_vec();
    expected[half as usize..].fill(0);
    assert_eq!(content(&image).await, expected);
}

/// Catalogue row 154: MultipleResize.
#[tokio::test]
async fn queued_resizes_are_applied_one_after_the_other() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    let mut events = image.events();
    let resize = |objects: u64| image.resize(objects * OBJECT, true, CallOptions::default());
    let (one, two, three) = soon(async { tokio::join!(biased; resize(9), resize(3), resize(6)) }).await;
    one.and(two).and(three).unwrap();
    assert_eq!(soon(image.size()).await.unwrap(), 6 * OBJECT);
    let mut running = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            librbd::ImageEvent::OperationStarted { .. } => running += 1,
            librbd::ImageEvent::OperationEnded { .. } => running -= 1,
            _ => {}
        }
        assert!(running <= 1, "two resizes at once");
    }
}
