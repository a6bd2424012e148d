//! Removing an image while others come by.

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, CloneOptions, Config, Image, OpenOptions};
use proto::osd::v1::{FaultCondition, FaultDirection};
use rados::IoCtx;

use crate::faults::op;
use crate::support::*;

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

/// I3: an image is removed once: whoever meets what another removal has left takes that away, and the other is told so.
#[tokio::test]
async fn of_two_removals_at_once_one_finds_nothing() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let held = cluster.hold_next(op("rbd.dir_remove_image")).await;
    let removing = tokio::spawn(remove(io, "img"));
    held.arrived().await;
    soon(remove(other, "img")).await.unwrap();
    held.let_go().await;
    assert_eq!(errno_of(soon(removing).await.unwrap()), Errno::ENOENT);
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
    soon(second).await.unwrap().unwrap();
    assert_eq!(errno_of(soon(remove(other, "img")).await), Errno::ENOENT);
    held.let_go().await;
    assert_eq!(errno_of(soon(first).await.unwrap()), Errno::ENOENT);
}

/// Who looks for the children of its parent meets what is left of it, and leaves that to who removes it.
#[tokio::test]
async fn a_removal_that_somebody_else_meets_has_removed_the_image() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("remover").await, cluster.client("b").await);
    clone(&io, 4).await;
    let parent = open(&other, "parent").await;
    let held = cluster.hold_next(op("rbd.child_detach")).await;
    let removing = tokio::spawn(remove(io.clone(), "child"));
    held.arrived().await;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    held.let_go().await;
    soon(removing).await.unwrap().unwrap();
    assert_eq!(errno_of(soon(remove(io, "child")).await), Errno::ENOENT);
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
