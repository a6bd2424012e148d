//! Sets of bytes, beside sets of single bytes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use store::Intervals;

const BYTES: u64 = 40;

fn bytes(intervals: &Intervals) -> BTreeSet<u64> {
    intervals.iter().flatten().collect()
}

fn is_canonical(intervals: &Intervals) -> bool {
    let ranges: Vec<_> = intervals.iter().collect();
    ranges.iter().all(|range| !range.is_empty()) && ranges.windows(2).all(|pair| pair[0].end < pair[1].start)
}

fn made(end: u64, holes: &[(u64, u64)]) -> (Intervals, BTreeSet<u64>) {
    let (mut intervals, mut model) = (Intervals::up_to(end), (0..end).collect::<BTreeSet<_>>());
    for &(offset, length) in holes {
        intervals.subtract(offset..offset + length);
        model.retain(|byte| !(offset..offset + length).contains(byte));
    }
    (intervals, model)
}

fn holes() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..BYTES, 0..8_u64), 0..12)
}

proptest! {
    #[test]
    fn what_is_taken_out_is_out(end in 0..BYTES, holes in holes()) {
        let (intervals, model) = made(end, &holes);
        prop_assert_eq!(bytes(&intervals), model);
        prop_assert!(is_canonical(&intervals), "{:?}", intervals);
    }

    #[test]
    fn an_intersection_has_what_both_have(left in (0..BYTES, holes()), right in (0..BYTES, holes())) {
        let (mut intervals, model) = made(left.0, &left.1);
        let (other, other_model) = made(right.0, &right.1);
        intervals.intersect(&other);
        prop_assert_eq!(bytes(&intervals), &model & &other_model);
        prop_assert!(is_canonical(&intervals), "{:?}", intervals);
    }
}
