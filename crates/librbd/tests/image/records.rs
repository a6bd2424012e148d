//! What operations leave in the header so that they happen once and to the end, whoever dies: results, marks and intents.

use errno::Errno;
use librbd::{CallOptions, Config, Features, Image};
use proto::rbd::v1::{self as wire, notify_message::Payload};
use rados::{IoCtx, ObjectOp};

use crate::faults::op;
use crate::peer::Peer;
use crate::support::*;

fn snap_create(request: wire::RequestHeader, name: &str) -> Payload {
    Payload::SnapCreate(wire::SnapCreatePayload { request: Some(request), name: name.to_owned() })
}

/// Request `number` of a peer whose requests below `low_water_mark` have ended.
fn request(peer: &Peer, number: u64, low_water_mark: u64) -> wire::RequestHeader {
    wire::RequestHeader { low_water_mark, ..peer.request(number, 1).unwrap() }
}

async fn owner_of(io: &IoCtx, name: &str) -> Image {
    let image = open(io, name).await;
    soon(image.acquire_lock()).await.unwrap();
    image
}

async fn snapshots(image: &Image) -> Vec<String> {
    let snapshots = soon(image.snapshots()).await.unwrap();
    snapshots.into_iter().map(|snapshot| snapshot.name).collect()
}

/// The records of one kind in the header of an image.
async fn records(io: &IoCtx, name: &str, prefix: &str) -> Vec<String> {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    let reply = io.operate(&header, ObjectOp::new().omap_list("", prefix, 0)).await.unwrap();
    reply.omap(0).unwrap().entries.into_keys().collect()
}

/// Waits until there are none of this kind.
async fn no_records(io: &IoCtx, name: &str, prefix: &str) {
    soon(async {
        while !records(io, name, prefix).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Field of `NotifyMessage`.
const RESIZE: u32 = 8;

/// Notifies of one kind on their way to one client.
fn notify_to(client: &IoCtx, payload_field: u32) -> proto::osd::v1::FaultCondition {
    proto::osd::v1::FaultCondition {
        direction: proto::osd::v1::FaultDirection::Notify.into(),
        gid: client.rados().gid(),
        payload_field,
        ..proto::osd::v1::FaultCondition::default()
    }
}

/// I3: the record of a request has gone because its requester went on; a copy of it comes late, to an owner that never heard
/// of it.
#[tokio::test]
async fn a_late_copy_of_a_request_whose_record_has_gone_is_not_run_again() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&io, "img", 4).await;
    let mut requester = Peer::watch(io.clone(), "img").await;
    let first = owner_of(&other, "img").await;
    let one = snap_create(request(&requester, 1, 1), "one");
    assert_eq!(requester.call(one.clone(), 1).await, 0);
    assert_eq!(done_records(&io, "img").await.len(), 1);
    assert_eq!(records(&io, "img", "low_").await, [""; 0], "nothing has ended yet");
    assert_eq!(requester.call(snap_create(request(&requester, 2, 2), "two"), 2).await, 0);
    assert_eq!(done_records(&io, "img").await.len(), 1, "the first one's has gone");
    soon(first.snap_remove("one", CallOptions::default())).await.unwrap();
    soon(first.close()).await;
    let next = owner_of(&cluster.client("b").await, "img").await;
    assert_eq!(requester.call(one, 1).await, Errno::ESTALE.result());
    assert_eq!(snapshots(&next).await, ["two"]);
    assert_eq!(requester.call(snap_create(request(&requester, 2, 2), "two"), 2).await, 0, "as recorded");
}

/// A real librbd says no mark: the oldest results make room, and a copy of their requests is refused, never run again.
#[tokio::test]
async fn records_of_a_requester_that_says_no_mark_are_bounded_by_number_and_go_with_its_session() {
    const KEPT: u64 = 128;
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&io, "img", 4).await;
    let mut requester = Peer::watch(io.clone(), "img").await;
    let first = owner_of(&other, "img").await;
    let ask = |requester: &Peer, number| {
        let (request, size) = (Some(request(requester, number, 0)), (4 + number) * OBJECT);
        Payload::Resize(wire::ResizePayload { request, size, allow_shrink: false })
    };
    for number in 1..=KEPT {
        assert_eq!(requester.call(ask(&requester, number), number).await, 0);
    }
    assert_eq!(done_records(&io, "img").await.len() as u64, KEPT);
    assert_eq!(records(&io, "img", "low_").await, [""; 0], "nothing had to go");
    assert_eq!(requester.call(ask(&requester, KEPT + 1), KEPT + 1).await, 0);
    assert_eq!(done_records(&io, "img").await.len() as u64, KEPT);
    soon(first.close()).await;
    let next = owner_of(&cluster.client("b").await, "img").await;
    assert_eq!(requester.call(ask(&requester, 1), 1).await, Errno::ESTALE.result());
    assert_eq!(requester.call(ask(&requester, 2), 2).await, 0, "as recorded");
    assert_eq!(soon(next.size()).await.unwrap(), (4 + KEPT + 1) * OBJECT, "neither ran again");
    drop(requester);
    io.rados().shutdown().await;
    soon(next.close()).await;
    let last = owner_of(&cluster.client("c").await, "img").await;
    no_records(&other, "img", "done_").await;
    soon(last.close()).await;
}

/// I3: the same when the requester has closed the image and taken its records along.
#[tokio::test]
async fn a_late_copy_of_a_request_of_a_closed_image_is_not_run() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&other, "img", 4).await;
    let owner = owner_of(&other, "img").await;
    let requester = open(&io, "img").await;
    soon(requester.snap_create("one", CallOptions::default())).await.unwrap();
    let records_of_first = done_records(&io, "img").await;
    soon(requester.close()).await;
    assert_eq!(done_records(&io, "img").await, [""; 0]);
    soon(owner.snap_remove("one", CallOptions::default())).await.unwrap();
    soon(owner.close()).await;
    let next = owner_of(&cluster.client("b").await, "img").await;
    let mut late = Peer::watch(io.clone(), "img").await;
    let copy = request(&late, 1, 1);
    let id = copy.id.unwrap();
    let record = format!("done_{}.{}_{:016x}", id.gid, id.open_number, id.request_number);
    assert_eq!(records_of_first, [record], "it is a copy of that request");
    assert_eq!(late.call(snap_create(copy, "one"), 1).await, Errno::ESTALE.result());
    assert_eq!(snapshots(&next).await, [""; 0]);
}

/// I3: the same when the requester's session has ended and its marks have gone with it: a copy was on its way all the time
/// to the one who owns the lock at last.
#[tokio::test]
async fn a_late_copy_of_a_request_whose_session_has_ended_is_not_run() {
    let cluster = Cluster::start();
    let (io, first, last) =
        (cluster.client("requester").await, cluster.client("first").await, cluster.client("last").await);
    create(&first, "img", 4).await;
    let owner = owner_of(&first, "img").await;
    let next = open(&last, "img").await;
    let late = cluster.osd().hold(0, notify_to(&last, RESIZE)).await;
    let requester = open(&io, "img").await;
    soon(requester.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    soon(requester.close()).await;
    io.rados().shutdown().await;
    soon(owner.close()).await;
    soon(next.acquire_lock()).await.unwrap();
    no_records(&last, "img", "low_").await;
    soon(next.resize(4 * OBJECT, true, CallOptions::default())).await.unwrap();
    let (before, mut events) = (cluster.now().await, next.events());
    late.let_go().await;
    // It is accepted, looked at, and answered to nobody.
    let gid = last.rados().gid();
    cluster.osd().until(before, |event| event.kind == "notify" && event.gid == gid).await;
    assert_eq!(soon(next.size()).await.unwrap(), 4 * OBJECT);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, librbd::ImageEvent::OperationStarted { .. }), "{event:?}");
    }
}

/// I6: marks live as long as their requester's session, and no longer.
#[tokio::test]
async fn the_mark_of_a_requester_goes_with_its_session() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&other, "img", 4).await;
    let owner = owner_of(&other, "img").await;
    let requester = open(&io, "img").await;
    soon(requester.snap_create("one", CallOptions::default())).await.unwrap();
    soon(requester.close()).await;
    assert_eq!(records(&other, "img", "low_").await, [format!("low_{}.1", io.rados().gid())]);
    io.rados().shutdown().await;
    soon(owner.release_lock()).await.unwrap();
    write(&owner, 0, 1).await;
    no_records(&other, "img", "low_").await;
}

/// The former owner may have died before it told anybody: a recorded success is told to all once more.
#[tokio::test]
async fn a_recorded_success_is_announced() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&io, "img", 4).await;
    let mut requester = Peer::watch(io, "img").await;
    let first = owner_of(&other, "img").await;
    let one = snap_create(request(&requester, 1, 1), "one");
    assert_eq!(requester.call(one.clone(), 1).await, 0);
    soon(first.close()).await;
    let next = owner_of(&cluster.client("b").await, "img").await;
    let mut heard = next.events();
    assert_eq!(requester.call(one, 1).await, 0);
    soon(async {
        let mut news = 0;
        while let Ok(event) = heard.try_recv() {
            news += usize::from(event == librbd::ImageEvent::HeaderUpdated);
        }
        assert_eq!(news, 1);
    })
    .await;
}

/// A clone that was flattened without deep-flatten: its snapshot "last" is all that needs the parent.
async fn flattened_but_for_a_snapshot(io: &IoCtx) {
    clone_with(io, 4, Features::LAYERING.union(Features::EXCLUSIVE_LOCK)).await;
    let image = open(io, "child").await;
    soon(image.snap_create("last", CallOptions::default())).await.unwrap();
    soon(image.flatten(CallOptions::default())).await.unwrap();
    soon(image.close()).await;
}

/// I6: the owner dies between the commit and the index of the parent; whoever takes the lock finishes.
#[tokio::test]
async fn what_a_dead_owner_left_of_a_removed_snapshot_is_finished_by_the_next() {
    for step in ["rbd.child_detach", "remove_snap_id"] {
        let cluster = Cluster::start();
        let io = cluster.client("b").await;
        flattened_but_for_a_snapshot(&io).await;
        let last = soon(open(&io, "child").await.snapshots()).await.unwrap()[0].id;
        let mortal = cluster.mortal("a").await;
        let owner = mortal.open("child", Config::ci()).await;
        let held = cluster.hold_next(op(step)).await;
        let removing = owner.clone();
        drop(mortal.spawn(async move { removing.snap_remove("last", CallOptions::default()).await }));
        held.arrived().await;
        mortal.kill().await;
        drop(owner);
        assert_eq!(records(&io, "child", "reclaim_").await, [format!("reclaim_{last:016x}")], "{step}");
        let next = open(&io, "child").await;
        write(&next, 0, 1).await;
        no_records(&io, "child", "reclaim_").await;
        assert_eq!(children_of_base(&io).await, 0, "{step}");
        let gone = io.operate("any", ObjectOp::new().at_snap(last).stat()).await;
        assert_eq!(gone.unwrap_err().errno(), Errno::ESTALE, "{step}: the id was given back");
    }
}

/// I6: closing waits for what the client has begun as the owner, so that a row of owners that have something else to do finish it.
#[tokio::test]
async fn closing_waits_until_what_a_removed_snapshot_left_is_finished() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    cluster.refuse_next(op("remove_snap_id"), Errno::EIO).await;
    soon(image.snap_remove("s", CallOptions::default())).await.unwrap();
    soon(image.close()).await;
    assert_eq!(records(&io, "img", "reclaim_").await.len(), 1);

    let other = cluster.client("b").await;
    let next = open(&other, "img").await;
    let held = cluster.hold_next(op("remove_snap_id")).await;
    write(&next, 0, 1).await;
    held.arrived().await;
    let closing = tokio::spawn(async move { next.close().await });
    while !soon(librbd::locks::lock_list(&io, "img")).await.unwrap().lockers.is_empty() {}
    held.dwell().await;
    assert!(!closing.is_finished(), "the owner is not done");
    held.let_go().await;
    soon(closing).await.unwrap();
    assert_eq!(records(&io, "img", "reclaim_").await, [""; 0]);
}

/// Catalogue row 143: RemoveChildError. I3: the commit decides; what is left to do outside the header is made up for by the next removal.
#[tokio::test]
async fn a_removed_snapshot_whose_child_entry_stays_is_removed_all_the_same() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    flattened_but_for_a_snapshot(&io).await;
    let image = owner_of(&io, "child").await;
    soon(image.snap_create("other", CallOptions::default())).await.unwrap();
    cluster.refuse_next(op("rbd.child_detach"), Errno::EIO).await;
    soon(image.snap_remove("last", CallOptions::default())).await.unwrap();
    assert_eq!(snapshots(&image).await, ["other"]);
    assert_eq!(entries_at_parent(&io).await, 1);
    soon(image.snap_remove("other", CallOptions::default())).await.unwrap();
    assert_eq!(entries_at_parent(&io).await, 0);
    assert_eq!(records(&io, "child", "reclaim_").await, [""; 0]);
}

/// I6: an image takes what its removed snapshots left along.
#[tokio::test]
async fn removing_an_image_finishes_what_its_snapshots_left() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    flattened_but_for_a_snapshot(&io).await;
    let image = open(&io, "child").await;
    cluster.refuse_next(op("rbd.child_detach"), Errno::EIO).await;
    soon(image.snap_remove("last", CallOptions::default())).await.unwrap();
    soon(image.close()).await;
    assert_eq!(entries_at_parent(&io).await, 1);
    let quiet = CallOptions::default().progress;
    soon(librbd::remove(&io, "child", &Config::ci(), quiet)).await.unwrap();
    assert_eq!(entries_at_parent(&io).await, 0);
}

/// I3: a request that has failed is not run by the next owner, to whom a copy of it comes late.
#[tokio::test]
async fn a_late_copy_of_a_request_that_failed_is_not_run() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("requester").await, cluster.client("a").await);
    create(&io, "img", 4).await;
    let mut requester = Peer::watch(io.clone(), "img").await;
    let first = owner_of(&other, "img").await;
    soon(first.snap_create("one", CallOptions::default())).await.unwrap();
    let again = snap_create(request(&requester, 1, 1), "one");
    assert_eq!(requester.call(again.clone(), 1).await, Errno::EEXIST.result());
    soon(first.snap_remove("one", CallOptions::default())).await.unwrap();
    soon(first.close()).await;
    let next = owner_of(&cluster.client("b").await, "img").await;
    requester.reason.clear();
    assert_eq!(requester.call(again, 1).await, Errno::EEXIST.result(), "as recorded");
    assert!(requester.reason.contains("has a snapshot one already"), "{:?}", requester.reason);
    assert_eq!(snapshots(&next).await, [""; 0]);
}

/// I6: an owner that never gives the lock away does not collect the marks of all who ever came by.
#[tokio::test]
async fn the_marks_of_requesters_go_under_an_owner_that_stays() {
    const REQUESTERS: usize = 70;
    let cluster = Cluster::start();
    let other = cluster.client("a").await;
    create(&other, "img", 4).await;
    let owner = owner_of(&other, "img").await;
    for number in 1..=REQUESTERS {
        let io = cluster.client("requester").await;
        let requester = open(&io, "img").await;
        soon(requester.resize(number as u64 * OBJECT, true, CallOptions::default())).await.unwrap();
        soon(requester.close()).await;
        io.rados().shutdown().await;
    }
    soon(async {
        while records(&other, "img", "low_").await.len() > REQUESTERS / 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(soon(owner.is_lock_owner()).await.unwrap());
}
