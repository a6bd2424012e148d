//! `Data` against plain bytes.

use bytes::Bytes;
use proptest::prelude::*;
use store::{Data, Extents, PIECE_BYTES_MAX};

const SPAN: u64 = 4 * PIECE_BYTES_MAX as u64;

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

fn apply(change: &Change, data: &mut Data, model: &mut [u8]) {
    match *change {
        Change::Write(offset, length, fill) => {
            data.write(offset, &vec![fill; length as usize]);
            model[offset as usize..(offset + length) as usize].fill(fill);
        }
        Change::Zero(offset, length) => {
            data.zero(offset, length);
            model[offset as usize..(offset + length) as usize].fill(0);
        }
        Change::Truncate(size) => {
            data.truncate(size);
            model[size as usize..].fill(0);
        }
    }
}

fn whole(data: &Data) -> Vec<u8> {
    data.read(0, SPAN).to_bytes(0, SPAN).to_vec()
}

proptest! {
    #[test]
    fn data_holds_what_bytes_would_hold(
        changes in prop::collection::vec(change(), 1..40),
        (offset, length) in range(),
    ) {
        let (mut data, mut model) = (Data::default(), vec![0; SPAN as usize]);
        for change in &changes {
            let (before, copy) = (model.clone(), data.clone());
            apply(change, &mut data, &mut model);
            prop_assert_eq!(&whole(&data), &model);
            prop_assert_eq!(&whole(&copy), &before, "a copy by reference never changes");
        }
        // Writes are never of zeros here, so data and holes can be told apart in the model.
        let filled = model.iter().filter(|&&byte| byte != 0).count() as u64;
        let all = data.read(0, SPAN);
        prop_assert_eq!(data.allocated(), filled);
        prop_assert_eq!(all.allocated(), filled);
        prop_assert_eq!(all.end(), model.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1));
        let expected = &model[offset as usize..(offset + length) as usize];
        prop_assert_eq!(&data.read(offset, length).to_bytes(offset, length)[..], expected);
        prop_assert_eq!(&all.to_bytes(offset, length)[..], expected);
        prop_assert_eq!(&all.pieces(offset, length).concat()[..], expected);
        let in_ranges: u64 = all.ranges().map(|(_, length)| length).sum();
        prop_assert_eq!((all.ranges().len(), in_ranges), (all.runs(), filled));
    }

    #[test]
    fn pieces_ascend_without_overlap_and_have_their_own_bytes(changes in prop::collection::vec(change(), 1..40)) {
        let (mut data, mut model) = (Data::default(), vec![0; SPAN as usize]);
        let mut end = 0;
        changes.iter().for_each(|change| apply(change, &mut data, &mut model));
        for (offset, piece) in data.read(0, SPAN).iter() {
            prop_assert!(offset >= end && !piece.is_empty());
            end = offset + piece.len() as u64;
            prop_assert_eq!(offset / PIECE_BYTES_MAX as u64, (end - 1) / PIECE_BYTES_MAX as u64);
        }
    }
}

/// What is kept is as large as its pieces, whatever they were a part of.
#[test]
fn the_buffer_that_brought_the_bytes_is_not_kept() {
    let buffer = Bytes::from(vec![7; 1 << 20]);
    let mut data = Data::default();
    data.write(5, &buffer.slice(..100));
    data.write(PIECE_BYTES_MAX as u64, &buffer.slice(..1 << 19));
    assert!(buffer.is_unique(), "the bytes were copied");
}

#[test]
fn the_rest_of_a_piece_that_was_cut_does_not_keep_it() {
    let mut data = Data::default();
    data.write(0, &[7; PIECE_BYTES_MAX]);
    let cut = data.read(0, 1).iter().next().expect("there is data").1.as_ptr();
    data.zero(1, PIECE_BYTES_MAX as u64);
    let rest = data.read(0, 1);
    let (_, rest) = rest.iter().next().expect("there is data");
    assert_ne!(rest.as_ptr(), cut, "the rest was copied");
}

#[test]
fn an_overwrite_happens_in_place_unless_somebody_shares_the_piece() {
    let mut data = Data::default();
    data.write(0, &[7; PIECE_BYTES_MAX]);
    let place = |data: &Data| data.read(0, 1).iter().next().expect("there is data").1.as_ptr();
    let first = place(&data);
    data.write(100, &[8; 10]);
    assert_eq!(place(&data), first);
    let shared = data.clone();
    data.write(100, &[9; 10]);
    assert_ne!(place(&data), first);
    assert_eq!(place(&shared), first);
}

#[test]
fn many_small_writes_become_few_pieces() {
    let mut data = Data::default();
    for offset in 0..2 * PIECE_BYTES_MAX as u64 {
        data.write(offset, b"x");
    }
    assert_eq!(data.read(0, SPAN).iter().count(), 2);
}

#[test]
fn equality_does_not_depend_on_the_division_into_pieces() {
    let whole: Extents = [(5, Bytes::from(vec![1; 200]))].into_iter().collect();
    let halves: Extents = [5, 105].map(|at| (at, Bytes::from(vec![1; 100]))).into_iter().collect();
    assert_eq!(whole, halves);
    assert_eq!((whole.runs(), halves.runs()), (1, 1));
    assert_ne!(whole, [(6, Bytes::from(vec![1; 200]))].into_iter().collect());
}

#[test]
fn holes_are_read_as_zeros() {
    let extents: Extents =
        [(2, Bytes::from_static(b"ab")), (6, Bytes::from_static(b"c"))].into_iter().collect();
    assert_eq!(&extents.to_bytes(0, 9)[..], b"\0\0ab\0\0c\0\0");
    assert_eq!(&extents.to_bytes(3, 4)[..], b"b\0\0c");
    assert_eq!(
        extents.pieces(0, 4)[1].as_ptr(),
        extents.iter().next().expect("a piece").1.as_ptr(),
        "not copied"
    );
    assert_eq!(extents.pieces(0, 1 << 20).concat().len(), 1 << 20);
    assert!(extents.pieces(0, 0).is_empty());
    let joined: Vec<_> = extents.joined().collect();
    assert_eq!(joined, [(2, Bytes::from_static(b"ab")), (6, Bytes::from_static(b"c"))]);
}
