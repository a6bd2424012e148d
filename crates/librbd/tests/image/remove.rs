//! Removing an image while others come by.

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, CloneOptions, Config, CreateOptions, Image, OpenOptions};
use proto::osd::v1::{Event, FaultCondition, FaultDirection};
use rados::IoCtx;

use crate::faults::{Requests, op};
use crate::support::*;
use crate::valve::Valve;

async fn remove(io: IoCtx, name: &'static str) -> Result<(), librbd::Error> {
    librbd::remove(&io, name, &Config::ci(), std::sync::Arc::new(|_| {})).await
}

/// I2: whether there are snapshots is decided under the lock: somebody was there and left before it was taken.
#[tokio::test]
async fn an_image_that_got_a_snapshot_before_it_was_locked_is_not_removed() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let image = open(&other, "img").await;
    soon(image.write(0, pattern(4))).await.unwrap();
    soon(image.close()).await;
    let held = cluster.hold_next(op("list_watchers")).await;
    let removing = tokio::spawn(remove(io, "img"));
    held.arrived().await;
    let image = open(&other, "img").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    soon(image.close()).await;
    librbd::clone(&other, "img", "s", &other, "child", &CloneOptions::default()).await.unwrap();
    held.let_go().await;
    assert_eq!(errno_of(soon(removing).await.unwrap()), Errno::ENOTEMPTY);
    assert_eq!(content(&open(&other, "child").await).await, pattern(4));
}

/// A removal watches the header: nobody who notifies it waits for the removal's end.
#[tokio::test]
async fn a_removal_answers_notifies() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let image = open(&other, "img").await;
    write(&image, 0, 1).await;
    soon(image.close()).await;
    let header = librbd::names::header(&librbd::image_id(&io, "img").await.unwrap());
    let held = cluster.hold_next(op("remove")).await;
    let removing = tokio::spawn(remove(io, "img"));
    held.arrived().await;
    let answers = other.notify(&header, Bytes::new(), Config::ci().notify_timeout).await.unwrap();
    assert_eq!((answers.replies.len(), answers.missed), (1, Vec::new()));
    held.let_go().await;
    soon(removing).await.unwrap().unwrap();
}

/// I2: a removal that fails leaves the image as it was, with every byte, or nothing that can be opened.
#[tokio::test]
async fn an_image_whose_removal_fails_is_whole_or_gone() {
    for (object, is_whole) in
        [("rbd_directory", true), ("rbd_header.*", true), ("rbd_data.*", false), ("rbd_id.*", false)]
    {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
        create(&io, "img", 4).await;
        let image = open(&other, "img").await;
        soon(image.write(0, pattern(4))).await.unwrap();
        soon(image.close()).await;
        let op = if object == "rbd_directory" { "omap_set" } else { "remove" };
        let step = FaultCondition {
            direction: FaultDirection::Request.into(),
            op: op.to_owned(),
            object: object.to_owned(),
            ..FaultCondition::default()
        };
        cluster.osd().refuse_at(step, Errno::EIO).await;
        assert_eq!(errno_of(soon(remove(io.clone(), "img")).await), Errno::EIO, "{object}");
        if is_whole {
            assert_eq!(content(&open(&other, "img").await).await, pattern(4), "{object}");
        } else {
            let opened = Image::open(&other, "img", OpenOptions::default(), Config::ci()).await;
            assert_eq!(errno_of(opened.map(drop)), Errno::ENOENT, "{object}");
            soon(remove(other, "img")).await.unwrap();
            assert_eq!(io.list_objects("").await.unwrap(), ["rbd_directory"], "{object}");
        }
    }
}

/// I3: an image is removed once: as long as a remover is at it, it is in use.
#[tokio::test]
async fn of_two_removals_at_once_one_finds_it_in_use() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let held = cluster.hold_next(op("rbd.dir_remove_image")).await;
    let removing = tokio::spawn(remove(io.clone(), "img"));
    held.arrived().await;
    let refusal = soon(remove(other.clone(), "img")).await.unwrap_err();
    assert_eq!(refusal.errno(), Errno::EBUSY);
    assert!(refusal.to_string().contains(&format!("client.{}", io.rados().gid())), "{refusal}");
    held.let_go().await;
    soon(removing).await.unwrap().unwrap();
    assert_eq!(errno_of(soon(remove(other, "img")).await), Errno::ENOENT);
}

/// Seed 502277 of the simulation: one that met the image without its header was told that there is none, and the next one removed it.
#[tokio::test]
async fn who_is_told_that_there_is_no_image_is_not_followed_by_who_removes_it() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let late = cluster.hold_next(op("rbd.dir_get_name")).await;
    let second = tokio::spawn(remove(other.clone(), "img"));
    late.arrived().await;
    let held = cluster.hold_next(op("rbd.dir_remove_image")).await;
    let first = tokio::spawn(remove(io, "img"));
    held.arrived().await;
    late.let_go().await;
    assert_eq!(errno_of(soon(second).await.unwrap()), Errno::EBUSY);
    held.let_go().await;
    soon(first).await.unwrap().unwrap();
    assert_eq!(errno_of(soon(remove(other, "img")).await), Errno::ENOENT);
}

/// Whoever comes by the image's name, or by its parent, while a remover is at it leaves what there is to the remover, who has removed
/// the image.
#[tokio::test]
async fn a_removal_that_somebody_else_meets_has_removed_the_image() {
    for step in ["rbd.child_detach", "remove", "rbd.dir_remove_image"] {
        let cluster = Cluster::start();
        let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
        clone(&io, 4).await;
        create(&io, "third", 4).await;
        let parent = open(&other, "parent").await;
        let third = open(&other, "third").await;
        let object = if step == "remove" { "rbd_id.*" } else { "" };
        let held = cluster.hold_next(Requests { op: step, object }).await;
        let removing = tokio::spawn(remove(io.clone(), "child"));
        held.arrived().await;
        let opened = Image::open(&other, "child", OpenOptions::default(), Config::ci()).await;
        assert_eq!(errno_of(opened.map(drop)), Errno::ENOENT, "{step}");
        let made = librbd::create(&other, "child", &CreateOptions::default()).await;
        assert_eq!(errno_of(made), Errno::EEXIST, "{step}");
        let renamed = soon(third.rename("child", CallOptions::default())).await;
        assert_eq!(errno_of(renamed), Errno::EEXIST, "{step}");
        soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
        held.let_go().await;
        soon(removing).await.unwrap().unwrap();
        assert_eq!(errno_of(soon(remove(io, "child")).await), Errno::ENOENT, "{step}");
        soon(remove(other, "parent")).await.unwrap_err();
    }
}

/// The client does not watch the directory any more.
fn is_deaf(event: &Event, gid: u64) -> bool {
    event.kind == "watch_expired" && event.gid == gid && event.object == librbd::names::DIRECTORY
}

/// I3: a remover that is not heard for the timeout of its watch is superseded, and does not know by whom.
#[tokio::test]
async fn a_remover_that_was_not_heard_is_told_that_others_may_have_removed_the_image() {
    for by_a_remover in [true, false] {
        let cluster = Cluster::start();
        let valve = Valve::new();
        let (io, other) = (cluster.client_behind("remover", &valve).await, cluster.client("b").await);
        create(&io, "img", 4).await;
        let held = cluster.hold_next(op("rbd.dir_remove_image")).await;
        let since = cluster.now().await;
        let gid = io.rados().gid();
        let removing = tokio::spawn(remove(io, "img"));
        held.arrived().await;
        valve.close();
        cluster.osd().until(since, |event| is_deaf(event, gid)).await;
        if by_a_remover {
            soon(remove(other, "img")).await.unwrap();
        } else {
            create(&other, "img", 4).await;
        }
        held.let_go().await;
        valve.open();
        assert_eq!(errno_of(soon(removing).await.unwrap()), Errno::ETIMEDOUT);
    }
}

/// I6: a removal whose caller goes away is nobody's, also while its client watches the directory for something else.
#[tokio::test]
async fn a_removal_whose_caller_goes_away_is_finished_by_the_next() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let making = cluster.hold_next(op("rbd.create")).await;
    let made = {
        let io = io.clone();
        tokio::spawn(async move { create(&io, "another", 4).await })
    };
    making.arrived().await;
    let held = cluster.hold_next(Requests { op: "remove", object: "rbd_id.*" }).await;
    let since = cluster.now().await;
    let removing = tokio::spawn(remove(io.clone(), "img"));
    held.arrived().await;
    removing.abort();
    assert!(soon(removing).await.unwrap_err().is_cancelled());
    let gid = io.rados().gid();
    cluster.osd().until(since, |event| event.kind == "unwatch" && event.gid == gid).await;
    soon(remove(other, "img")).await.unwrap();
    held.let_go().await;
    making.let_go().await;
    soon(made).await.unwrap();
}

/// I1: a client that has just made an image, and does not watch the directory any more, lives: whoever read its intent before does not
/// fence it.
#[tokio::test]
async fn who_has_just_made_an_image_is_not_fenced() {
    let cluster = Cluster::start();
    let (maker, other) = (cluster.client("maker").await, cluster.client("b").await);
    let making = cluster.hold_next(op("rbd.create")).await;
    let created = {
        let maker = maker.clone();
        tokio::spawn(async move { create(&maker, "img", 4).await })
    };
    making.arrived().await;
    let looking = cluster.hold_next(op("list_watchers")).await;
    let removing = tokio::spawn(remove(other, "img"));
    looking.arrived().await;
    making.let_go().await;
    soon(created).await.unwrap();
    looking.let_go().await;
    soon(removing).await.unwrap().unwrap();
    create(&maker, "another", 4).await;
}

/// Its own watch, which got another cookie when it was registered anew, is nobody else's.
#[tokio::test]
async fn a_removal_whose_watch_is_registered_anew_is_not_in_its_own_way() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    let gid = io.rados().gid();
    create(&io, "img", 4).await;
    let held = cluster.hold_next(op("list_watchers")).await;
    let removing = tokio::spawn(remove(io.clone(), "img"));
    held.arrived().await;
    let cookies = async || {
        let watchers = librbd::watchers(&other, "img").await.unwrap();
        watchers.into_iter().map(|watcher| (watcher.gid, watcher.cookie)).collect::<Vec<_>>()
    };
    let before = cookies().await;
    assert!(matches!(before[..], [(of, _)] if of == gid), "{before:?}");
    expire_watches(&cluster, &io, &other).await;
    soon(async {
        while matches!(&cookies().await[..], now if now.is_empty() || now == before) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    held.let_go().await;
    soon(removing).await.unwrap().unwrap();
}

/// I2: of several watches of a session one is the removal's.
#[tokio::test]
async fn an_image_that_its_remover_has_open_itself_is_not_removed() {
    let cluster = Cluster::start();
    let io = cluster.client("remover").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    let refusal = soon(remove(io.clone(), "img")).await.unwrap_err();
    assert_eq!(refusal.errno(), Errno::EBUSY);
    assert!(refusal.to_string().contains("this client itself"), "{refusal}");
    soon(image.close()).await;
    soon(remove(io, "img")).await.unwrap();
}
