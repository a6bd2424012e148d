//! Callers that go away in the middle of a write.

use librbd::Image;

use crate::faults::{Held, Requests};
use crate::story::{assert_in_order, position};
use crate::support::*;

/// A write of object 0 whose op is held at the OSD and whose caller has gone.
async fn abandoned_write(cluster: &Cluster, image: &Image) -> Held {
    let held = cluster.hold_next(Requests { op: "write", object: "rbd_data.*" }).await;
    let writing = tokio::spawn({
        let image = image.clone();
        async move { image.write(0, vec![1; OBJECT as usize].into()).await }
    });
    held.arrived().await;
    writing.abort();
    assert!(soon(writing).await.unwrap_err().is_cancelled());
    held
}

/// I1: the lock stays until the write has ended, however long that takes; the next owner's write comes after it.
#[tokio::test]
async fn an_abandoned_write_keeps_the_lock_until_it_has_ended() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(image.discard(0, 0)).await.unwrap();
    let before = cluster.now().await;
    let held = abandoned_write(&cluster, &image).await;
    let mut states = image.events();
    let taking_over = tokio::spawn({
        let peer = peer.clone();
        async move { write(&peer, 0, 2).await }
    });
    seen(&mut states, is_state("pre_releasing")).await;
    held.dwell().await;
    let story = cluster.story(before).await.all();
    assert!(!story.iter().any(|line| line == "header: unlock"), "while the write is under way: {story:#?}");
    held.let_go().await;
    soon(taking_over).await.unwrap();
    let story = cluster.story(before).await;
    let of_owner = story.of(io.rados().gid());
    assert!(position(&of_owner, "data 0: write") < position(&of_owner, "header: unlock"), "{of_owner:#?}");
    assert_in_order(&story.of(other.rados().gid()), &["header: lock", "data 0: write"]);
    assert_eq!(read(&image, 0).await, vec![2; OBJECT as usize]);
}

/// The same when the image is closed.
#[tokio::test]
async fn closing_waits_for_an_abandoned_write() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.discard(0, 0)).await.unwrap();
    let before = cluster.now().await;
    let held = abandoned_write(&cluster, &image).await;
    let mut states = image.events();
    let closing = tokio::spawn({
        let image = image.clone();
        async move { image.close().await }
    });
    seen(&mut states, is_state("pre_shutting_down")).await;
    held.dwell().await;
    held.let_go().await;
    soon(closing).await.unwrap();
    assert_in_order(&cluster.story(before).await.all(), &["data 0: write", "header: unlock"]);
}
