//! When reads and writes are recorded in the header of an image.

use std::time::Duration;

use errno::Errno;
use librbd::{CallOptions, Config, Features};
use rados::IoCtx;

use crate::faults::op;
use crate::story::assert_in_order;
use crate::support::*;

const ACCESS: &str = "header: rbd.set_access_timestamp";
const MODIFY: &str = "header: rbd.set_modify_timestamp";

/// Everything that stands in a header is old enough.
fn always() -> Config {
    let interval = Duration::from_nanos(1);
    Config { rbd_atime_update_interval: interval, rbd_mtime_update_interval: interval, ..Config::ci() }
}

fn never() -> Config {
    let interval = Duration::ZERO;
    Config { rbd_atime_update_interval: interval, rbd_mtime_update_interval: interval, ..Config::ci() }
}

/// How often (reads, writes) of the image were recorded.
async fn recorded(cluster: &Cluster, io: &IoCtx, name: &str, after: u64) -> (usize, usize) {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    let events = cluster.osd().events(after).await;
    let count = |method: &str| {
        let is_it = |event: &&proto::osd::v1::Event| {
            event.kind == "applied" && event.object == header && event.detail.contains(method)
        };
        events.iter().filter(is_it).count()
    };
    (count("rbd.set_access_timestamp"), count("rbd.set_modify_timestamp"))
}

/// Reads, writes and discards count, each by itself, and in the time since the last one of their kind.
#[tokio::test]
async fn what_is_recorded_and_how_often() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    for (config, expected) in [(Config::ci(), (0, 0)), (never(), (0, 0)), (always(), (2, 3))] {
        let image = open_with(&io, "img", config.clone()).await;
        let before = cluster.now().await;
        write(&image, 0, 1).await;
        write(&image, 1, 1).await;
        soon(image.discard(0, OBJECT)).await.unwrap();
        read(&image, 0).await;
        soon(image.read_sparse(0, OBJECT)).await.unwrap();
        soon(image.flush()).await.unwrap();
        // Sent behind them, to the same object.
        soon(image.refresh()).await.unwrap();
        assert_eq!(recorded(&cluster, &io, "img", before).await, expected, "{config:?}");
        soon(image.close()).await;
    }
}

/// Neither what is refused nor what changes the image without writing to it.
#[tokio::test]
async fn what_is_not_recorded() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open_with(&io, "img", always()).await;
    let before = cluster.now().await;
    assert_eq!(errno_of(soon(image.write(4 * OBJECT, vec![1].into())).await), Errno::EINVAL);
    assert_eq!(errno_of(soon(image.read(5 * OBJECT, 1)).await), Errno::EINVAL);
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    soon(image.snap_rollback("s", CallOptions::default())).await.unwrap();
    soon(image.resize(2 * OBJECT, true, CallOptions::default())).await.unwrap();
    soon(image.refresh()).await.unwrap();
    assert_eq!(recorded(&cluster, &io, "img", before).await, (0, 0));
}

/// As `rbd export` of a clone and `rbd flatten` do it: who reads the child reads its parent, who flattens it the parent alone.
#[tokio::test]
async fn parents_that_are_read_have_it_recorded() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 1, Features::default()).await;
    let image = open_with(&io, "child", always()).await;
    let before = cluster.now().await;
    read(&image, 0).await;
    soon(image.refresh()).await.unwrap();
    assert_eq!(recorded(&cluster, &io, "parent", before).await, (1, 0));
    assert_eq!(recorded(&cluster, &io, "child", before).await, (1, 0));
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(recorded(&cluster, &io, "parent", before).await, (2, 0));
    assert_eq!(recorded(&cluster, &io, "child", before).await, (1, 0));
}

/// I1: nothing of it comes behind the end of the lock, and nobody waits for it.
#[tokio::test]
async fn a_write_does_not_wait_for_its_record_and_the_end_of_the_lock_comes_behind_it() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open_with(&io, "img", always()).await;
    let before = cluster.now().await;
    let held = cluster.hold_next(op("rbd.set_modify_timestamp")).await;
    write(&image, 0, 1).await;
    held.arrived().await;
    held.let_go().await;
    soon(image.close()).await;
    let story = cluster.story(before).await.of(io.rados().gid());
    assert_in_order(&story, &["data 0: write", MODIFY, "header: unlock"]);
}

/// An error of it means nothing to the I/O.
#[tokio::test]
async fn io_goes_on_when_it_cannot_be_recorded() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open_with(&io, "img", always()).await;
    let before = cluster.now().await;
    cluster.refuse_next(op("rbd.set_modify_timestamp"), Errno::ENOSPC).await;
    cluster.refuse_next(op("rbd.set_access_timestamp"), Errno::EIO).await;
    write(&image, 0, 1).await;
    assert_eq!(read(&image, 0).await[0], 1);
    assert_eq!(read(&image, 0).await[0], 1);
    soon(image.refresh()).await.unwrap();
    let story = cluster.story(before).await.of(io.rados().gid());
    assert_in_order(&story, &["data 0: write", ACCESS]);
}
