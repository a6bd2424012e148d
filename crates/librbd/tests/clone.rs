//! Clones: reads through the parent, copy-up, flatten's data part.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test is what the executor's runtime belongs to")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::faults::Requests;
use common::{TestImage, pattern, with_cluster};
use errno::Errno;
use librbd::{Applied, CloneOptions, Config, Error, Features, IoError, ObjectFlattened, names};
use proptest::prelude::Strategy;
use rados::ObjectOp;

const OBJECT: usize = 4096;

fn options(order: u32) -> CloneOptions {
    CloneOptions { order: Some(order), ..CloneOptions::default() }
}

/// Catalogue rows 104, 115: the guarded write finds no object, the parent's data comes first, then the write.
#[test]
fn a_small_write_to_a_clone_keeps_the_parents_data_around_it() {
    with_cluster(|cluster| async move {
        let mut expected = pattern(4 * OBJECT, 1);
        let (parent, child) = cluster.clone_of(&expected, &options(12)).await;
        child.write(5000, b"new").await.unwrap();
        expected[5000..5003].copy_from_slice(b"new");
        assert_eq!(child.content().await, expected);
        assert_eq!(child.objects().await, [1]);
        assert_eq!(parent.content().await, pattern(4 * OBJECT, 1));
    });
}

/// Catalogue rows 105, 156: the copy-up goes underneath the snapshots, so that they keep the parent's data without the parent.
#[test]
fn snapshots_of_a_clone_see_parent_data_after_a_copy_up_and_without_the_parent() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        child.snap_create("one").await;
        child.write(100, b"first").await.unwrap();
        child.snap_create("two").await;
        child.write(OBJECT as u64, &[9; 10]).await.unwrap();
        child.flatten().await;
        assert!(child.state.parent.is_none(), "deep-flatten takes the parent from the snapshots too");
        let mut two = base.clone();
        two[100..105].copy_from_slice(b"first");
        let mut head = two.clone();
        head[OBJECT..OBJECT + 10].fill(9);
        assert_eq!(child.content_at("one").await, base);
        assert_eq!(child.content_at("two").await, two);
        assert_eq!(child.content().await, head);
    });
}

/// Catalogue rows 106, 158: a read fills the child, also underneath its snapshots.
#[test]
fn copy_on_read_fills_the_child_only_while_it_is_allowed() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        child.snap_create("s").await;
        let config = Config { rbd_clone_copy_on_read: true, ..Config::ci() };
        let reader = TestImage::open(&cluster.io, "child", &config).await;
        reader.read(0, OBJECT as u64).await;
        reader.data.drain_copyups().await;
        assert!(child.objects().await.is_empty(), "not the owner of the lock");
        reader.data.set_sole_writer(true);
        assert_eq!(reader.read(0, 2 * OBJECT as u64).await, base[..2 * OBJECT]);
        reader.data.drain_copyups().await;
        assert_eq!(child.objects().await, [0, 1]);
        child.flatten().await;
        assert_eq!(child.content_at("s").await, base);
    });
}

/// I2: a client that stood still, or was cut off, hears late of what another did, and may read before it does.
#[test]
fn a_reader_that_has_not_heard_of_a_flatten_or_a_shrink_shows_no_parent_data_again() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        let mut reader = TestImage::open(&cluster.io, "child", &Config::ci()).await;
        let first = async |reader: &TestImage| reader.data.read(&reader.state, None, 0, OBJECT as u64).await;
        assert_eq!(first(&reader).await.unwrap(), base[..OBJECT]);
        child.flatten().await;
        child.discard(0, OBJECT as u64).await;
        assert!(!child.objects().await.contains(&0), "without a parent a discarded object goes");
        let found = first(&reader).await;
        assert!(matches!(found, Err(IoError::StaleParent { .. })), "{found:?}");
        reader.refresh().await;
        assert_eq!(first(&reader).await.unwrap(), vec![0; OBJECT]);

        let mut child = cluster.another_clone(&parent, "base", "shrunk", &options(12)).await;
        let mut reader = TestImage::open(&cluster.io, "shrunk", &Config::ci()).await;
        child.resize(0).await;
        child.resize(4 * OBJECT as u64).await;
        let found = first(&reader).await;
        assert!(matches!(found, Err(IoError::StaleParent { .. })), "{found:?}");
        reader.refresh().await;
        assert_eq!(first(&reader).await.unwrap(), vec![0; OBJECT]);
    });
}

/// I2, the same of the size.
#[test]
fn a_reader_that_has_not_heard_of_a_resize_is_not_refused_by_the_old_size() {
    with_cluster(|cluster| async move {
        let mut image = cluster.create("image", OBJECT as u64, 12).await;
        let mut reader = TestImage::open(&cluster.io, "image", &Config::ci()).await;
        assert_eq!(reader.read(0, 2 * OBJECT as u64).await.len(), OBJECT);
        image.resize(2 * OBJECT as u64).await;
        for offset in [0, 2 * OBJECT as u64] {
            let found = reader.data.read(&reader.state, None, offset, 2 * OBJECT as u64).await;
            assert!(matches!(found, Err(IoError::StaleSize)), "{found:?}");
        }
        reader.refresh().await;
        assert_eq!(reader.read(0, 2 * OBJECT as u64).await.len(), 2 * OBJECT);
    });
}

/// Catalogue row 109.
#[test]
fn copy_on_read_of_zeros_makes_no_object() {
    with_cluster(|cluster| async move {
        let (_parent, child) = cluster.clone_of(&vec![0; 2 * OBJECT], &options(12)).await;
        let config = Config { rbd_clone_copy_on_read: true, ..Config::ci() };
        let reader = TestImage::open(&cluster.io, "child", &config).await;
        reader.data.set_sole_writer(true);
        reader.read(0, 2 * OBJECT as u64).await;
        reader.data.drain_copyups().await;
        assert!(child.objects().await.is_empty());
    });
}

/// Catalogue rows 108, 156: the parent has zeros, the write is made, the snapshot reads zeros.
#[test]
fn a_write_over_zeros_of_the_parent_is_made_and_snapshots_stay_zero() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&vec![0; 2 * OBJECT], &options(12)).await;
        child.snap_create("s").await;
        child.write(10, b"data").await.unwrap();
        let mut expected = vec![0; 2 * OBJECT];
        expected[10..14].copy_from_slice(b"data");
        assert_eq!(child.content().await, expected);
        assert_eq!(child.content_at("s").await, vec![0; 2 * OBJECT]);
        assert_eq!(child.objects().await, [0]);
    });
}

/// Catalogue rows 110, 159: flatten of zeros and of holes writes nothing.
#[test]
fn flatten_of_a_sparse_parent_makes_no_empty_objects() {
    with_cluster(|cluster| async move {
        let mut data = vec![0; 4 * OBJECT];
        data[OBJECT..2 * OBJECT].copy_from_slice(&pattern(OBJECT, 1));
        let (_parent, mut child) = cluster.clone_of(&data, &options(12)).await;
        child.snap_create("s").await;
        child.write(2 * OBJECT as u64, b"x").await.unwrap();
        use ObjectFlattened::{Copied, Existed, ParentHole};
        assert_eq!(child.flatten_objects().await, [ParentHole, Copied, Existed, ParentHole]);
        assert_eq!(child.objects().await, [1, 2]);
        assert_eq!(child.content_at("s").await, data);
    });
}

/// Catalogue rows 111, 116: writers that come while the object is copied up are re-issued; all land.
#[test]
fn writers_of_one_object_share_its_copy_up_and_all_land() {
    with_cluster(|cluster| async move {
        let mut expected = pattern(16 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&expected, &options(16)).await;
        child.snap_create("s").await;
        let child = Arc::new(child);
        let writers: Vec<_> = (0..40_u64)
            .map(|number| {
                let child = child.clone();
                tokio::spawn(async move { child.write(number * 1000, &[number as u8; 100]).await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        (0..40).for_each(|number| expected[number * 1000..][..100].fill(number as u8));
        assert_eq!(child.content().await, expected);
        assert_eq!(child.content_at("s").await, pattern(16 * OBJECT, 1));
    });
}

/// Catalogue rows 112, 118: the parent cannot be read: each attached write fails once, nothing is written.
#[test]
fn writes_fail_when_the_parent_snapshot_has_gone() {
    with_cluster(|cluster| async move {
        let (parent, mut child) = cluster.clone_of(&pattern(4 * OBJECT, 1), &options(14)).await;
        cluster.io.remove_snap_id(parent.snap_id("base")).await.unwrap();
        let (one, two) = tokio::join!(child.write(0, b"a"), child.write(100, b"b"));
        for error in [one.unwrap_err(), two.unwrap_err()] {
            assert!(matches!(error, IoError::StaleParent { .. }), "{error}");
            let used = child.state.clone();
            child.refresh().await;
            assert!(!error.redo_on(&used, &child.state), "nothing changed: the error is final");
            assert_eq!(Error::from(error).errno(), Errno::ENOENT);
        }
        assert!(child.objects().await.is_empty());
    });
}

#[test]
fn a_read_under_a_stale_state_is_to_be_redone_after_another_client_flattened() {
    with_cluster(|cluster| async move {
        let base = pattern(2 * OBJECT, 1);
        let (mut parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        let other = cluster.client().await;
        let mut reader = TestImage::open(&other, "child", &Config::ci()).await;
        child.flatten().await;
        child.discard(0, 2 * OBJECT as u64).await;
        parent.snap_remove("base").await;
        let used = reader.state.clone();
        let error = reader.data.read(&used, None, 0, 10).await.unwrap_err();
        reader.refresh().await;
        assert!(error.redo_on(&used, &reader.state), "{error}");
        assert_eq!(reader.content().await, vec![0; 2 * OBJECT]);
    });
}

#[test]
fn parent_data_is_not_returned_under_a_state_that_was_replaced() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&pattern(2 * OBJECT, 1), &options(12)).await;
        let used = child.state.clone();
        child.flatten().await;
        child.discard(0, 2 * OBJECT as u64).await;
        let error = child.data.read(&used, None, 0, 10).await.unwrap_err();
        assert!(matches!(error, IoError::Superseded), "{error}");
        assert!(error.redo_on(&used, &child.state));
    });
}

/// I2: an object that such a state takes for missing may have been discarded since.
#[test]
fn nothing_is_copied_up_under_a_state_that_a_flatten_has_replaced() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&pattern(2 * OBJECT, 1), &options(12)).await;
        let used = child.state.clone();
        child.flatten().await;
        child.discard(0, 2 * OBJECT as u64).await;
        let write = child.data.write(&used, 7, b"late".as_slice().into(), &Applied::default()).await;
        let error = write.unwrap_err();
        assert!(matches!(error, IoError::Superseded), "{error}");
        assert!(error.redo_on(&used, &child.state));
        assert!(child.objects().await.is_empty(), "the parent's data came back");
    });
}

/// The same of a copy-up that had read the parent.
#[test]
fn a_copy_up_stands_back_when_a_flatten_replaces_its_state_while_it_reads_the_parent() {
    with_cluster(|cluster| async move {
        let (parent, mut child) = cluster.clone_of(&pattern(2 * OBJECT, 1), &options(12)).await;
        let used = child.state.clone();
        let source = names::data(&parent.state.object_prefix, 0);
        let held = cluster.osd().hold_next(Requests { op: "sparse_read", object: &source }).await;
        let (data, state) = (child.data.clone(), used.clone());
        let write = tokio::spawn(async move {
            data.write(&state, 7, b"late".as_slice().into(), &Applied::default()).await
        });
        held.arrived().await;
        // Another client of the image, which shares nothing with this one but the OSD.
        let mut other = TestImage::open(&cluster.client().await, "child", &Config::ci()).await;
        other.write(0, &[1; OBJECT]).await.unwrap();
        other.flatten().await;
        other.discard(0, OBJECT as u64).await;
        child.refresh().await;
        held.let_go().await;
        let error = write.await.unwrap().unwrap_err();
        assert!(matches!(error, IoError::Superseded), "{error}");
        assert_eq!(child.objects().await, [1], "the parent's data came back");
    });
}

/// I2: of a write that is made again only what was not made yet: others may have read the rest and written over it.
#[test]
fn a_write_that_is_made_again_leaves_what_was_written_over_it_meanwhile() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&pattern(3 * OBJECT, 1), &options(12)).await;
        let used = child.state.clone();
        child.flatten().await;
        child.discard(OBJECT as u64, OBJECT as u64).await;
        // Object 0 as a whole needs no parent, object 1 does.
        let (data, applied) = (Bytes::from(vec![5; OBJECT + 10]), Applied::default());
        let first = child.data.write(&used, 0, data.clone(), &applied).await;
        assert!(matches!(first, Err(IoError::Superseded)), "{first:?}");
        assert_eq!(child.read(0, OBJECT as u64).await, vec![5; OBJECT]);
        child.write(0, &[6; 20]).await.unwrap();
        child.data.write(&child.state, 0, data, &applied).await.unwrap();
        let mut expected = vec![5; OBJECT + 10];
        expected[..20].fill(6);
        expected.resize(2 * OBJECT, 0);
        assert_eq!(child.read(0, 2 * OBJECT as u64).await, expected);
    });
}

/// The same of a discard.
#[test]
fn a_discard_that_is_made_again_leaves_what_was_written_over_it_meanwhile() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&pattern(3 * OBJECT, 1), &options(12)).await;
        let used = child.state.clone();
        child.flatten().await;
        child.discard(OBJECT as u64, OBJECT as u64).await;
        let (length, applied) = (OBJECT as u64 + 10, Applied::default());
        let first = child.data.discard_first(&used, 0, length, &applied).await;
        assert!(matches!(first, Err(IoError::Superseded)), "{first:?}");
        child.write(0, &[6; 20]).await.unwrap();
        child.data.discard_first(&child.state, 0, length, &applied).await.unwrap();
        let mut expected = vec![0; 2 * OBJECT];
        expected[..20].fill(6);
        assert_eq!(child.read(0, 2 * OBJECT as u64).await, expected);
    });
}

/// Catalogue row 119: overlap 0 reads zeros, not the parent.
#[test]
fn a_read_beyond_the_overlap_is_zeros() {
    with_cluster(|cluster| async move {
        let base = pattern(2 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(13)).await;
        child.resize(3 * OBJECT as u64).await;
        let mut expected = base;
        expected.resize(3 * OBJECT, 0);
        assert_eq!(child.content().await, expected);
        child.resize(0).await;
        child.resize(3 * OBJECT as u64).await;
        assert_eq!(child.content().await, vec![0; 3 * OBJECT]);
        assert!(
            child.flatten_objects().await.is_empty(),
            "overlap 0 with a parent attached has nothing to copy"
        );
    });
}

/// Catalogue row 119: ParentReadError.
#[test]
fn a_parent_that_cannot_be_read_is_an_error_and_not_zeros() {
    with_cluster(|cluster| async move {
        let base = pattern(2 * OBJECT, 1);
        let (parent, child) = cluster.clone_of(&base, &options(12)).await;
        let source = names::data(&parent.state.object_prefix, 1);
        cluster.osd().refuse_next(Requests { op: "read", object: &source }, Errno::EIO).await;
        let error = child.data.read(&child.state, None, 0, 2 * OBJECT as u64).await.unwrap_err();
        assert_eq!(Error::from(error).errno(), Errno::EIO);
        assert_eq!(child.content().await, base);
    });
}

/// Catalogue rows 120, 157: an object that the parent would shine through stays.
#[test]
fn a_discard_hides_the_parents_data() {
    with_cluster(|cluster| async move {
        let mut expected = pattern(4 * OBJECT, 1);
        let (_parent, child) = cluster.clone_of(&expected, &options(12)).await;
        let ranges = [(0, OBJECT), (OBJECT + 100, 200), (2 * OBJECT + 1000, OBJECT - 1000), (3 * OBJECT, 50)];
        for (offset, length) in ranges {
            child.discard(offset as u64, length as u64).await;
            expected[offset..offset + length].fill(0);
            assert_eq!(child.content().await, expected, "after discard {offset}~{length}");
        }
    });
}

/// Catalogue rows 120, 157: and its snapshots keep it.
#[test]
fn a_discard_leaves_the_parents_data_to_the_snapshots() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        child.snap_create("s").await;
        child.discard(0, 3 * OBJECT as u64 + 7).await;
        child.flatten().await;
        let mut expected = base.clone();
        expected[..3 * OBJECT + 7].fill(0);
        assert_eq!(child.content().await, expected);
        assert_eq!(child.content_at("s").await, base);
    });
}

/// Catalogue row 157: a write of whole objects needs no parent data, unless a snapshot does.
#[test]
fn a_write_of_whole_objects_leaves_the_parents_data_to_the_snapshots() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        let data = pattern(2 * OBJECT, 77);
        child.write(0, &data[..OBJECT]).await.unwrap();
        child.snap_create("s").await;
        child.write(0, &data).await.unwrap();
        child.flatten().await;
        assert_eq!(child.content().await, [&data[..], &base[2 * OBJECT..]].concat());
        assert_eq!(child.content_at("s").await, [&data[..OBJECT], &base[OBJECT..]].concat());
    });
}

/// Catalogue rows 157, 181: what was cut off stays zeros when the image grows again; snapshots keep the parent's data.
#[test]
fn an_overlap_that_shrank_does_not_come_back() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(13)).await;
        child.snap_create("s").await;
        let cut = OBJECT + 500;
        child.resize(cut as u64).await;
        child.resize(4 * OBJECT as u64).await;
        let mut expected = base.clone();
        expected[cut..].fill(0);
        assert_eq!(child.content().await, expected);
        assert_eq!(child.content_at("s").await, base);
        child.flatten().await;
        assert_eq!(child.content().await, expected);
        assert_eq!(child.content_at("s").await, base);
    });
}

/// Guards I2: what was written over the parent's data and is cut off reads as zeros, also before the header has the new size, and
/// never as the parent's data again.
#[test]
fn a_trimmed_object_does_not_show_the_parent_before_the_header_has_the_new_size() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        child.write(3 * OBJECT as u64, &pattern(OBJECT, 2)).await.unwrap();
        let cut = 2 * OBJECT as u64;
        child.data.set_shrinking_to(Some(cut));
        child.data.trim_object(&child.state, 3, cut).await.unwrap();
        let peer = TestImage::open(&cluster.client().await, "child", &Config::ci()).await;
        for image in [&child, &peer] {
            assert_eq!(image.content().await[3 * OBJECT..], [0; OBJECT]);
        }
        child.set_size(cut).await;
        child.resize(4 * OBJECT as u64).await;
        assert_eq!(child.content().await[cut as usize..], [0; 2 * OBJECT]);
    });
}

/// A reader's copy-up that comes while the image shrinks brings nothing of the cut part back.
#[test]
fn a_copy_up_during_a_shrink_is_cut_to_the_new_size() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT, 1);
        let (_parent, mut child) = cluster.clone_of(&base, &options(14)).await;
        let cut = OBJECT as u64 + 500;
        child.data.set_shrinking_to(Some(cut));
        child.data.trim_object(&child.state, 0, cut).await.unwrap();
        child.write(0, b"x").await.unwrap();
        child.set_size(cut).await;
        child.resize(4 * OBJECT as u64).await;
        let mut expected = base;
        expected[0] = b'x';
        expected[cut as usize..].fill(0);
        assert_eq!(child.content().await, expected);
    });
}

/// Catalogue row 161, the data part.
#[test]
fn a_flattened_child_equals_its_parent_after_the_parent_is_gone() {
    with_cluster(|cluster| async move {
        let base = pattern(4 * OBJECT + 100, 1);
        let (mut parent, mut child) = cluster.clone_of(&base, &options(12)).await;
        child.flatten().await;
        parent.snap_remove("base").await;
        parent.remove().await.unwrap();
        let other = TestImage::open(&cluster.client().await, "child", &Config::ci()).await;
        assert_eq!(other.content().await, base);
        assert!(other.state.parent.is_none());
    });
}

/// Catalogue row 177: other object sizes, and striping, on either side.
#[test]
fn a_clone_with_another_layout_has_the_parents_data() {
    with_cluster(|cluster| async move {
        let base = pattern(20 * OBJECT + 100, 1);
        let (parent, larger) = cluster.clone_of(&base, &options(16)).await;
        let striped = CloneOptions {
            order: Some(13),
            stripe_unit: Some(1024),
            stripe_count: Some(5),
            ..CloneOptions::default()
        };
        let mut larger = larger;
        let mut striped = cluster.another_clone(&parent, "base", "striped", &striped).await;
        larger.snap_create("s").await;
        let mut smaller = cluster.another_clone(&larger, "s", "smaller", &options(12)).await;
        for child in [&mut striped, &mut smaller, &mut larger] {
            let mut expected = base.clone();
            expected[9000..9010].fill(3);
            assert_eq!(child.content().await, base, "{}", child.name);
            child.write(9000, &[3; 10]).await.unwrap();
            assert_eq!(child.content().await, expected, "{}", child.name);
            child.flatten().await;
            assert_eq!(child.content().await, expected, "{}", child.name);
        }
    });
}

/// Catalogue row 178: nothing of the parent is seen after flatten and an overwrite.
#[test]
fn no_stale_parent_data_is_read_after_flatten() {
    with_cluster(|cluster| async move {
        let (_parent, mut child) = cluster.clone_of(&pattern(2 * OBJECT, 1), &options(12)).await;
        child.content().await;
        child.flatten().await;
        child.discard(0, 2 * OBJECT as u64).await;
        assert_eq!(child.content().await, vec![0; 2 * OBJECT]);
        assert!(child.objects().await.is_empty());
    });
}

/// Catalogue row 179: a chain of clones, the middle one flattened and the top one removed.
#[test]
fn a_chain_of_clones_reads_through_and_survives_the_flattening_of_its_middle() {
    with_cluster(|cluster| async move {
        let base = pattern(8 * OBJECT, 1);
        let (mut top, mut middle) = cluster.clone_of(&base, &options(14)).await;
        middle.write(3 * OBJECT as u64, &[5; 100]).await.unwrap();
        middle.snap_create("m").await;
        let mut bottom = cluster.another_clone(&middle, "m", "bottom", &options(12)).await;
        bottom.write(10, &[6; 10]).await.unwrap();
        let mut expected = base;
        expected[3 * OBJECT..][..100].fill(5);
        expected[10..20].fill(6);
        assert_eq!(bottom.content().await, expected);
        middle.flatten().await;
        top.snap_remove("base").await;
        let used = bottom.state.clone();
        bottom.refresh().await;
        assert!(IoError::Superseded.redo_on(&used, &bottom.state));
        assert_eq!(bottom.content().await, expected);
        bottom.flatten().await;
        assert_eq!(bottom.content().await, expected);
    });
}

/// Facts 6.7: an image whose parent is really gone is usable as far as its objects are complete.
#[test]
fn a_child_whose_parent_vanished_opens_and_serves_what_it_has() {
    with_cluster(|cluster| async move {
        let base = pattern(2 * OBJECT, 1);
        let (parent, child) = cluster.clone_of(&base, &options(12)).await;
        assert_eq!(child.data.flatten_object(&child.state, 0).await.unwrap(), ObjectFlattened::Copied);
        cluster.io.operate(&names::header(&parent.id), ObjectOp::new().remove()).await.unwrap();
        let orphan = TestImage::open(&cluster.io, "child", &Config::ci()).await;
        assert_eq!(orphan.read(0, OBJECT as u64).await, base[..OBJECT]);
        assert_eq!(orphan.data.flatten_object(&orphan.state, 0).await.unwrap(), ObjectFlattened::Existed);
        let error = orphan.data.read(&orphan.state, None, OBJECT as u64, 1).await.unwrap_err();
        assert_eq!(Error::from(error).errno(), Errno::ENOENT);
    });
}

/// A copy-up is the image's: it ends although the writer that needed it went away.
#[test]
fn a_copy_up_outlives_the_write_that_needed_it() {
    with_cluster(|cluster| async move {
        let base = pattern(2 * OBJECT, 1);
        let (parent, child) = cluster.clone_of(&base, &options(12)).await;
        let child = Arc::new(child);
        let source = names::data(&parent.state.object_prefix, 1);
        let held = cluster.osd().hold_next(Requests { op: "sparse_read", object: &source }).await;
        let writing = tokio::spawn({
            let child = child.clone();
            async move { child.write(OBJECT as u64 + 5, b"never").await }
        });
        held.arrived().await;
        writing.abort();
        assert!(writing.await.unwrap_err().is_cancelled());
        assert!(child.objects().await.is_empty(), "the parent has not been read");
        held.let_go().await;
        child.data.drain_copyups().await;
        assert_eq!(child.objects().await, [1], "nobody waited for it");
        assert_eq!(child.content().await, base);
    });
}

/// Catalogue row 113: an OSD without sparse_copyup gets the same bytes as a whole.
#[test]
fn a_sparse_copy_up_that_is_not_supported_becomes_a_plain_one() {
    with_cluster(|cluster| async move {
        let mut base = vec![0; 4 * OBJECT];
        base[OBJECT + 100..OBJECT + 200].fill(7);
        base[3 * OBJECT..].copy_from_slice(&pattern(OBJECT, 1));
        let (_parent, child) = cluster.clone_of(&base, &options(14)).await;
        let missing = Requests { op: "rbd.sparse_copyup", object: "" };
        cluster.osd().refuse_next(missing, Errno::EOPNOTSUPP).await;
        let before = cluster.osd().now().await;
        child.write(10, b"new").await.unwrap();
        assert_eq!(cluster.osd().faults_after(before).await, 1, "it was tried");
        base[10..13].copy_from_slice(b"new");
        assert_eq!(child.content().await, base);
    });
}

/// Catalogue rows 112, 118, 119: ReadFromParentError, CopyupError: the error reaches every writer that waited, once, and the
/// object is not made; the next writes find everything as before.
#[test]
fn a_copy_up_that_fails_fails_each_write_that_waited_for_it() {
    for step in ["sparse_read", "rbd.copyup"] {
        with_cluster(|cluster| async move {
            let mut expected = pattern(4 * OBJECT, 1);
            let (_parent, child) = cluster.clone_of(&expected, &options(12)).await;
            cluster.osd().refuse_next(Requests { op: step, object: "rbd_data.*" }, Errno::EIO).await;
            let writes = tokio::join!(child.write(0, b"a"), child.write(100, b"b"));
            for error in [writes.0.unwrap_err(), writes.1.unwrap_err()] {
                assert_eq!(Error::from(error).errno(), Errno::EIO, "{step}");
            }
            assert!(child.objects().await.is_empty(), "{step}");
            child.write(0, b"a").await.unwrap();
            expected[0] = b'a';
            assert_eq!(child.content().await, expected, "{step}");
        });
    }
}

/// What the model does, one step at a time.
#[derive(Clone, Debug)]
enum Step {
    Write {
        at: usize,
        length: usize,
        seed: u8,
    },
    Discard {
        at: usize,
        length: usize,
    },
    Snap,
    /// Of the snapshots that exist, number `which` modulo their count.
    SnapRemove {
        which: usize,
    },
    Rollback {
        which: usize,
    },
    Resize {
        size: usize,
    },
    FlattenObjects,
    Flatten,
}

const MODEL_BYTES: usize = 6 * OBJECT;

fn step() -> impl Strategy<Value = Step> {
    use proptest::prelude::{any, prop_oneof};
    let range = || (0..MODEL_BYTES, 1..2 * OBJECT);
    prop_oneof![
        4 => (range(), any::<u8>()).prop_map(|((at, length), seed)| Step::Write { at, length, seed }),
        3 => range().prop_map(|(at, length)| Step::Discard { at, length }),
        2 => (0..6_usize, 1..7_usize).prop_map(|(from, objects)| {
            let start = (from * OBJECT).min(MODEL_BYTES - 1);
            Step::Discard { at: start, length: objects * OBJECT }
        }),
        3 => proptest::prelude::Just(Step::Snap),
        1 => (0..9_usize).prop_map(|which| Step::SnapRemove { which }),
        2 => (0..9_usize).prop_map(|which| Step::Rollback { which }),
        2 => (0..MODEL_BYTES).prop_map(|size| Step::Resize { size }),
        1 => proptest::prelude::Just(Step::FlattenObjects),
        1 => proptest::prelude::Just(Step::Flatten),
    ]
}

/// Runs the steps on a clone and on a byte array, and compares HEAD and all snapshots after each.
async fn compare_with_model(cluster: &common::Cluster, clone: CloneOptions, steps: &[Step]) {
    let mut head = pattern(MODEL_BYTES, 1);
    head[OBJECT..2 * OBJECT].fill(0);
    let (_parent, mut child) = cluster.clone_of(&head, &clone).await;
    let mut snapshots = Vec::<(String, Vec<u8>)>::new();
    for (number, step) in steps.iter().enumerate() {
        let clipped = |at: usize, length: usize| at.min(head.len())..(at + length).min(head.len());
        match *step {
            Step::Write { at, length, seed } => {
                let range = clipped(at, length);
                let data = pattern(range.len(), seed);
                child.write(range.start as u64, &data).await.unwrap();
                head[range].copy_from_slice(&data);
            }
            Step::Discard { at, length } => {
                let range = clipped(at, length);
                child.discard(range.start as u64, range.len() as u64).await;
                head[range].fill(0);
            }
            Step::Snap => {
                let name = format!("s{number}");
                child.snap_create(&name).await;
                snapshots.push((name, head.clone()));
            }
            Step::SnapRemove { which } if !snapshots.is_empty() => {
                let (name, _) = snapshots.remove(which % snapshots.len());
                child.snap_remove(&name).await;
            }
            Step::Rollback { which } if !snapshots.is_empty() => {
                let (name, content) = &snapshots[which % snapshots.len()];
                child.rollback(name).await;
                head.clone_from(content);
            }
            Step::SnapRemove { .. } | Step::Rollback { .. } => {}
            Step::Resize { size } => {
                child.resize(size as u64).await;
                head.resize(size, 0);
            }
            Step::FlattenObjects => drop(child.flatten_objects().await),
            Step::Flatten if child.has_head_parent() => child.flatten().await,
            Step::Flatten => {}
        }
        assert!(child.content().await == head, "HEAD after step {number} {step:?} of {steps:?}");
        for (name, content) in &snapshots {
            assert!(
                child.content_at(name).await == content,
                "{name} after step {number} {step:?} of {steps:?}"
            );
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, ..Default::default() })]

    /// I2, I4: a clone with snapshots behaves as byte arrays do, through copy-up, discard, resize and flatten.
    #[test]
    fn a_clone_with_snapshots_behaves_as_byte_arrays(
        order in 12_u32..=14,
        stripes in proptest::option::of((10_u32..=12, 1_u64..=3)),
        deep_flatten in proptest::bool::ANY,
        steps in proptest::collection::vec(step(), 1..12),
    ) {
        let features = if deep_flatten { Features::default() } else { Features::LAYERING };
        let clone = CloneOptions {
            order: Some(order),
            features: Some(features),
            stripe_unit: stripes.map(|(unit, _)| 1 << unit),
            stripe_count: stripes.map(|(_, count)| count),
        };
        with_cluster(|cluster| async move { compare_with_model(&cluster, clone, &steps).await });
    }
}
