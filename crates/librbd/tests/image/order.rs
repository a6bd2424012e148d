//! In what order the lock is taken and given away (facts 3.7 and 3.8), as the OSD and the image's events tell it.

use errno::Errno;
use librbd::{CallOptions, Config, ImageEvent, OperationEvent};
use tokio::sync::broadcast::Receiver;

use crate::faults::op;
use crate::peer::Peer;
use crate::story::{assert_in_order, position};
use crate::support::*;

/// Field of `NotifyMessage`.
const RELEASED_LOCK: u32 = 2;

/// The lock's states and the operations' ends, in order.
fn told(events: &mut Receiver<ImageEvent>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event {
            ImageEvent::LockState(state) => Some(state.to_owned()),
            ImageEvent::OperationEnded { operation, result, .. } => {
                Some(format!("{operation} ended {result}"))
            }
            _ => None,
        })
        .collect()
}

/// Catalogue row 85: the header comes with the op vector that takes the lock and is read no second time; only then is the
/// client owner, says so, and writes.
#[tokio::test]
async fn a_client_takes_the_lock_with_the_header_and_then_writes() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    let (before, mut events) = (cluster.now().await, image.events());
    cluster.osd().refuse_after(1, op("rbd.get_header"), Errno::EIO).await;
    write(&image, 3, 1).await;
    assert_eq!(cluster.osd().faults_after(before).await, 0, "the header was read once");
    soon(image.close()).await;
    let told = told(&mut events);
    assert_eq!(told[..3], ["acquiring", "post_acquiring", "locked"]);
    let story = cluster.story(before).await.of(io.rados().gid());
    let with_header = "header: lock.lock, omap_list, omap_list, omap_list, rbd.get_header";
    assert_eq!(story[..2], [with_header, "header: lock"], "{story:#?}");
    assert!(position(&story, "data 3: write") > 1, "{story:#?}");
    assert!(position(&story, "header: notify acquired_lock") > 1, "{story:#?}");
}

/// Facts 3.10, 3.11: an owner that announced itself is asked for the lock at once; nobody looks whether it lives.
#[tokio::test]
async fn a_known_owner_is_asked_before_the_lock_is_looked_at() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, writer) = (open(&io, "img").await, open(&other, "img").await);
    let mut events = writer.events();
    soon(owner.snap_create("s", CallOptions::default())).await.unwrap();
    // The announcement of the owner came before it.
    seen(&mut events, |event| matches!(event, ImageEvent::HeaderUpdated)).await;
    let before = cluster.now().await;
    cluster.osd().refuse_after(0, op("list_watchers"), Errno::EIO).await;
    write(&writer, 3, 1).await;
    assert_eq!(cluster.osd().faults_after(before).await, 0, "no watchers were listed");
    let story = cluster.story(before).await.of(other.rados().gid());
    assert_eq!(story[0], "header: notify request_lock", "{story:#?}");
    assert!(soon(writer.is_lock_owner()).await.unwrap());
}

/// Catalogue row 91: a release is out before the lock is taken again, so that nobody hears of it afterwards.
#[tokio::test]
async fn a_release_is_announced_before_the_lock_is_taken_again() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    let before = cluster.now().await;
    for _ in 0..20 {
        soon(image.acquire_lock()).await.unwrap();
        soon(image.release_lock()).await.unwrap();
    }
    soon(image.close()).await;
    let story = cluster.story(before).await.of(io.rados().gid());
    let round = ["header: lock", "header: notify acquired_lock", "header: notify released_lock"];
    let told: Vec<_> = story.iter().map(String::as_str).filter(|line| round.contains(line)).collect();
    assert_eq!(told, round.repeat(20));
}

/// Catalogue row 91: however long the release's announcement is on its way, the lock is taken after it; and a watcher that
/// does not ack it delays nobody.
#[tokio::test]
async fn the_lock_is_taken_again_only_when_the_osd_has_taken_the_announcement_of_its_release() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let patient = Config { notify_timeout: std::time::Duration::from_secs(30), ..Config::ci() };
    let image = open_with(&io, "img", patient).await;
    let _silent = Peer::watch(cluster.client("silent").await, "img").await;
    let released = proto::osd::v1::FaultCondition {
        direction: proto::osd::v1::FaultDirection::Request.into(),
        op: "notify".to_owned(),
        payload_field: RELEASED_LOCK,
        ..Default::default()
    };
    let held = cluster.osd().hold(0, released).await;
    soon(image.acquire_lock()).await.unwrap();
    let before = cluster.now().await;
    soon(image.release_lock()).await.unwrap();
    held.arrived().await;
    let again = tokio::spawn({
        let image = image.clone();
        async move { image.acquire_lock().await }
    });
    held.dwell().await;
    held.let_go().await;
    soon(again).await.unwrap().unwrap();
    let story = cluster.story(before).await.of(io.rados().gid());
    assert_in_order(&story, &["header: unlock", "header: notify released_lock", "header: lock"]);
    let events = cluster.osd().events(before).await;
    let locked = events.iter().position(|event| event.kind == "lock").unwrap();
    assert!(
        events[..locked].iter().all(|event| event.kind != "notify_done"),
        "the silent watcher was waited for"
    );
}

/// Catalogue row 92: operations stop first, then the lock goes, then everybody is told.
#[tokio::test]
async fn a_release_stops_operations_then_unlocks_then_announces() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 96).await;
    let hasty = Config { rbd_lock_hold_max: std::time::Duration::ZERO, ..slow() };
    let owner = open_with(&io, "child", hasty.clone()).await;
    soon(owner.discard(0, 0)).await.unwrap();
    let (before, mut events) = (cluster.now().await, owner.events());
    let (options, mut call) = watched_call();
    let options = CallOptions { attempts_max: Some(1), ..options };
    let flattening = tokio::spawn({
        let owner = owner.clone();
        async move { owner.flatten(options).await }
    });
    heard(&mut call, |event| matches!(event, OperationEvent::Progress { offset: 2.., .. })).await;
    let writer = open_with(&other, "child", hasty).await;
    soon(writer.discard(0, 0)).await.unwrap();
    assert_eq!(errno_of(soon(flattening).await.unwrap()), Errno::ERESTART);
    let erestart = Errno::ERESTART.result();
    let ended = format!("flatten ended {erestart}");
    assert_eq!(told(&mut events), ["pre_releasing", &ended, "releasing", "unlocked"]);
    let story = cluster.story(before).await;
    let of_owner = story.of(io.rados().gid());
    let unlock = position(&of_owner, "header: unlock");
    let last_copy = of_owner.iter().rposition(|line| line.starts_with("data")).expect("it had begun");
    assert!(last_copy < unlock, "{of_owner:#?}");
    let all = story.all();
    assert_in_order(&all, &["header: notify request_lock", "header: unlock", "header: lock"]);
    assert_in_order(&all, &["header: unlock", "header: notify released_lock"]);
}
