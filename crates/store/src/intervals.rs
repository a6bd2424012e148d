//! Sets of bytes of an object.

use std::ops::Range;

/// Ranges of bytes: ascending, never empty, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Range<u64>>);

impl Intervals {
    /// The bytes up to `end`.
    pub fn up_to(end: u64) -> Self {
        std::iter::once(0..end).collect()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<u64>> {
        self.0.iter().cloned()
    }

    /// Takes bytes out.
    pub fn subtract(&mut self, bytes: Range<u64>) {
        if bytes.is_empty() {
            return;
        }
        let first = self.0.partition_point(|range| range.end <= bytes.start);
        let behind = self.0.partition_point(|range| range.start < bytes.end);
        if first == behind {
            return;
        }
        let (left, right) = (self.0[first].start..bytes.start, bytes.end..self.0[behind - 1].end);
        let rest = [left, right].into_iter().filter(|range| !range.is_empty());
        self.0.splice(first..behind, rest);
    }

    /// Takes out what is not in the other.
    pub fn intersect(&mut self, other: &Self) {
        let mut both = Vec::new();
        let (mut own, mut others) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(left), Some(right)) = (own.peek(), others.peek()) {
            let range = left.start.max(right.start)..left.end.min(right.end);
            if !range.is_empty() {
                both.push(range);
            }
            if left.end <= right.end {
                own.next()
            } else {
                others.next()
            };
        }
        self.0 = both;
    }

    /// No bytes at all.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// Of ranges that ascend and do not touch.
impl FromIterator<Range<u64>> for Intervals {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        Self(ranges.into_iter().filter(|range| !range.is_empty()).collect())
    }
}
