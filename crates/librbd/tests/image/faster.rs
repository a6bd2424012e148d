//! I3: operations that meet what others have done meanwhile: they decide by the header, and an end that is nobody's is reached whoever
//! reached it.

use std::time::Duration;

use errno::Errno;
use librbd::{CallOptions, Image, OperationEvent};
use proto::cls::rbd::v1 as cls;
use rados::{IoCtx, ObjectOp};
use tokio::task::JoinHandle;

use crate::faults::op;
use crate::support::*;

/// Changes the header behind the back of everybody who has the image open.
async fn behind_backs(io: &IoCtx, name: &str, change: ObjectOp) {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    io.operate(&header, change).await.unwrap();
}

async fn snapshot_id(image: &Image, name: &str) -> u64 {
    let snapshots = soon(image.snapshots()).await.unwrap();
    snapshots.iter().find(|snapshot| snapshot.name == name).expect("the snapshot exists").id
}

fn set_size(objects: u64) -> ObjectOp {
    ObjectOp::new().exec("rbd", "set_size", &cls::SetSize { size: objects * OBJECT })
}

/// Facts 5.6: what a lost HeaderUpdate told decides nothing. An unprotect needs no lock, so its HeaderUpdate is the owner's only news.
#[tokio::test]
async fn a_snapshot_whose_unprotect_the_owner_did_not_hear_of_is_removed() {
    for is_forwarded in [false, true] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("a").await, cluster.client("b").await);
        create(&io, "img", 4).await;
        let owner = open(&io, "img").await;
        soon(owner.acquire_lock()).await.unwrap();
        soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
        soon(owner.snap_protect("s")).await.unwrap();
        let id = snapshot_id(&owner, "s").await;
        let input =
            cls::SetProtectionStatus { id, protection: cls::Protection::Unprotected.into(), expected: None };
        behind_backs(&other, "img", ObjectOp::new().exec("rbd", "set_protection_status", &input)).await;
        let caller = if is_forwarded { open(&other, "img").await } else { owner.clone() };
        soon(caller.snap_remove("s", CallOptions::default())).await.unwrap();
        soon(owner.refresh()).await.unwrap();
        assert_eq!(soon(owner.snapshots()).await.unwrap(), []);
    }
}

/// The same of a protect: the class refuses, and the snapshot stays.
#[tokio::test]
async fn a_snapshot_whose_protect_the_owner_did_not_hear_of_stays() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
    let id = snapshot_id(&owner, "s").await;
    let input =
        cls::SetProtectionStatus { id, protection: cls::Protection::Protected.into(), expected: None };
    behind_backs(&io, "img", ObjectOp::new().exec("rbd", "set_protection_status", &input)).await;
    assert_eq!(errno_of(soon(owner.snap_remove("s", CallOptions::default())).await), Errno::EBUSY);
}

/// The same of names and of the size.
#[tokio::test]
async fn snapshots_and_sizes_that_the_owner_did_not_hear_of_count() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    write(&owner, 0, 1).await;
    soon(owner.snap_create("taken", CallOptions::default())).await.unwrap();
    let id = snapshot_id(&owner, "taken").await;
    let rename =
        |id| ObjectOp::new().exec("rbd", "snapshot_remove", &cls::SnapshotRemove { id, to_trash: false });
    behind_backs(&io, "img", rename(id)).await;
    soon(owner.snap_create("taken", CallOptions::default())).await.unwrap();

    write(&owner, 0, 2).await;
    let id = io.allocate_snap_id().await.unwrap();
    let unheard = cls::SnapshotAdd { id, name: "unheard".to_owned(), created_unix_ms: 0 };
    behind_backs(&io, "img", ObjectOp::new().exec("rbd", "snapshot_add", &unheard)).await;
    soon(owner.snap_rollback("unheard", CallOptions::default())).await.unwrap();
    soon(owner.snap_remove("unheard", CallOptions::default())).await.unwrap();
    assert_eq!(read(&owner, 0).await, vec![2; OBJECT as usize]);

    behind_backs(&io, "img", set_size(2)).await;
    soon(owner.resize(3 * OBJECT, false, CallOptions::default())).await.unwrap();
    assert_eq!(soon(owner.size()).await.unwrap(), 3 * OBJECT);
}

/// Calls flatten, and returns when the call has begun.
async fn begun(image: &Image) -> JoinHandle<Result<(), librbd::Error>> {
    let (options, mut call) = watched_call();
    let image = image.clone();
    let flattening = tokio::spawn(async move { image.flatten(options).await });
    heard(&mut call, |event| matches!(event, OperationEvent::Placed { .. })).await;
    flattening
}

/// Facts 5.4: the second finds no parent, which is what it wanted.
#[tokio::test]
async fn all_flattens_at_once_succeed() {
    for (local, forwarded) in [(2, 0), (4, 0), (0, 2), (0, 4), (1, 1), (2, 2)] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("a").await, cluster.client("b").await);
        clone(&io, 4).await;
        let (owner, peer) = (open(&io, "child").await, open(&other, "child").await);
        soon(owner.acquire_lock()).await.unwrap();
        let held = cluster.hold_next(op("rbd.copyup")).await;
        let mut calls = Vec::new();
        for _ in 0..local {
            calls.push(begun(&owner).await);
        }
        for _ in 0..forwarded {
            calls.push(begun(&peer).await);
        }
        held.arrived().await;
        held.let_go().await;
        for call in calls {
            soon(call).await.unwrap().unwrap();
        }
        assert!(soon(peer.info()).await.unwrap().parent.is_none());
        assert_eq!(content(&peer).await, pattern(4));
        assert_eq!(children_of_base(&io).await, 0);
    }
}

/// Its caller gave up, the owner did not.
#[tokio::test]
async fn a_flatten_that_is_called_again_after_its_deadline_succeeds_while_the_owner_works() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let (owner, peer) = (open(&io, "child").await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let held = cluster.hold_next(op("rbd.copyup")).await;
    let impatient = CallOptions { deadline: Some(Duration::from_millis(300)), ..CallOptions::default() };
    assert_eq!(errno_of(soon(peer.flatten(impatient)).await), Errno::ETIMEDOUT);
    held.arrived().await;
    let again = begun(&peer).await;
    held.let_go().await;
    soon(again).await.unwrap().unwrap();
    assert!(soon(peer.info()).await.unwrap().parent.is_none());
}

/// Only what was so before the call counts as its caller's mistake.
#[tokio::test]
async fn a_flatten_is_einval_when_the_parent_was_gone_before_it_began() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let (owner, peer) = (open(&io, "child").await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    soon(owner.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(errno_of(soon(owner.flatten(CallOptions::default())).await), Errno::EINVAL);
    assert_eq!(errno_of(soon(peer.flatten(CallOptions::default())).await), Errno::EINVAL);
}

#[tokio::test]
async fn a_flatten_is_einval_when_nobody_told_that_the_parent_was_gone_before() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "child").await;
    behind_backs(&io, "child", ObjectOp::new().exec_empty("rbd", "parent_detach")).await;
    assert_eq!(errno_of(soon(image.flatten(CallOptions::default())).await), Errno::EINVAL);
}

/// The size belongs to nobody either.
#[tokio::test]
async fn all_resizes_to_one_size_at_once_succeed() {
    for callers in [2, 4] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("a").await, cluster.client("b").await);
        create(&io, "img", 8).await;
        let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
        soon(owner.acquire_lock()).await.unwrap();
        for size in [3 * OBJECT, 6 * OBJECT] {
            let resize = |image: &Image| {
                let image = image.clone();
                tokio::spawn(async move { image.resize(size, true, CallOptions::default()).await })
            };
            let calls: Vec<_> = (0..callers).map(|caller| resize([&owner, &peer][caller % 2])).collect();
            for call in calls {
                soon(call).await.unwrap().unwrap();
            }
            assert_eq!(soon(peer.size()).await.unwrap(), size);
        }
    }
}

/// A shrink that its caller forbids is no failure when it was done already.
#[tokio::test]
async fn a_resize_to_a_size_that_another_client_reached_first_succeeds() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 8).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    // The owner has refused it, and is about to record that.
    let held = cluster.hold_next(op("omap_set")).await;
    let resizing = tokio::spawn(async move { peer.resize(4 * OBJECT, false, CallOptions::default()).await });
    held.arrived().await;
    behind_backs(&other, "img", set_size(4)).await;
    held.let_go().await;
    soon(resizing).await.unwrap().unwrap();
}

/// What is created and removed is somebody's: of two who do it at once, one hears of the other.
#[tokio::test]
async fn of_two_who_create_or_remove_a_snapshot_one_is_refused() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    let both = soon(async {
        tokio::join!(
            owner.snap_create("s", CallOptions::default()),
            peer.snap_create("s", CallOptions::default())
        )
    });
    assert_eq!(refusals(both.await), [Errno::EEXIST]);
    let both = soon(async {
        tokio::join!(
            owner.snap_remove("s", CallOptions::default()),
            peer.snap_remove("s", CallOptions::default())
        )
    });
    assert_eq!(refusals(both.await), [Errno::ENOENT]);
}

fn refusals((one, two): (Result<(), librbd::Error>, Result<(), librbd::Error>)) -> Vec<Errno> {
    [one, two].into_iter().filter_map(Result::err).map(|error| error.errno()).collect()
}
