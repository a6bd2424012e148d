//! Owners that go in the middle of an operation.

use errno::Errno;
use librbd::{CallOptions, Config, OperationEvent};
use proto::rbd::v1::{self as wire, notify_message::Payload};

use crate::peer::Peer;
use crate::support::*;

const OBJECTS: u64 = 192;

fn some_progress(event: &OperationEvent) -> bool {
    matches!(event, OperationEvent::Progress { offset: 1.., .. })
}

fn flatten(request: Option<wire::RequestHeader>) -> Payload {
    Payload::Flatten(wire::FlattenPayload { request })
}

fn resize(request: Option<wire::RequestHeader>, size: u64) -> Payload {
    Payload::Resize(wire::ResizePayload { request, size, allow_shrink: true })
}

async fn assert_flattened(image: &librbd::Image, objects: u64) {
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    assert_eq!(content(image).await, pattern(objects));
}

/// A third client takes the lock while the owner flattens for the requester: the requester's call still succeeds.
#[tokio::test]
async fn a_forwarded_flatten_survives_a_hand_over() {
    let cluster = Cluster::start();
    let (io, other, third) =
        (cluster.client("a").await, cluster.client("b").await, cluster.client("c").await);
    clone(&io, OBJECTS).await;
    let hasty = Config { rbd_lock_hold_max: std::time::Duration::ZERO, ..slow() };
    let owner = open_with(&io, "child", hasty.clone()).await;
    let requester = open_with(&other, "child", hasty.clone()).await;
    let writer = open_with(&third, "child", hasty).await;
    soon(owner.discard(0, 0)).await.unwrap();
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    let (options, mut call) = watched_call();
    let flattening = tokio::spawn(async move { (requester.flatten(options).await, requester) });
    heard(&mut call, some_progress).await;
    let first = pattern(OBJECTS).slice(..OBJECT as usize);
    soon(writer.write(0, first)).await.unwrap();
    let (result, requester) = soon(flattening).await.unwrap();
    result.unwrap();
    let events = all_heard(call);
    assert!(
        events.iter().any(|event| matches!(event, OperationEvent::Restarted { attempt: 2.., .. })),
        "{events:?}"
    );
    assert_flattened(&requester, OBJECTS).await;
    assert_eq!(children_of_base(&io).await, 0);
}

/// The owner dies in the middle: the requester breaks its lock and finishes the work itself (I3, I5).
#[tokio::test]
async fn a_requester_restarts_and_finishes_when_the_owner_is_killed() {
    let cluster = Cluster::start();
    let io = cluster.client("b").await;
    clone(&io, OBJECTS).await;
    let mortal = cluster.mortal("a").await;
    let owner = mortal.open("child", slow()).await;
    let locking = owner.clone();
    mortal.run(async move { locking.acquire_lock().await.unwrap() }).await;
    let requester = open(&io, "child").await;
    let (options, mut call) = watched_call();
    let calling = requester.clone();
    let flattening = tokio::spawn(async move { calling.flatten(options).await });
    heard(&mut call, some_progress).await;
    mortal.kill().await;
    soon(flattening).await.unwrap().unwrap();
    drop(owner);
    let events = all_heard(call);
    assert!(
        events.iter().any(|event| matches!(event, OperationEvent::Placed { forwarded: false, .. })),
        "{events:?}"
    );
    assert_eq!(done_records(&io, "child").await.len(), 1, "a copy of the request may be on its way still");
    assert_flattened(&requester, OBJECTS).await;
    assert!(soon(requester.is_lock_owner()).await.unwrap());
    assert_eq!(children_of_base(&io).await, 0);
}

/// Owner killed between commit and AsyncComplete, another client's resize in between, then the re-send: executed once (I3).
#[tokio::test]
async fn a_committed_request_is_not_run_again_by_the_next_owner() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("c").await);
    create(&io, "img", 4).await;
    let mut requester = Peer::watch(io, "img").await;
    let mortal = cluster.mortal("a").await;
    let owner = mortal.open("img", Config::ci()).await;
    let locking = owner.clone();
    mortal.run(async move { locking.acquire_lock().await.unwrap() }).await;
    // What the requester hears of it is lost, as if the owner had died before it said so.
    assert_eq!(requester.call(resize(requester.request(1, 1), 8 * OBJECT), 1).await, 0);
    mortal.kill().await;
    drop(owner);
    let next = open(&other, "img").await;
    soon(next.resize(6 * OBJECT, true, CallOptions::default())).await.unwrap();
    assert!(soon(next.is_lock_owner()).await.unwrap());
    assert_eq!(requester.call(resize(requester.request(1, 2), 8 * OBJECT), 1).await, 0, "recorded as done");
    assert_eq!(soon(next.size()).await.unwrap(), 6 * OBJECT, "and not done again");
}

/// Cancelled, handed over, handed back: the same request is no completed one, it runs (I3).
#[tokio::test]
async fn a_cancelled_request_runs_when_it_is_sent_again_to_the_same_owner() {
    let cluster = Cluster::start();
    let (io, other, third) =
        (cluster.client("a").await, cluster.client("requester").await, cluster.client("c").await);
    clone(&io, OBJECTS).await;
    let hasty = Config { rbd_lock_hold_max: std::time::Duration::ZERO, ..slow() };
    let (owner, writer) =
        (open_with(&io, "child", hasty.clone()).await, open_with(&third, "child", hasty).await);
    soon(owner.discard(0, 0)).await.unwrap();
    let mut requester = Peer::watch(other, "child").await;
    requester.send(flatten(requester.request(1, 1))).await;
    let interrupted = async {
        soon(writer.discard(0, 0)).await.unwrap();
    };
    let (result, ()) = soon(async { tokio::join!(requester.completed(1), interrupted) }).await;
    assert_eq!(result, Errno::ERESTART.result());
    soon(owner.discard(0, 0)).await.unwrap();
    assert!(soon(owner.is_lock_owner()).await.unwrap());
    assert_eq!(requester.call(flatten(requester.request(1, 2)), 1).await, 0);
    assert_flattened(&owner, OBJECTS).await;
}

/// Closing the owner in the middle: the requester goes on by itself.
#[tokio::test]
async fn a_requester_finishes_when_the_owner_closes() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, OBJECTS).await;
    let (owner, requester) = (open_with(&io, "child", slow()).await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let (options, mut call) = watched_call();
    let calling = requester.clone();
    let flattening = tokio::spawn(async move { calling.flatten(options).await });
    heard(&mut call, some_progress).await;
    soon(owner.close()).await;
    soon(flattening).await.unwrap().unwrap();
    assert_flattened(&requester, OBJECTS).await;
    assert_eq!(other.rados().blocklist().await.unwrap(), [], "nobody had to be fenced");
}

/// The requester closes in the middle: the owner finishes, and nothing is left behind (I6).
#[tokio::test]
async fn a_requester_that_closes_in_the_middle_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, OBJECTS).await;
    let (owner, requester) = (open_with(&io, "child", slow()).await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let mut at_owner = owner.events();
    let (options, mut call) = watched_call();
    let calling = requester.clone();
    let flattening = tokio::spawn(async move { calling.flatten(options).await });
    heard(&mut call, some_progress).await;
    soon(requester.close()).await;
    assert_eq!(errno_of(soon(flattening).await.unwrap()), Errno::ESHUTDOWN);
    other.rados().shutdown().await;
    seen(&mut at_owner, |event| matches!(event, librbd::ImageEvent::OperationEnded { result: 0, .. })).await;
    assert_flattened(&owner, OBJECTS).await;
    let watchers = librbd::watchers(&io, "child").await.unwrap();
    assert_eq!(watchers.len(), 1, "only the owner's");
    // Its session has ended: the next owner removes its record.
    soon(owner.release_lock()).await.unwrap();
    write(&owner, 0, 1).await;
    soon(async {
        while !done_records(&io, "child").await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A local run whose caller goes away stops at a safe point; the next call finishes it.
#[tokio::test]
async fn a_flatten_that_is_dropped_can_be_run_again() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, OBJECTS).await;
    let image = open_with(&io, "child", slow()).await;
    let mut events = image.events();
    let (options, mut call) = watched_call();
    let calling = image.clone();
    let flattening = tokio::spawn(async move { calling.flatten(options).await });
    heard(&mut call, some_progress).await;
    flattening.abort();
    seen(&mut events, |event| matches!(event, librbd::ImageEvent::OperationEnded { .. })).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert_flattened(&image, OBJECTS).await;
}

/// Catalogue row 153: CancelAsyncResize. A shrink that is cancelled between the trim and the header has trimmed (facts 7.1), but
/// never below the size that was asked for.
#[tokio::test]
async fn a_shrink_that_is_cancelled_is_erestart_or_done() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", OBJECTS).await;
    let hasty = Config { rbd_lock_hold_max: std::time::Duration::ZERO, ..slow() };
    let (image, peer) = (open_with(&io, "img", hasty.clone()).await, open_with(&other, "img", hasty).await);
    soon(image.write(0, pattern(OBJECTS))).await.unwrap();
    for left in (OBJECTS - 20..OBJECTS).rev() {
        let shrink = image.resize(left * OBJECT, true, one_attempt());
        let (shrunk, written) = soon(async { tokio::join!(shrink, peer.write(0, pattern(1))) }).await;
        written.unwrap();
        match shrunk {
            Ok(()) => {}
            Err(error) => assert_eq!(error.errno(), Errno::ERESTART, "{error}"),
        }
        soon(image.discard(0, 0)).await.unwrap();
    }
    let (found, written) = (content(&image).await, pattern(OBJECTS));
    let (kept, object) = (((OBJECTS - 20) * OBJECT) as usize, OBJECT as usize);
    assert!(
        found.len() >= kept && found[..kept] == written[..kept],
        "the image lost more than was asked for"
    );
    for (number, (found, written)) in found.chunks(object).zip(written.chunks(object)).enumerate() {
        let is_trimmed = found.iter().all(|byte| *byte == 0);
        assert!(is_trimmed || found == written, "object {number} is neither whole nor trimmed");
    }
    // A shrink that nobody cancels leaves exactly what it was asked for.
    soon(image.resize((OBJECTS - 20) * OBJECT, true, CallOptions::default())).await.unwrap();
    assert_eq!(content(&image).await, pattern(OBJECTS).slice(..kept));
}
