//! Clients that hang and come back.

use bytes::Bytes;
use errno::Errno;
use futures_util::FutureExt;
use librbd::{CallOptions, ImageEvent, OperationEvent};

use crate::faults::{Requests, op};
use crate::support::*;
use crate::valve::Valve;

/// I1: what a hung owner had begun never lands after its lock was broken.
#[tokio::test]
async fn a_hung_owner_is_fenced_and_its_late_write_never_lands() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    valve.close();
    let mut late = Box::pin(owner.write(0, Bytes::from(vec![9; OBJECT as usize])));
    assert!(late.as_mut().now_or_never().is_none());
    write(&peer, 0, 2).await;
    valve.open();
    assert_eq!(errno_of(soon(late).await), Errno::EBLOCKLISTED);
    assert_eq!(read(&peer, 0).await, vec![2; OBJECT as usize]);
}

/// Facts 10.10 item 5: the requester's watch is registered anew in the middle of a forwarded flatten.
#[tokio::test]
async fn a_requester_that_hangs_in_the_middle_still_gets_its_result() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client("a").await, cluster.client_behind("hangs", &valve).await);
    clone(&io, 64).await;
    let (owner, requester) = (open_with(&io, "child", slow()).await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let (mut at_owner, mut at_requester) = (owner.events(), requester.events());
    let (options, mut call) = watched_call();
    let calling = requester.clone();
    let flattening = tokio::spawn(async move { calling.flatten(options).await });
    heard(&mut call, |event| matches!(event, OperationEvent::Progress { offset: 1.., .. })).await;
    valve.close();
    seen(&mut at_owner, |event| matches!(event, ImageEvent::OperationEnded { result: 0, .. })).await;
    // Its watch expires before it comes back.
    soon(async {
        while librbd::watchers(&io, "child").await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    valve.open();
    seen(&mut at_requester, |event| matches!(event, ImageEvent::WatchState { state: "reregistered", .. }))
        .await;
    soon(flattening).await.unwrap().unwrap();
    assert!(soon(requester.info()).await.unwrap().parent.is_none());
    assert_eq!(content(&requester).await, pattern(64));
    assert!(!soon(requester.is_lock_owner()).await.unwrap());
}

/// Facts 3.9: an owner whose watch was registered anew, and whose lock nobody wanted meanwhile, is owner again.
#[tokio::test]
async fn an_owner_that_hangs_reacquires_under_its_new_watch() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    soon(owner.acquire_lock()).await.unwrap();
    let before = owner.watch_handle();
    let mut events = owner.events();
    valve.close();
    soon(async {
        while !librbd::watchers(&other, "img").await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    valve.open();
    seen(&mut events, |event| matches!(event, ImageEvent::WatchState { state: "reregistered", .. })).await;
    seen(&mut events, is_state("locked")).await;
    assert_ne!(owner.watch_handle(), before);
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    write(&owner, 0, 1).await;
    let peer = open(&other, "img").await;
    soon(peer.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    assert!(soon(owner.is_lock_owner()).await.unwrap(), "it ran the peer's resize");
}

/// I2: a HeaderUpdate that timed out while its watcher hung is made up for, also when the watch itself lived through it.
#[tokio::test]
async fn a_client_that_hung_looks_at_the_header_again() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    let mut events = image.events();
    valve.close();
    soon(peer.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    seen(&mut events, |event| matches!(event, ImageEvent::WatchState { state: "interrupted", .. })).await;
    valve.open();
    seen(&mut events, |event| {
        matches!(event, ImageEvent::WatchState { state: "resumed" | "reregistered", .. })
    })
    .await;
    assert_eq!(soon(image.size()).await.unwrap(), 8 * OBJECT);
}

/// I5: a cookie that the OSD has changed is changed, also when the parent cannot be looked at then: the release that waited
/// for it gives the lock back.
#[tokio::test]
async fn a_lock_is_released_under_the_cookie_that_the_osd_has() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    clone(&io, 4).await;
    let (owner, peer) = (open(&io, "child").await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let held = cluster.hold_next(op("lock.set_cookie")).await;
    valve.close();
    soon(async {
        while librbd::watchers(&other, "child").await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    valve.open();
    held.arrived().await;
    let parent = librbd::names::header(&librbd::image_id(&other, "parent").await.unwrap());
    cluster.refuse_next(Requests { op: "rbd.get_header", object: &parent }, Errno::EIO).await;
    let releasing = owner.clone();
    let releasing = tokio::spawn(async move { releasing.release_lock().await });
    held.dwell().await;
    held.let_go().await;
    soon(releasing).await.unwrap().unwrap();
    assert_eq!(soon(peer.lock_owner()).await.unwrap(), None);
    write(&peer, 0, 1).await;
}
