//! Flatten and resize.

use errno::Errno;
use librbd::{CallOptions, Config, Features, Image, ImageEvent, OpenOptions, OperationEvent};
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::ObjectOp;

use crate::faults::op;
use crate::peer::Peer;
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

/// I2, I3: a rollback reads its snapshot to the end: a peer's removal of it waits.
#[tokio::test]
async fn a_snapshot_is_not_removed_while_it_is_rolled_back_to() {
    const OBJECTS: u64 = 192;
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", OBJECTS).await;
    let image = open_with(&io, "img", slow()).await;
    soon(image.write(0, pattern(OBJECTS))).await.unwrap();
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    soon(image.write(0, vec![0x55; (OBJECTS * OBJECT) as usize].into())).await.unwrap();
    soon(image.acquire_lock()).await.unwrap();
    let peer = open(&other, "img").await;
    let (options, mut call) = watched_call();
    let calling = image.clone();
    let rolling_back = tokio::spawn(async move { calling.snap_rollback("s", options).await });
    heard(&mut call, |event| matches!(event, OperationEvent::Progress { .. })).await;
    soon(peer.snap_remove("s", CallOptions::default())).await.unwrap();
    soon(rolling_back).await.unwrap().unwrap();
    assert!(content(&image).await == pattern(OBJECTS), "HEAD is a mix of both");
    assert_eq!(soon(image.snapshots()).await.unwrap(), []);
}

/// I4: what was never copied from a parent that is lost is not declared to be zeros.
#[tokio::test]
async fn a_clone_whose_parent_is_lost_is_not_flattened() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    for object in [0, 1, 3] {
        soon(image.write(object * OBJECT, b"own".as_slice().into())).await.unwrap();
    }
    soon(image.close()).await;
    let parent = librbd::names::header(&librbd::image_id(&io, "parent").await.unwrap());
    io.operate(&parent, ObjectOp::new().remove()).await.unwrap();
    let orphan = open(&io, "child").await;
    assert_eq!(errno_of(soon(orphan.flatten(CallOptions::default())).await), Errno::ENOENT);
    assert!(soon(orphan.info()).await.unwrap().parent.is_some());
    assert_eq!(errno_of(soon(orphan.read(2 * OBJECT, OBJECT)).await), Errno::ENOENT, "not zeros");
    write(&orphan, 1, 7).await;
    assert_eq!(read(&orphan, 1).await, vec![7; OBJECT as usize]);
}

/// Design 4.8: nobody can make an image whose objects cannot be walked, not by a forwarded request either.
#[tokio::test]
async fn an_image_has_a_largest_size() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    soon(owner.acquire_lock()).await.unwrap();
    let largest = 256_000_000 * OBJECT;
    let mut peer = Peer::watch(other, "img").await;
    for (number, size) in [(1, u64::MAX), (2, largest + 1)] {
        let request = peer.request(number, 1);
        let resize = Payload::Resize(wire::ResizePayload { request, size, allow_shrink: true });
        assert_eq!(peer.call(resize, number).await, Errno::EINVAL.result(), "{size}");
    }
    assert_eq!(soon(owner.size()).await.unwrap(), 4 * OBJECT);
    soon(owner.resize(largest, false, CallOptions::default())).await.unwrap();
    let options = librbd::CreateOptions { size: largest + 1, order: ORDER, ..Default::default() };
    let refused = errno_of(librbd::create(&io, "larger", &options).await);
    assert_eq!(refused, Errno::EINVAL);
}

/// Facts 6.8: the change has happened; that peers could not be told at once is no failure of it, and they are told later.
#[tokio::test]
async fn a_change_that_cannot_be_announced_has_happened_all_the_same() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(image.acquire_lock()).await.unwrap();
    let mut at_peer = peer.events();
    cluster.refuse_next(op("notify"), Errno::EAGAIN).await;
    soon(image.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    seen(&mut at_peer, |event| *event == ImageEvent::HeaderUpdated).await;
    assert_eq!(soon(peer.size()).await.unwrap(), 8 * OBJECT);
    cluster.refuse_next(op("notify"), Errno::EIO).await;
    soon(image.resize(9 * OBJECT, false, CallOptions::default())).await.unwrap();
    assert_eq!(soon(image.size()).await.unwrap(), 9 * OBJECT);
}

/// I1: an operation that was under way when the image was set to a snapshot still commits under the lock only.
#[tokio::test]
async fn an_operation_of_an_image_that_is_set_to_a_snapshot_does_not_commit_without_the_lock() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    let held = cluster.hold_next(op("rbd.parent_detach")).await;
    let calling = image.clone();
    let flattening = tokio::spawn(async move { calling.flatten(one_attempt()).await });
    held.arrived().await;
    let unfenced = Config { rbd_blocklist_on_break_lock: false, ..Config::ci() };
    librbd::locks::lock_break(&other, "child", true, &unfenced).await.unwrap();
    librbd::locks::lock_add(&other, "child", "mine", None).await.unwrap();
    let mut states = image.events();
    let setting = image.clone();
    let setting = tokio::spawn(async move { setting.set_snapshot(Some("s")).await });
    seen(&mut states, is_state("pre_releasing")).await;
    held.let_go().await;
    assert_eq!(errno_of(soon(flattening).await.unwrap()), Errno::ERESTART);
    let _the_lock_was_gone = soon(setting).await.unwrap();
    let other = open(&other, "child").await;
    assert!(soon(other.info()).await.unwrap().parent.is_some());
}
