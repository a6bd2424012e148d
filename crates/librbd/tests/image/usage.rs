//! How much of an image is used.

use errno::Errno;
use librbd::{CallOptions, Features};

use crate::support::*;

/// Of each snapshot by name, and of HEAD as "": bytes used.
async fn used(image: &librbd::Image) -> Vec<(String, u64)> {
    let rows = soon(image.usage(|_, _| {})).await.unwrap();
    let name = |row: &librbd::Usage| row.snapshot.as_ref().map_or_else(String::new, |at| at.name.clone());
    rows.iter().map(|row| (name(row), row.used)).collect()
}

fn rows<const N: usize>(rows: [(&str, u64); N]) -> Vec<(String, u64)> {
    rows.map(|(name, used)| (name.to_owned(), used)).to_vec()
}

/// The same steps gave the same numbers with `rbd du`, in objects of 4 MiB.
#[tokio::test]
async fn what_exists_and_has_changed_since_the_snapshot_before_counts_by_whole_objects() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    soon(image.resize(4 * OBJECT + OBJECT / 2, false, CallOptions::default())).await.unwrap();
    for object in [0, 1, 4] {
        soon(image.write(object * OBJECT, vec![1; 10].into())).await.unwrap();
    }
    assert_eq!(used(&image).await, rows([("", 2 * OBJECT + OBJECT / 2)]), "the last ends with the image");

    soon(image.snap_create("a", CallOptions::default())).await.unwrap();
    soon(image.write(0, vec![2; 10].into())).await.unwrap();
    soon(image.discard(OBJECT, OBJECT)).await.unwrap();
    write(&image, 2, 2).await;
    assert_eq!(used(&image).await, rows([("a", 2 * OBJECT + OBJECT / 2), ("", 2 * OBJECT)]));

    soon(image.snap_create("b", CallOptions::default())).await.unwrap();
    soon(image.resize(OBJECT + OBJECT / 4, true, CallOptions::default())).await.unwrap();
    soon(image.write(OBJECT, vec![3; 1].into())).await.unwrap();
    let all = [("a", 2 * OBJECT + OBJECT / 2), ("b", 2 * OBJECT), ("", OBJECT / 4)];
    assert_eq!(used(&image).await, rows(all));
    let sizes = soon(image.usage(|_, _| {})).await.unwrap().iter().map(|row| row.size).collect::<Vec<_>>();
    let before = 4 * OBJECT + OBJECT / 2;
    assert_eq!(sizes, [before, before, OBJECT + OBJECT / 4]);

    soon(image.snap_remove("a", CallOptions::default())).await.unwrap();
    assert_eq!(used(&image).await, rows([("b", 2 * OBJECT + OBJECT / 2), ("", OBJECT / 4)]));
}

#[tokio::test]
async fn an_image_without_snapshots_is_counted_without_asking_its_objects() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 1_000_000).await;
    let image = open(&io, "img").await;
    write(&image, 0, 1).await;
    write(&image, 999_999, 1).await;
    cluster.refuse_next(crate::faults::op("list_snaps"), Errno::EIO).await;
    assert_eq!(used(&image).await, rows([("", 2 * OBJECT)]));
}

#[tokio::test]
async fn with_snapshots_each_object_is_asked_once_and_the_first_error_ends_it() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 8).await;
    let image = open(&io, "img").await;
    for name in ["a", "b", "c"] {
        soon(image.snap_create(name, CallOptions::default())).await.unwrap();
    }
    let mut seen = Vec::new();
    soon(image.usage(|done, total| seen.push((done, total)))).await.unwrap();
    assert_eq!(seen, (1..=8).map(|done| (done, 8)).collect::<Vec<_>>());
    cluster.refuse_next(crate::faults::op("list_snaps"), Errno::EIO).await;
    assert_eq!(errno_of(soon(image.usage(|_, _| {})).await), Errno::EIO);
}

#[tokio::test]
async fn a_clone_counts_what_it_has_itself_and_a_snapshot_in_the_trash_is_no_row() {
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    clone_with(&io, 4, Features::default()).await;
    let child = open(&io, "child").await;
    assert_eq!(used(&child).await, rows([("", 0)]));
    soon(child.snap_create("s", CallOptions::default())).await.unwrap();
    soon(child.write(OBJECT, vec![1; 10].into())).await.unwrap();
    // The copy-up has brought the parent's bytes into the snapshot, too.
    assert_eq!(used(&child).await, rows([("s", OBJECT), ("", OBJECT)]));

    let parent = open(&io, "parent").await;
    assert_eq!(used(&parent).await, rows([("base", 4 * OBJECT), ("", 0)]));
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    assert_eq!(used(&parent).await, rows([("", 4 * OBJECT)]));
}
