//! I2, I4: flatten's commit and I/O that is under way. Without a parent a discarded object goes; a copy-up that comes after that would
//! bring the parent's data back.

use librbd::{CallOptions, Image};
use proto::osd::v1 as wire;
use rados::IoCtx;
use tokio::task::JoinHandle;

use crate::faults::{Held, Requests};
use crate::support::*;

/// Bytes of a small write.
const SMALL: u64 = 16;

/// Object 0 of an image.
async fn first_object(io: &IoCtx, image: &str) -> String {
    let id = librbd::image_id(io, image).await.unwrap();
    librbd::names::data(&librbd::read_header(io, &id).await.unwrap().object_prefix, 0)
}

fn flatten(image: &Image) -> JoinHandle<Result<(), librbd::Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.flatten(CallOptions::default()).await })
}

fn small_write(image: &Image, number: u64) -> JoinHandle<Result<(), librbd::Error>> {
    let image = image.clone();
    let data = vec![0xee; SMALL as usize];
    tokio::spawn(async move { image.write(number * SMALL, data.into()).await })
}

/// A whole write of object 0, a flatten, and a discard of object 0, while small writes are held: however far the flatten gets. Then what was
/// held goes on, and nothing of the parent is seen in the object.
async fn nothing_comes_back(image: &Image, held: Held, small: Vec<JoinHandle<Result<(), librbd::Error>>>) {
    let small_writes = small.len();
    held.arrived().await;
    write(image, 0, 0xdd).await;
    let flattening = flatten(image);
    held.dwell().await;
    let discarding = tokio::spawn({
        let image = image.clone();
        async move { image.discard(0, OBJECT).await }
    });
    held.dwell().await;
    held.let_go().await;
    for write in small {
        soon(write).await.unwrap().unwrap();
    }
    soon(flattening).await.unwrap().unwrap();
    soon(discarding).await.unwrap().unwrap();
    assert!(soon(image.info()).await.unwrap().parent.is_none());
    let bytes = read(image, 0).await;
    let (touched, rest) = bytes.split_at(small_writes * SMALL as usize);
    assert!(touched.iter().all(|byte| [0, 0xee].contains(byte)), "{touched:?}");
    assert!(rest.iter().all(|byte| *byte == 0), "the discard was acknowledged last: {rest:?}");
    assert_eq!(read(image, 1).await, pattern(2).slice(OBJECT as usize..));
}

/// The object was missing when the write came, and the answer is late: the copy-up is about to begin when the flatten commits.
#[tokio::test]
async fn a_late_answer_that_the_object_is_missing_brings_no_parent_data_back_after_a_flatten() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 2).await;
    let image = open(&io, "child").await;
    soon(image.acquire_lock()).await.unwrap();
    let late = wire::FaultCondition {
        direction: wire::FaultDirection::Reply.into(),
        op: "write".to_owned(),
        object: first_object(&io, "child").await,
        ..wire::FaultCondition::default()
    };
    let held = cluster.osd().hold(0, late).await;
    let small = vec![small_write(&image, 0)];
    nothing_comes_back(&image, held, small).await;
}

/// The parent answers late: the copy-up is under way when the flatten commits.
#[tokio::test]
async fn a_slow_read_of_the_parent_brings_no_data_back_after_a_flatten() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 2).await;
    let image = open(&io, "child").await;
    soon(image.acquire_lock()).await.unwrap();
    let parent = first_object(&io, "parent").await;
    let held = cluster.hold_next(Requests { op: "sparse_read", object: &parent }).await;
    let small = (0..4).map(|number| small_write(&image, number)).collect();
    nothing_comes_back(&image, held, small).await;
}
