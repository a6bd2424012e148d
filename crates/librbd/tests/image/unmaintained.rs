//! Images with features that this client does not maintain: Ceph's own clients make them. They are read, and never changed.

use bytes::Bytes;
use errno::Errno;
use librbd::{CallOptions, CloneOptions, Config, Error, Image};
use rados::{IoCtx, ObjectOp};

use crate::support::*;

const EXCLUSIVE_LOCK_AND_OBJECT_MAP: u64 = 0x1 | 0x4 | 0x8 | 0x20;
const DATA_POOL: u64 = 1 << 7;

/// Sets the features of an image's header, as a client that knows them all.
async fn give(io: &IoCtx, name: &str, features: u64) {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    let value = Bytes::copy_from_slice(&features.to_le_bytes());
    io.operate(&header, ObjectOp::new().omap_set([("features".to_owned(), value)].into())).await.unwrap();
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, Error>, feature: &str) {
    let error = result.expect_err("it is a change");
    assert_eq!(error.errno(), Errno::EROFS, "{error}");
    assert!(error.to_string().contains(feature), "{error}");
}

#[tokio::test]
async fn such_an_image_is_read_and_every_change_is_refused_by_the_features_name() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    give(&io, "child", EXCLUSIVE_LOCK_AND_OBJECT_MAP).await;
    let image = open(&io, "child").await;
    assert_eq!(content(&image).await, pattern(4));
    assert_eq!(image.info().await.unwrap().features.unmaintained(), ["object-map"]);
    let options = CallOptions::default;
    is_refused(soon(image.write(0, Bytes::from_static(b"x"))).await, "object-map");
    is_refused(soon(image.discard(0, 1)).await, "object-map");
    is_refused(soon(image.flatten(options())).await, "object-map");
    is_refused(soon(image.resize(OBJECT, true, options())).await, "object-map");
    is_refused(soon(image.snap_create("s", options())).await, "object-map");
    is_refused(soon(image.snap_remove("s", options())).await, "object-map");
    is_refused(soon(image.snap_rollback("s", options())).await, "object-map");
    is_refused(soon(image.snap_rename("s", "t")).await, "object-map");
    is_refused(soon(image.snap_protect("s")).await, "object-map");
    is_refused(soon(image.rename("other", options())).await, "object-map");
    is_refused(soon(image.acquire_lock()).await, "object-map");
    soon(image.close()).await;
    let removed = librbd::remove(&io, "child", &Config::ci(), std::sync::Arc::new(|_| {})).await;
    is_refused(removed, "object-map");
    assert_eq!(content(&open(&io, "child").await).await, pattern(4));
}

/// Its owner enables a feature between two writes of this client, which has not heard of it.
#[tokio::test]
async fn a_feature_that_comes_while_it_is_open_is_found_with_the_lock() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "image", 4).await;
    let image = open(&io, "image").await;
    write(&image, 0, 7).await;
    soon(image.release_lock()).await.unwrap();
    give(&io, "image", EXCLUSIVE_LOCK_AND_OBJECT_MAP).await;
    is_refused(soon(image.write(0, Bytes::from_static(b"x"))).await, "object-map");
    assert_eq!(read(&image, 0).await, vec![7; OBJECT as usize]);
    assert!(!soon(image.is_lock_owner()).await.unwrap(), "it is given back");
}

#[tokio::test]
async fn data_in_another_pool_is_read_there() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "image", 2).await;
    let id = librbd::image_id(&io, "image").await.unwrap();
    io.rados().create_pool("data").await.unwrap();
    let pools = io.rados().pools().await.unwrap();
    let pool = pools.iter().find(|pool| pool.name == "data").expect("it was made").id;
    let header = librbd::names::header(&id);
    let number = Bytes::copy_from_slice(&pool.to_le_bytes());
    io.operate(&header, ObjectOp::new().omap_set([("data_pool_id".to_owned(), number)].into()))
        .await
        .unwrap();
    give(&io, "image", 0x1 | DATA_POOL).await;
    let object = librbd::names::data(&librbd::names::object_prefix(&id), 1);
    let data = io.rados().io_ctx("data").await.unwrap();
    data.operate(&object, ObjectOp::new().write(0, Bytes::from(vec![9; OBJECT as usize]))).await.unwrap();
    let image = open(&io, "image").await;
    assert_eq!(
        (read(&image, 0).await, read(&image, 1).await),
        (vec![0; OBJECT as usize].into(), vec![9; OBJECT as usize].into())
    );
    is_refused(soon(image.write(0, Bytes::from_static(b"x"))).await, "data-pool");
}

/// What a clone gets from its parent is what can be maintained.
#[tokio::test]
async fn a_clone_of_such_an_image_is_an_image_like_others() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 2).await;
    give(&io, "parent", EXCLUSIVE_LOCK_AND_OBJECT_MAP).await;
    librbd::clone(&io, "parent", "base", &io, "another", &CloneOptions::default()).await.unwrap();
    let image: Image = open(&io, "another").await;
    write(&image, 0, 7).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(read(&image, 1).await, pattern(2).slice(OBJECT as usize..));
}
