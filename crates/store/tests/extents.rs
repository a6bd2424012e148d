//! `Extents` against plain bytes.

use bytes::Bytes;
use proptest::prelude::*;
use store::{Extents, SMALL_PIECE_BYTES};

const SPAN: u64 = 4 * SMALL_PIECE_BYTES as u64;

#[derive(Clone, Debug)]
enum Change {
    Write(u64, u64, u8),
    Zero(u64, u64),
    Truncate(u64),
}

fn range() -> impl Strategy<Value = (u64, u64)> {
    (0..SPAN, prop_oneof![0..64u64, 0..SPAN]).prop_map(|(offset, length)| (offset, length.min(SPAN - offset)))
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (range(), 1..=u8::MAX).prop_map(|((offset, length), fill)| Change::Write(offset, length, fill)),
        2 => range().prop_map(|(offset, length)| Change::Zero(offset, length)),
        1 => (0..SPAN).prop_map(Change::Truncate),
    ]
}

fn apply(change: &Change, extents: &mut Extents, model: &mut [u8]) {
    match *change {
        Change::Write(offset, length, fill) => {
            extents.write(offset, Bytes::from(vec![fill; length as usize]));
            model[offset as usize..(offset + length) as usize].fill(fill);
        }
        Change::Zero(offset, length) => {
            extents.zero(offset, length);
            model[offset as usize..(offset + length) as usize].fill(0);
        }
        Change::Truncate(size) => {
            extents.truncate(size);
            model[size as usize..].fill(0);
        }
    }
}

proptest! {
    #[test]
    fn extents_hold_what_bytes_would_hold(
        changes in prop::collection::vec(change(), 1..40),
        (offset, length) in range(),
    ) {
        let (mut extents, mut model) = (Extents::new(), vec![0; SPAN as usize]);
        for change in &changes {
            let (before, copy) = (model.clone(), extents.clone());
            apply(change, &mut extents, &mut model);
            prop_assert_eq!(&extents.to_bytes(0, SPAN)[..], &model[..]);
            prop_assert_eq!(&copy.to_bytes(0, SPAN)[..], &before[..], "a copy by reference never changes");
        }
        // Writes are never of zeros here, so data and holes can be told apart in the model.
        let data = model.iter().filter(|&&byte| byte != 0).count() as u64;
        prop_assert_eq!(extents.allocated(), data);
        prop_assert_eq!(extents.iter().map(|(_, piece)| piece.len() as u64).sum::<u64>(), data);
        prop_assert_eq!(extents.end(), model.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1));
        let expected = &model[offset as usize..(offset + length) as usize];
        prop_assert_eq!(&extents.to_bytes(offset, length)[..], expected);
        prop_assert_eq!(&extents.slice(offset, length).rebased(offset).to_bytes(0, length)[..], expected);
    }

    #[test]
    fn pieces_ascend_without_overlap(changes in prop::collection::vec(change(), 1..40)) {
        let (mut extents, mut model) = (Extents::new(), vec![0; SPAN as usize]);
        let mut end = 0;
        changes.iter().for_each(|change| apply(change, &mut extents, &mut model));
        for (offset, piece) in extents.iter() {
            prop_assert!(offset >= end && !piece.is_empty());
            end = offset + piece.len() as u64;
        }
    }
}

#[test]
fn a_large_piece_is_kept_by_reference() {
    let data = Bytes::from(vec![7; SMALL_PIECE_BYTES]);
    let mut extents = Extents::new();
    extents.write(0, data.clone());
    assert_eq!(extents.to_bytes(0, data.len() as u64).as_ptr(), data.as_ptr());
}

#[test]
fn a_small_piece_does_not_keep_the_receive_buffer() {
    let buffer = Bytes::from(vec![7; 1 << 20]);
    let mut extents = Extents::new();
    extents.write(0, buffer.slice(..100));
    assert!(buffer.is_unique(), "the piece was copied");
}

#[test]
fn the_small_rest_of_an_overwritten_piece_does_not_keep_it() {
    let buffer = Bytes::from(vec![7; 1 << 20]);
    let mut extents = Extents::new();
    extents.write(0, buffer.clone());
    extents.write(10, Bytes::from(vec![8; (1 << 20) - 10]));
    assert!(buffer.is_unique(), "the rest was copied");
}

#[test]
fn many_small_writes_become_few_pieces() {
    let mut extents = Extents::new();
    for offset in 0..2 * SMALL_PIECE_BYTES as u64 {
        extents.write(offset, Bytes::from_static(b"x"));
    }
    assert_eq!(extents.iter().count(), 2);
}

#[test]
fn equality_does_not_depend_on_the_division_into_pieces() {
    let whole: Extents = [(5, Bytes::from(vec![1; 2 * SMALL_PIECE_BYTES]))].into_iter().collect();
    let halves = [5, 5 + SMALL_PIECE_BYTES as u64].map(|at| (at, Bytes::from(vec![1; SMALL_PIECE_BYTES])));
    assert_eq!(whole, halves.into_iter().collect());
    assert_ne!(whole, [(6, Bytes::from(vec![1; 2 * SMALL_PIECE_BYTES]))].into_iter().collect());
}
