//! An owner whose watch is registered anew lives; a lock whose open has gone is given back by its session.

use errno::Errno;
use futures_util::FutureExt;
use librbd::{Config, ImageEvent};
use proto::osd::v1::{FaultCondition, FaultDirection};
use rados::IoCtx;
use tokio::sync::broadcast;

use crate::faults::{Requests, op};
use crate::support::*;
use crate::valve::Valve;

fn is_reregistered(event: &ImageEvent) -> bool {
    matches!(event, ImageEvent::WatchState { state: "reregistered", .. })
}

/// Waits until the peer has looked at the lock and knows what to do: it asks its owner first, who says nothing yet.
async fn looked(states: &mut broadcast::Receiver<ImageEvent>) {
    seen(states, is_state("acquiring")).await;
    seen(states, |event| is_state("waiting_for_lock")(event) || is_state("locked")(event)).await;
}

async fn nobody_was_fenced(io: &IoCtx) {
    assert_eq!(io.rados().blocklist().await.unwrap(), []);
}

#[tokio::test]
async fn an_owner_whose_cookie_is_not_changed_yet_is_not_fenced() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let held = cluster.hold_next(op("lock.set_cookie")).await;
    expire_watches(&cluster, &io, &other).await;
    held.arrived().await;
    let mut states = peer.events();
    let mut writing = Box::pin(peer.write(0, vec![2; OBJECT as usize].into()));
    assert!(writing.as_mut().now_or_never().is_none());
    looked(&mut states).await;
    nobody_was_fenced(&other).await;
    held.let_go().await;
    soon(writing).await.unwrap();
    write(&owner, 0, 3).await;
    nobody_was_fenced(&other).await;
}

/// While the cookie is changed, neither the old nor the new one says who holds the lock.
#[tokio::test]
async fn an_owner_whose_cookie_is_being_changed_knows_itself() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let owner = open(&io, "img").await;
    write(&owner, 0, 1).await;
    let held = cluster.hold_next(op("lock.set_cookie")).await;
    expire_watches(&cluster, &io, &other).await;
    held.arrived().await;
    let asking = owner.clone();
    let asking = tokio::spawn(async move { asking.lock_owner().await });
    held.dwell().await;
    held.let_go().await;
    assert!(soon(asking).await.unwrap().unwrap().expect("it holds the lock").is_self);
}

#[tokio::test]
async fn an_owner_that_took_the_lock_under_its_old_watch_is_not_fenced() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    let mut events = owner.events();
    let taking = cluster.hold_next(op("lock.lock")).await;
    let mut first = Box::pin(owner.write(0, vec![1; OBJECT as usize].into()));
    assert!(first.as_mut().now_or_never().is_none());
    taking.arrived().await;
    expire_watches(&cluster, &io, &other).await;
    seen(&mut events, is_reregistered).await;
    let changing = cluster.hold_next(op("lock.set_cookie")).await;
    taking.let_go().await;
    changing.arrived().await;
    let mut states = peer.events();
    let mut writing = Box::pin(peer.write(0, vec![2; OBJECT as usize].into()));
    assert!(writing.as_mut().now_or_never().is_none());
    looked(&mut states).await;
    nobody_was_fenced(&other).await;
    changing.let_go().await;
    soon(first).await.unwrap();
    soon(writing).await.unwrap();
    nobody_was_fenced(&other).await;
}

/// The breaker saw nobody, stood still, and goes on when the owner is back.
#[tokio::test]
async fn an_owner_that_comes_back_before_the_fence_is_not_fenced() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let mut events = owner.events();
    valve.close();
    soon(async {
        while librbd::watchers(&other, "img").await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The first one is read before the attempt to lock, the second one after the first look.
    let second = FaultCondition {
        direction: FaultDirection::Request.into(),
        op: "lock.get_info".to_owned(),
        gid: other.rados().gid(),
        ..FaultCondition::default()
    };
    let standing_still = cluster.osd().hold(1, second).await;
    let mut writing = Box::pin(peer.write(0, vec![2; OBJECT as usize].into()));
    tokio::select! {
        biased;
        result = &mut writing => panic!("the breaker stands still: {result:?}"),
        () = standing_still.arrived() => {}
    }
    let changing = cluster.hold_next(op("lock.set_cookie")).await;
    valve.open();
    seen(&mut events, is_reregistered).await;
    changing.arrived().await;
    let mut states = peer.events();
    standing_still.let_go().await;
    let waiting = seen(&mut states, is_state("waiting_for_lock"));
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        result = &mut writing => panic!("the owner has the lock: {result:?}"),
        () = waiting => {}
    }
    nobody_was_fenced(&other).await;
    changing.let_go().await;
    soon(writing).await.unwrap();
    write(&owner, 0, 3).await;
    nobody_was_fenced(&other).await;
}

/// The breaker saw nobody twice, and stood still right before the fence.
#[tokio::test]
async fn an_owner_that_comes_back_while_the_fence_is_under_way_is_not_fenced() {
    let cluster = Cluster::start();
    let valve = Valve::new();
    let (io, other) = (cluster.client_behind("hangs", &valve).await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    write(&owner, 0, 1).await;
    let mut events = owner.events();
    valve.close();
    soon(async {
        while librbd::watchers(&other, "img").await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let fence = cluster.hold_next(op("blocklist_add")).await;
    let mut writing = Box::pin(peer.write(0, vec![2; OBJECT as usize].into()));
    tokio::select! {
        biased;
        result = &mut writing => panic!("the breaker stands still: {result:?}"),
        () = fence.arrived() => {}
    }
    valve.open();
    seen(&mut events, is_reregistered).await;
    fence.let_go().await;
    soon(writing).await.unwrap();
    nobody_was_fenced(&other).await;
    write(&owner, 0, 3).await;
    nobody_was_fenced(&other).await;
}

/// The next answer to this op of `client` is an error, although the op was applied.
async fn spoil_answer(cluster: &Cluster, client: &IoCtx, op: &str) {
    let when = FaultCondition {
        direction: FaultDirection::Reply.into(),
        op: op.to_owned(),
        gid: client.rados().gid(),
        ..FaultCondition::default()
    };
    cluster.osd().refuse_at(when, Errno::EIO).await;
}

/// A client that does not know of its lock answers nobody who asks for it.
#[tokio::test]
async fn a_lock_that_was_taken_although_the_answer_was_an_error_is_given_back() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (first, peer) = (open(&io, "img").await, open(&other, "img").await);
    spoil_answer(&cluster, &io, "lock.lock").await;
    assert_eq!(errno_of(soon(first.write(0, vec![1; OBJECT as usize].into())).await), Errno::EIO);
    write(&peer, 0, 2).await;
    nobody_was_fenced(&other).await;
}

/// The same of a cookie that was changed: the release that waited for it gives the lock back under the new one.
#[tokio::test]
async fn a_lock_whose_cookie_was_changed_although_the_answer_was_an_error_is_given_back() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    let held = cluster.hold_next(op("lock.set_cookie")).await;
    expire_watches(&cluster, &io, &other).await;
    held.arrived().await;
    let releasing = owner.clone();
    let releasing = tokio::spawn(async move { releasing.release_lock().await });
    held.dwell().await;
    spoil_answer(&cluster, &io, "lock.set_cookie").await;
    held.let_go().await;
    soon(releasing).await.unwrap().unwrap();
    assert_eq!(soon(peer.lock_owner()).await.unwrap(), None);
    write(&peer, 0, 2).await;
    nobody_was_fenced(&other).await;
}

/// A removal that is given up while it holds the lock leaves a session that lives and watches: nobody may break its lock, so
/// it gives it back.
#[tokio::test]
async fn the_lock_of_a_removal_that_was_given_up_is_given_back_by_its_session() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let image = open(&other, "img").await;
    write(&image, 0, 1).await;
    soon(image.close()).await;
    let held = cluster.hold_next(Requests { op: "omap_set", object: librbd::names::DIRECTORY }).await;
    let removing = tokio::spawn({
        let io = io.clone();
        async move { librbd::remove(&io, "img", &Config::ci(), std::sync::Arc::new(|_| {})).await }
    });
    held.arrived().await;
    let same_session = open(&io, "img").await;
    removing.abort();
    assert!(soon(removing).await.unwrap_err().is_cancelled());
    held.let_go().await;
    let peer = open(&other, "img").await;
    write(&peer, 1, 2).await;
    write(&same_session, 2, 3).await;
    nobody_was_fenced(&other).await;
}
