//! Removing an image while others come by.

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, CloneOptions, Config};
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
