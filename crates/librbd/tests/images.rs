//! Images as a whole: create, clone, list, children, remove.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::{Arc, Mutex};

use common::{pattern, with_cluster};
use errno::Errno;
use librbd::{CloneOptions, Config, CreateOptions, Features, OperationEvent, names};
use rados::IoCtx;

const OBJECT: u64 = 4096;

async fn objects(io: &IoCtx) -> Vec<String> {
    let mut objects = io.list_objects("").await.unwrap();
    objects.retain(|name| name != names::DIRECTORY);
    objects
}

#[test]
fn created_images_are_listed_by_name_and_open_with_their_options() {
    with_cluster(|cluster| async move {
        assert!(librbd::list(&cluster.io).await.unwrap().is_empty());
        for name in ["b", "a", "c"] {
            cluster.create(name, 5, 12).await;
        }
        assert_eq!(librbd::list(&cluster.io).await.unwrap(), ["a", "b", "c"]);
        let options = CreateOptions {
            size: 1 << 30,
            order: 20,
            features: Features::EXCLUSIVE_LOCK,
            stripe_unit: 1 << 16,
            stripe_count: 4,
        };
        librbd::create(&cluster.io, "striped", &options).await.unwrap();
        let state = common::TestImage::open(&cluster.io, "striped", &Config::ci()).await.state;
        assert_eq!((state.size, state.order), (1 << 30, 20));
        assert_eq!((state.layout.stripe_unit(), state.layout.stripe_count()), (1 << 16, 4));
        assert_eq!(state.features, Features::EXCLUSIVE_LOCK.union(Features::STRIPING));
    });
}

#[test]
fn a_second_image_of_the_same_name_is_refused_and_leaves_nothing() {
    with_cluster(|cluster| async move {
        cluster.create("img", OBJECT, 12).await;
        let before = objects(&cluster.io).await;
        let error = librbd::create(&cluster.io, "img", &CreateOptions::default()).await.unwrap_err();
        assert_eq!(error.errno(), Errno::EEXIST);
        assert!(error.to_string().contains("rbd/img"), "{error}");
        assert_eq!(objects(&cluster.io).await, before);
    });
}

#[test]
fn options_that_break_a_rule_are_refused_before_anything_is_made() {
    with_cluster(|cluster| async move {
        for (name, options) in [
            ("a@b", CreateOptions::default()),
            ("img", CreateOptions { order: 26, ..CreateOptions::default() }),
            ("img", CreateOptions { stripe_unit: 5, stripe_count: 2, ..CreateOptions::default() }),
            ("img", CreateOptions { size: u64::MAX, ..CreateOptions::default() }),
        ] {
            let error = librbd::create(&cluster.io, name, &options).await.unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{error}");
        }
        assert!(objects(&cluster.io).await.is_empty());
    });
}

#[test]
fn a_removed_image_leaves_no_object_and_frees_its_name() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 10 * OBJECT, 12).await;
        image.write(0, &pattern(10 * OBJECT as usize, 1)).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let progress = Arc::new(move |event| sink.lock().unwrap().push(event));
        librbd::remove(&cluster.io, "img", &Config::ci(), progress).await.unwrap();
        let last = OperationEvent::Progress { offset: 10, total: 10, attempt: 1 };
        assert_eq!(seen.lock().unwrap().last(), Some(&last));
        assert!(objects(&cluster.io).await.is_empty());
        assert!(librbd::list(&cluster.io).await.unwrap().is_empty());
        assert_eq!(image.remove().await.unwrap_err().errno(), Errno::ENOENT);
        cluster.create("img", OBJECT, 12).await;
    });
}

/// Catalogue row 188: an image that somebody has open is not removed; the error says who.
#[test]
fn an_image_with_a_watcher_is_busy() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", OBJECT, 12).await;
        let other = cluster.client().await;
        let watch = other.watch(&names::header(&image.id), None).await.unwrap();
        let error = image.remove().await.unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY);
        assert!(error.to_string().contains(&format!("client.{}", other.rados().gid())), "{error}");
        watch.unwatch().await.unwrap();
        image.remove().await.unwrap();
    });
}

/// Catalogue row 188: a lock by hand keeps an image from being removed.
#[test]
fn an_image_that_is_locked_by_hand_is_busy() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", OBJECT, 12).await;
        librbd::locks::lock_add(&cluster.io, "img", "mine", None).await.unwrap();
        assert_eq!(image.remove().await.unwrap_err().errno(), Errno::EBUSY);
        librbd::locks::lock_remove(&cluster.io, "img", cluster.rados.gid(), "mine", &Config::ci())
            .await
            .unwrap();
        image.remove().await.unwrap();
    });
}

#[test]
fn an_image_with_snapshots_is_not_empty() {
    with_cluster(|cluster| async move {
        let mut image = cluster.create("img", OBJECT, 12).await;
        image.snap_create("s").await;
        assert_eq!(image.remove().await.unwrap_err().errno(), Errno::ENOTEMPTY);
        image.snap_remove("s").await;
        image.remove().await.unwrap();
    });
}

#[test]
fn children_are_listed_by_snapshot_until_they_are_removed_or_flattened() {
    with_cluster(|cluster| async move {
        let (parent, mut child) = cluster.clone_of(&pattern(9000, 1), &CloneOptions::default()).await;
        let second = cluster.another_clone(&parent, "base", "second", &CloneOptions::default()).await;
        let names = async || {
            let children = librbd::children(&cluster.io, "parent", Some("base")).await.unwrap();
            children.into_iter().map(|child| child.name).collect::<Vec<_>>()
        };
        assert_eq!(names().await, ["child", "second"]);
        second.remove().await.unwrap();
        assert_eq!(names().await, ["child"]);
        child.flatten().await;
        assert!(names().await.is_empty());
        assert!(librbd::children(&cluster.io, "parent", None).await.unwrap().is_empty());
        let error = librbd::children(&cluster.io, "parent", Some("other")).await.unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
    });
}

#[test]
fn a_clone_inherits_the_layout_of_its_parent_unless_told_otherwise() {
    with_cluster(|cluster| async move {
        let (parent, child) = cluster.clone_of(&pattern(9000, 1), &CloneOptions::default()).await;
        assert_eq!((child.state.size, child.state.order), (9000, 12));
        assert_eq!(child.state.features, parent.state.features);
        assert_eq!(child.state.parent.as_ref().unwrap().head_overlap, Some(9000));
        let order = CloneOptions { order: Some(20), ..CloneOptions::default() };
        assert_eq!(cluster.another_clone(&parent, "base", "other", &order).await.state.order, 20);
        let order = CloneOptions { order: Some(24), ..CloneOptions::default() };
        let refused = librbd::clone(&cluster.io, "parent", "base", &cluster.io, "x", &order).await;
        assert_eq!(refused.unwrap_err().errno(), Errno::EINVAL);
    });
}

#[test]
fn a_clone_that_is_not_made_is_not_registered() {
    with_cluster(|cluster| async move {
        let (_parent, _child) = cluster.clone_of(&pattern(9000, 1), &CloneOptions::default()).await;
        let before = objects(&cluster.io).await;
        let options = CloneOptions::default();
        for (snap, child, errno) in [("none", "new", Errno::ENOENT), ("base", "child", Errno::EEXIST)] {
            let refused = librbd::clone(&cluster.io, "parent", snap, &cluster.io, child, &options).await;
            assert_eq!(refused.unwrap_err().errno(), errno);
        }
        assert_eq!(objects(&cluster.io).await, before);
        assert_eq!(librbd::children(&cluster.io, "parent", None).await.unwrap().len(), 1);
    });
}
