//! Snapshots of open images.

use errno::Errno;
use librbd::{CallOptions, CloneOptions, Config, Features};
use proto::cls::rbd::v1 as cls;
use rados::ObjectOp;

use crate::faults;
use crate::support::*;

#[tokio::test]
async fn a_snapshot_keeps_what_was_written_before_it() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_create("s", CallOptions::default())).await), Errno::EEXIST);
    assert_eq!(errno_of(soon(image.snap_create("a/b", CallOptions::default())).await), Errno::EINVAL);
    write(&image, 0, 2).await;
    soon(image.set_snapshot(Some("s"))).await.unwrap();
    assert_eq!(read(&image, 0).await[0], 1);
}

#[tokio::test]
async fn a_rollback_restores_size_and_content() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 8).await;
    let image = open(&io, "img").await;
    soon(image.write(0, pattern(8))).await.unwrap();
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    for size in [3, 12] {
        soon(image.resize(size * OBJECT, true, CallOptions::default())).await.unwrap();
        write(&image, 1, 0x55).await;
        write(&image, size - 1, 0x66).await;
        soon(image.snap_rollback("s", CallOptions::default())).await.unwrap();
        assert_eq!(content(&image).await, pattern(8), "after a resize to {size} objects");
    }
    assert_eq!(errno_of(soon(image.snap_rollback("none", CallOptions::default())).await), Errno::ENOENT);
}

/// What the snapshot still reads from the parent comes back into a HEAD that was flattened.
#[tokio::test]
async fn a_rollback_after_a_flatten_restores_what_the_snapshot_has_from_the_parent() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 8, Features::LAYERING.union(Features::EXCLUSIVE_LOCK)).await;
    let image = open(&io, "child").await;
    write(&image, 2, 0x22).await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    let before = content(&image).await;
    soon(image.flatten(CallOptions::default())).await.unwrap();
    soon(image.discard(0, 8 * OBJECT)).await.unwrap();
    soon(image.snap_rollback("s", CallOptions::default())).await.unwrap();
    assert_eq!(content(&image).await, before);
}

#[tokio::test]
async fn a_protected_snapshot_stays_until_it_is_unprotected() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_unprotect("s")).await), Errno::EINVAL);
    soon(image.snap_protect("s")).await.unwrap();
    assert_eq!(errno_of(soon(image.snap_protect("s")).await), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_remove("s", CallOptions::default())).await), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_protect("none")).await), Errno::ENOENT);
    soon(image.snap_unprotect("s")).await.unwrap();
    soon(image.snap_remove("s", CallOptions::default())).await.unwrap();
}

/// Clones of format 2 neither need protection nor hinder unprotect; those of format 1, which other clients make, do.
#[tokio::test]
async fn only_a_clone_of_format_1_keeps_its_snapshot_protected() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    let image = open(&io, "parent").await;
    soon(image.snap_protect("base")).await.unwrap();
    soon(image.snap_unprotect("base")).await.unwrap();
    soon(image.snap_protect("base")).await.unwrap();
    let image_id = librbd::image_id(&io, "parent").await.unwrap();
    let snap_id = soon(image.snapshots()).await.unwrap()[0].id;
    let parent = Some(cls::ParentSpec { pool: io.pool().to_owned(), image_id, snap_id });
    let entry = cls::ChildIndexEntry { parent, child_id: "other".to_owned() };
    let on_index = async |method| {
        io.operate("rbd_children", ObjectOp::new().exec("rbd", method, &entry)).await.unwrap();
    };
    on_index("add_child").await;
    assert_eq!(errno_of(soon(image.snap_unprotect("base")).await), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_protect("base")).await), Errno::EBUSY, "still protected");
    on_index("remove_child").await;
    soon(image.snap_unprotect("base")).await.unwrap();
}

/// I3: of a protect and an unprotect that race, one hears EBUSY, and what was acknowledged stands.
#[tokio::test]
async fn an_acknowledged_protect_is_not_lost_to_a_racing_unprotect() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    soon(image.snap_create("s", CallOptions::default())).await.unwrap();
    soon(image.snap_protect("s")).await.unwrap();
    let held = cluster.hold_next(faults::op("rbd.get_children")).await;
    let unprotecting = tokio::spawn({
        let image = image.clone();
        async move { image.snap_unprotect("s").await }
    });
    held.arrived().await;
    soon(peer.snap_protect("s")).await.unwrap();
    held.let_go().await;
    assert_eq!(errno_of(soon(unprotecting).await.unwrap()), Errno::EBUSY);
    assert_eq!(errno_of(soon(image.snap_remove("s", CallOptions::default())).await), Errno::EBUSY);
    assert_eq!(soon(image.snapshots()).await.unwrap()[0].protection, librbd::Protection::Protected);
}

/// Facts 7.3: a snapshot that clones need goes to the trash, where the class takes no change of it: its name is gone.
#[tokio::test]
async fn a_snapshot_that_goes_to_the_trash_meanwhile_is_enoent_to_who_changes_it() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 1).await;
    let (image, peer) = (open(&io, "parent").await, open(&other, "parent").await);
    for op in ["rbd.set_protection_status", "rbd.snapshot_rename"] {
        let held = cluster.hold_next(faults::op(op)).await;
        let changing = tokio::spawn({
            let (image, op) = (image.clone(), op);
            async move {
                match op {
                    "rbd.snapshot_rename" => image.snap_rename("base", "other").await,
                    _ => image.snap_protect("base").await,
                }
            }
        });
        held.arrived().await;
        soon(peer.snap_remove("base", CallOptions::default())).await.unwrap();
        held.let_go().await;
        assert_eq!(errno_of(soon(changing).await.unwrap()), Errno::ENOENT, "{op}");
        // Once more, with a clone that needs it.
        soon(peer.snap_create("base", CallOptions::default())).await.unwrap();
        librbd::clone(&other, "parent", "base", &other, op, &CloneOptions::default()).await.unwrap();
    }
}

/// The OSD says ESTALE to who reads at an id that was given up; to the reader the snapshot is gone (error table, ENOENT: header or snapshot gone).
#[tokio::test]
async fn a_snapshot_that_is_removed_while_it_is_read_is_enoent_to_its_reader() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 1).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    for op in ["read", "sparse_read"] {
        soon(peer.snap_create("s", CallOptions::default())).await.unwrap();
        soon(image.set_snapshot(Some("s"))).await.unwrap();
        let held = cluster.hold_next(faults::op(op)).await;
        let reading = tokio::spawn({
            let image = image.clone();
            async move {
                match op {
                    "read" => image.read(0, OBJECT).await.map(drop),
                    _ => image.read_sparse(0, OBJECT).await.map(drop),
                }
            }
        });
        held.arrived().await;
        soon(peer.snap_remove("s", CallOptions::default())).await.unwrap();
        held.let_go().await;
        assert_eq!(errno_of(soon(reading).await.unwrap()), Errno::ENOENT, "{op}");
    }
}

/// Catalogue rows 124, 142 and 182: a snapshot that clones need loses its name, keeps their data, and goes with the last of them.
#[tokio::test]
async fn a_removed_snapshot_with_clones_is_in_the_trash_until_the_last_has_gone() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone(&io, 4).await;
    librbd::clone(&io, "parent", "base", &io, "second", &CloneOptions::default()).await.unwrap();
    let parent = open(&io, "parent").await;
    let id = soon(parent.snapshots()).await.unwrap()[0].id;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    write(&parent, 0, 9).await;
    assert_eq!(soon(parent.snapshots()).await.unwrap(), []);
    let again = librbd::clone(&io, "parent", "base", &io, "third", &CloneOptions::default()).await;
    assert_eq!(errno_of(again), Errno::ENOENT);
    assert_eq!(errno_of(soon(parent.snap_protect("base")).await), Errno::ENOENT);
    soon(parent.snap_create("base", CallOptions::default())).await.unwrap();
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    soon(parent.close()).await;
    let quiet = || CallOptions::default().progress;
    assert_eq!(errno_of(librbd::remove(&io, "parent", &Config::ci(), quiet()).await), Errno::ENOTEMPTY);
    let children = librbd::children(&io, "parent", None).await.unwrap();
    assert_eq!(children.iter().map(|child| &*child.name).collect::<Vec<_>>(), ["child", "second"]);

    let child = open(&io, "child").await;
    assert_eq!(content(&child).await, pattern(4));
    soon(child.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(content(&open(&io, "second").await).await, pattern(4));
    let exists = async || io.operate("any", ObjectOp::new().at_snap(id).stat()).await.unwrap_err().errno();
    assert_eq!(exists().await, Errno::ENOENT, "the id is in use");
    soon(open(&io, "second").await.flatten(CallOptions::default())).await.unwrap();
    assert_eq!(exists().await, Errno::ESTALE, "the id was given back");
    librbd::remove(&io, "parent", &Config::ci(), quiet()).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_renamed_to_a_name_that_is_free() {
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (image, peer) = (open(&io, "img").await, open(&other, "img").await);
    for name in ["one", "two"] {
        soon(image.snap_create(name, CallOptions::default())).await.unwrap();
    }
    soon(peer.snap_rename("one", "three")).await.unwrap();
    assert_eq!(errno_of(soon(peer.snap_rename("three", "two")).await), Errno::EEXIST);
    assert_eq!(errno_of(soon(peer.snap_rename("one", "four")).await), Errno::ENOENT);
    assert_eq!(errno_of(soon(peer.snap_rename("two", "a@b")).await), Errno::EINVAL);
    let names = soon(image.snapshots()).await.unwrap().into_iter().map(|snapshot| snapshot.name);
    assert_eq!(names.collect::<Vec<_>>(), ["two", "three"]);
}

/// librbd has no limit by default.
#[tokio::test]
async fn an_image_can_have_more_than_510_snapshots() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 1).await;
    let image = open(&io, "img").await;
    for number in 0..520 {
        soon(image.snap_create(&format!("s{number}"), CallOptions::default())).await.unwrap();
    }
    write(&image, 0, 1).await;
    assert_eq!(soon(image.snapshots()).await.unwrap().len(), 520);
}
