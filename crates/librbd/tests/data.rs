//! Block I/O on an image without a parent.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{pattern, with_cluster};
use errno::Errno;
use librbd::{Config, CreateOptions, Error};

const OBJECT: u64 = 4096;

#[test]
fn a_write_over_several_objects_is_read_back_and_the_rest_is_zeros() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 10 * OBJECT, 12).await;
        let data = pattern(10_000, 3);
        image.write(3000, &data).await.unwrap();
        let mut expected = vec![0; 10 * OBJECT as usize];
        expected[3000..13_000].copy_from_slice(&data);
        assert_eq!(image.content().await, expected);
        assert_eq!(image.objects().await, [0, 1, 2, 3]);
    });
}

#[test]
fn a_striped_image_holds_its_bytes_in_the_objects_of_its_layout() {
    with_cluster(|cluster| async move {
        let options = CreateOptions {
            size: 40_000,
            order: 12,
            stripe_unit: 1024,
            stripe_count: 3,
            ..CreateOptions::default()
        };
        librbd::create(&cluster.io, "striped", &options).await.unwrap();
        let image = common::TestImage::open(&cluster.io, "striped", &Config::ci()).await;
        let data = pattern(30_000, 9);
        image.write(5000, &data).await.unwrap();
        assert_eq!(image.read(5000, 30_000).await, data);
        assert_eq!(image.read(0, 5000).await, vec![0; 5000]);
        assert_eq!(image.read(35_000, 5000).await, vec![0; 5000]);
    });
}

#[test]
fn a_write_larger_than_one_op_carries_arrives_whole() {
    with_cluster(|cluster| async move {
        let image = cluster.create("big", 32 << 20, 25).await;
        let data = pattern(20 << 20, 1);
        image.write(1 << 20, &data).await.unwrap();
        assert_eq!(image.objects().await, [0]);
        assert!(image.read(1 << 20, 20 << 20).await == data, "20 MiB are read back");
    });
}

#[test]
fn io_beyond_the_end_names_the_image_size() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", OBJECT, 12).await;
        let error = Error::from(image.write(OBJECT - 1, b"ab").await.unwrap_err());
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(error.to_string().contains("4096"), "{error}");
        assert!(image.write(u64::MAX, b"ab").await.is_err());
        assert!(image.data.read(&image.state, None, OBJECT + 1, 1).await.is_err());
        assert_eq!(image.read(OBJECT - 1, 100).await, vec![0]);
        assert!(image.objects().await.is_empty());
    });
}

/// Catalogue row 120: whole objects of an image without parent go, the edges are cut or zeroed.
#[test]
fn a_discard_removes_whole_objects_and_zeros_the_edges() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 4 * OBJECT, 12).await;
        let mut expected = pattern(4 * OBJECT as usize, 5);
        image.write(0, &expected).await.unwrap();
        image.discard(1000, 3 * OBJECT).await;
        expected[1000..1000 + 3 * OBJECT as usize].fill(0);
        assert_eq!(image.content().await, expected);
        assert_eq!(image.objects().await, [0, 3]);
    });
}

/// Catalogue row 120: a discard under a snapshot leaves the snapshot's data.
#[test]
fn a_snapshot_keeps_what_is_discarded_and_overwritten_later() {
    with_cluster(|cluster| async move {
        let mut image = cluster.create("img", 4 * OBJECT, 12).await;
        let before = pattern(4 * OBJECT as usize, 5);
        image.write(0, &before).await.unwrap();
        image.snap_create("s").await;
        image.discard(0, 2 * OBJECT).await;
        image.write(3 * OBJECT, &[7; 100]).await.unwrap();
        let mut after = before.clone();
        after[..2 * OBJECT as usize].fill(0);
        after[3 * OBJECT as usize..][..100].fill(7);
        assert_eq!(image.content().await, after);
        assert_eq!(image.content_at("s").await, before);
    });
}

#[test]
fn a_discard_of_nothing_makes_no_objects() {
    with_cluster(|cluster| async move {
        let mut image = cluster.create("img", 4 * OBJECT, 12).await;
        image.discard(100, 3 * OBJECT).await;
        image.snap_create("s").await;
        image.discard(100, 3 * OBJECT).await;
        assert!(image.objects().await.is_empty());
    });
}

#[test]
fn a_sparse_read_gives_only_what_was_written() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", 100 * OBJECT, 12).await;
        image.write(50 * OBJECT, &[1; 4096]).await.unwrap();
        let extents = image.data.read_sparse(&image.state, None, 0, 100 * OBJECT).await.unwrap();
        let found: Vec<_> = extents.iter().map(|(offset, data)| (*offset, data.len())).collect();
        assert_eq!(found, [(50 * OBJECT, 4096)]);
    });
}

#[test]
fn a_shrunk_and_grown_image_reads_zeros_where_it_was_cut() {
    with_cluster(|cluster| async move {
        let mut image = cluster.create("img", 4 * OBJECT, 12).await;
        let data = pattern(4 * OBJECT as usize, 5);
        image.write(0, &data).await.unwrap();
        image.resize(OBJECT + 10).await;
        assert_eq!(image.objects().await, [0, 1]);
        image.resize(4 * OBJECT).await;
        let mut expected = data;
        expected[OBJECT as usize + 10..].fill(0);
        assert_eq!(image.content().await, expected);
    });
}

#[test]
fn a_read_at_an_unknown_snapshot_is_refused() {
    with_cluster(|cluster| async move {
        let image = cluster.create("img", OBJECT, 12).await;
        let error = Error::from(image.data.read(&image.state, Some(77), 0, 1).await.unwrap_err());
        assert_eq!(error.errno(), Errno::ENOENT);
    });
}
