//! An owner that is killed at each single step of a flatten, and a lock that changes hands again and again during one.

use futures_util::future::join_all;
use librbd::{CallOptions, Config};
use prost::Message;
use proto::osd::v1::{Event, FaultCondition, FaultDirection};
use proto::rbd::v1::{NotifyMessage, notify_message::Payload};

use crate::support::*;

const OBJECTS: u64 = 3;
/// Numbers of the payloads in rbd.v1.NotifyMessage.
const HEADER_UPDATE: u32 = 4;
const ASYNC_PROGRESS: u32 = 5;
const ASYNC_COMPLETE: u32 = 6;

/// A moment in the flatten at which the owner dies.
#[derive(Clone, Copy, Debug)]
struct Step {
    direction: FaultDirection,
    /// As in FaultCondition.
    op: &'static str,
    /// Of notifies.
    payload_field: u32,
    /// So many such moments pass before.
    skip: u64,
}

/// Before and after each op of the flatten, and before each message that the owner sends.
fn steps() -> Vec<Step> {
    let both = [FaultDirection::Request, FaultDirection::Reply];
    let op = |op, skip| both.map(|direction| Step { direction, op, payload_field: 0, skip });
    let message = |payload_field| {
        let direction = FaultDirection::Request;
        Step { direction, op: "notify", payload_field, skip: 0 }
    };
    let mut steps = Vec::new();
    steps.extend((0..OBJECTS).flat_map(|object| op("rbd.copyup", object)));
    steps.extend(op("rbd.child_detach", 0));
    steps.extend(op("rbd.parent_detach", 0));
    steps.extend([ASYNC_PROGRESS, HEADER_UPDATE, ASYNC_COMPLETE].map(message));
    steps
}

/// Catalogue own row 7: the owner is killed after each single step of flatten; the requester finishes it, the image equals
/// the model, and what the dead owner had under way never lands (I1, I3, I4).
#[tokio::test]
async fn a_flatten_survives_its_owner_at_every_step() {
    join_all(steps().into_iter().map(killed_at)).await;
}

async fn killed_at(step: Step) {
    let cluster = Cluster::start();
    let io = cluster.client("requester").await;
    clone(&io, OBJECTS).await;
    let mortal = cluster.mortal("owner").await;
    let owner = mortal.open("child", slow()).await;
    let locking = owner.clone();
    mortal.run(async move { locking.acquire_lock().await.unwrap() }).await;
    let requester = open(&io, "child").await;

    let since = cluster.now().await;
    let when = FaultCondition {
        direction: step.direction.into(),
        client: "owner".to_owned(),
        op: step.op.to_owned(),
        payload_field: step.payload_field,
        ..FaultCondition::default()
    };
    let held = cluster.osd().hold(step.skip, when).await;
    let calling = requester.clone();
    let flattening = tokio::spawn(async move { calling.flatten(CallOptions::default()).await });
    held.arrived().await;
    mortal.kill().await;
    drop(owner);
    soon(flattening).await.unwrap().unwrap_or_else(|error| panic!("{step:?}: {error}"));
    held.let_go_of_the_dead().await;

    assert!(soon(requester.info()).await.unwrap().parent.is_none(), "{step:?}");
    assert_eq!(content(&requester).await, pattern(OBJECTS), "{step:?}");
    assert_eq!(children_of_base(&io).await, 0, "{step:?}");
    let detached = applied(&cluster.osd().events(since).await, "rbd.parent_detach");
    assert_eq!(detached, 1, "{step:?}: committed once");
}

fn applied(events: &[Event], op: &str) -> usize {
    events.iter().filter(|event| event.kind == "applied" && event.detail.contains(op)).count()
}

fn is_request_lock(event: &Event) -> bool {
    let message = NotifyMessage::decode(&event.payload[..]).ok().and_then(|message| message.payload);
    event.kind == "notify" && matches!(message, Some(Payload::RequestLock(_)))
}

/// Catalogue own row 9: the lock is handed over n times during one flatten; each object is copied up once all the same.
#[tokio::test]
async fn however_often_the_lock_changes_hands_a_flatten_copies_each_object_once() {
    const HAND_OVERS: u64 = 5;
    const OBJECTS: u64 = 16;
    let cluster = Cluster::start();
    let (io, other, third) =
        (cluster.client("a").await, cluster.client("b").await, cluster.client("c").await);
    clone(&io, OBJECTS).await;
    let hasty = Config { rbd_lock_hold_max: std::time::Duration::ZERO, ..slow() };
    let writers =
        [open_with(&io, "child", hasty.clone()).await, open_with(&other, "child", hasty.clone()).await];
    let requester = open_with(&third, "child", hasty).await;
    soon(writers[0].discard(0, 0)).await.unwrap();

    let osd = cluster.osd();
    let since = cluster.now().await;
    let mut held = cluster.hold_next(crate::faults::op("rbd.copyup")).await;
    let flattening =
        tokio::spawn(async move { (requester.flatten(CallOptions::default()).await, requester) });
    for turn in 1..=HAND_OVERS {
        held.arrived().await;
        let asked = cluster.now().await;
        let writer = writers[(turn % 2) as usize].clone();
        let first = pattern(OBJECTS).slice(..OBJECT as usize);
        let writing = tokio::spawn(async move { writer.write(0, first).await });
        let notify = osd.until(asked, is_request_lock).await;
        osd.until(asked, |event| event.kind == "notify_done" && event.notify_id == notify.notify_id).await;
        // The next owner stops at its first object that is missing still.
        let next = cluster.hold_next(crate::faults::op("rbd.copyup")).await;
        held.let_go().await;
        soon(writing).await.unwrap().unwrap();
        held = next;
    }
    held.arrived().await;
    held.let_go().await;
    let (result, requester) = soon(flattening).await.unwrap();
    result.unwrap();

    let events = osd.events(since).await;
    assert_eq!(applied(&events, "copyup") as u64, OBJECTS, "one for each object");
    assert_eq!(events.iter().filter(|event| event.kind == "lock").count() as u64, HAND_OVERS);
    assert_eq!(content(&requester).await, pattern(OBJECTS));
}
