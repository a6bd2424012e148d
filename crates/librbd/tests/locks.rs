//! The lock as people handle it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::with_cluster;
use errno::Errno;
use librbd::{Config, locks, names};
use proto::cls::lock::v1 as lock;
use rados::{IoCtx, ObjectOp};

async fn take_automatic_lock(io: &IoCtx, image_id: &str, handle: u64) {
    let lock = lock::Lock {
        name: locks::NAME.to_owned(),
        r#type: lock::LockType::Exclusive.into(),
        cookie: locks::automatic_cookie(handle),
        tag: locks::AUTOMATIC_TAG.to_owned(),
        ..lock::Lock::default()
    };
    io.operate(&names::header(image_id), ObjectOp::new().exec("lock", "lock", &lock)).await.unwrap();
}

#[test]
fn an_exclusive_lock_keeps_others_out_until_it_is_removed() {
    with_cluster(|cluster| async move {
        cluster.create("img", 1, 12).await;
        let other = cluster.client().await;
        locks::lock_add(&cluster.io, "img", "a", None).await.unwrap();
        let list = locks::lock_list(&other, "img").await.unwrap();
        assert!(list.exclusive);
        assert_eq!((list.lockers[0].gid, &*list.lockers[0].cookie), (cluster.rados.gid(), "a"));
        assert_eq!(locks::lock_add(&cluster.io, "img", "a", None).await.unwrap_err().errno(), Errno::EEXIST);
        assert_eq!(locks::lock_add(&other, "img", "b", None).await.unwrap_err().errno(), Errno::EBUSY);
        let gone = locks::lock_remove(&other, "img", cluster.rados.gid(), "other", &Config::ci()).await;
        assert_eq!(gone.unwrap_err().errno(), Errno::ENOENT);
        locks::lock_remove(&other, "img", cluster.rados.gid(), "a", &Config::ci()).await.unwrap();
        locks::lock_add(&other, "img", "b", None).await.unwrap();
    });
}

#[test]
fn a_shared_lock_is_shared_by_its_tag() {
    with_cluster(|cluster| async move {
        cluster.create("img", 1, 12).await;
        let other = cluster.client().await;
        locks::lock_add(&cluster.io, "img", "a", Some("readers")).await.unwrap();
        locks::lock_add(&other, "img", "b", Some("readers")).await.unwrap();
        assert_eq!(
            locks::lock_add(&other, "img", "c", Some("else")).await.unwrap_err().errno(),
            Errno::EBUSY
        );
        let list = locks::lock_list(&other, "img").await.unwrap();
        assert_eq!((list.exclusive, &*list.tag, list.lockers.len()), (false, "readers", 2));
        let broken = locks::lock_break(&other, "img", true, &Config::ci()).await;
        assert_eq!(broken.unwrap_err().errno(), Errno::EOPNOTSUPP);
    });
}

/// I1: the automatic lock is never taken away without its owner being fenced.
#[test]
fn removing_the_automatic_lock_fences_its_owner_dead_or_alive() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 1, 12).await;
        for is_alive in [false, true] {
            let owner = cluster.client().await;
            let gid = owner.rados().gid();
            let watch = owner.watch(&names::header(&image.id), None).await.unwrap();
            let handle = watch.handle();
            let cookie = locks::automatic_cookie(handle);
            take_automatic_lock(&owner, &image.id, handle).await;
            if !is_alive {
                watch.unwatch().await.unwrap();
            }
            let other = locks::lock_remove(&cluster.io, "img", gid, "auto 99", &Config::ci()).await;
            assert_eq!(other.unwrap_err().errno(), Errno::ENOENT, "alive: {is_alive}");
            locks::lock_remove(&cluster.io, "img", gid, &cookie, &Config::ci()).await.unwrap();
            assert!(locks::lock_list(&cluster.io, "img").await.unwrap().lockers.is_empty());
            let write = owner.operate("any", ObjectOp::new().create(false)).await;
            assert_eq!(write.unwrap_err().errno(), Errno::EBLOCKLISTED, "alive: {is_alive}");
        }
    });
}

#[test]
fn a_living_owner_is_broken_only_by_force() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 1, 12).await;
        let owner = cluster.client().await;
        let watch = owner.watch(&names::header(&image.id), None).await.unwrap();
        take_automatic_lock(&owner, &image.id, watch.handle()).await;
        let refused = locks::lock_break(&cluster.io, "img", false, &Config::ci()).await;
        assert_eq!(refused.unwrap_err().errno(), Errno::EBUSY);
        locks::lock_break(&cluster.io, "img", true, &Config::ci()).await.unwrap();
        let nobody = locks::lock_break(&cluster.io, "img", true, &Config::ci()).await;
        assert_eq!(nobody.unwrap_err().errno(), Errno::ENOENT);
    });
}

#[test]
fn nobody_fences_himself() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 1, 12).await;
        take_automatic_lock(&cluster.io, &image.id, 1).await;
        let broken = locks::lock_break(&cluster.io, "img", true, &Config::ci()).await;
        assert_eq!(broken.unwrap_err().errno(), Errno::EINVAL);
        let without_fence = Config { rbd_blocklist_on_break_lock: false, ..Config::ci() };
        locks::lock_break(&cluster.io, "img", true, &without_fence).await.unwrap();
        assert!(locks::lock_list(&cluster.io, "img").await.unwrap().lockers.is_empty());
    });
}

/// Facts 3.2: a lock by hand is nobody's exclusive lock; whoever holds it is not fenced for it.
#[test]
fn a_lock_by_hand_is_removed_and_never_broken() {
    with_cluster(|cluster| async move {
        cluster.create("img", 1, 12).await;
        let other = cluster.client().await;
        locks::lock_add(&other, "img", "mine", None).await.unwrap();
        let broken = locks::lock_break(&cluster.io, "img", true, &Config::ci()).await.unwrap_err();
        assert_eq!(broken.errno(), Errno::EBUSY);
        assert!(broken.to_string().contains("lock rm"), "{broken}");
        other.operate("any", ObjectOp::new().create(false)).await.unwrap();
        locks::lock_remove(&cluster.io, "img", other.rados().gid(), "mine", &Config::ci()).await.unwrap();
    });
}

/// A dead owner's lock does not keep an image from being removed: it is fenced first.
#[test]
fn removing_an_image_breaks_the_lock_of_its_dead_owner() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 1, 12).await;
        let owner = cluster.client().await;
        take_automatic_lock(&owner, &image.id, 1).await;
        image.remove().await.unwrap();
        let write = owner.operate("any", ObjectOp::new().create(false)).await;
        assert_eq!(write.unwrap_err().errno(), Errno::EBLOCKLISTED);
    });
}
