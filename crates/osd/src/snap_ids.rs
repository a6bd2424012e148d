//! Sets of snapshot ids.

use std::collections::BTreeMap;

use store::{Change, PoolId};

use crate::records::{self, RemovedSnaps};

/// Ids as ranges: what is kept grows with the gaps between them, and these are snapshots that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapIds {
    /// First and last of each; none touches the next.
    ranges: BTreeMap<u64, u64>,
    len: u64,
}

impl SnapIds {
    /// Whether an id is among them.
    pub fn contains(&self, id: u64) -> bool {
        self.ranges.range(..=id).next_back().is_some_and(|(_, &last)| id <= last)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an id; false when it was there.
    pub fn insert(&mut self, id: u64) -> bool {
        if self.contains(id) {
            return false;
        }
        let (first, last) = self.range_with(id);
        self.ranges.remove(&(id + 1));
        self.ranges.insert(first, last);
        self.len += 1;
        true
    }

    /// First and last of the range that has this id once it is added. One that begins right behind the id becomes a part of it.
    pub(crate) fn range_with(&self, id: u64) -> (u64, u64) {
        let before = self.ranges.range(..id).next_back().filter(|(_, last)| **last + 1 == id);
        let behind = self.ranges.get(&(id + 1));
        (before.map_or(id, |(&first, _)| first), behind.copied().unwrap_or(id))
    }

    /// Adds a range that touches none of those that are there; false when it is none, or does.
    pub(crate) fn insert_range(&mut self, first: u64, last: u64) -> bool {
        let is_apart = |id| !self.contains(id) && self.range_with(id) == (id, id);
        let inside = self.ranges.range(first..).next().is_some_and(|(&next, _)| next <= last);
        if first == 0 || last < first || last == u64::MAX || inside || !is_apart(first) || !is_apart(last) {
            return false;
        }
        self.ranges.insert(first, last);
        self.len += last - first + 1;
        true
    }

    /// How the records of a pool change when an id is added that is not there.
    pub(crate) fn insertion(&self, pool: PoolId, id: u64) -> Vec<Change> {
        let (first, last) = self.range_with(id);
        let range = records::kept(&RemovedSnaps { pool: pool.0, first, last });
        let joined = (last > id).then(|| records::gone(records::removed_snaps_key(pool, id + 1)));
        [range].into_iter().chain(joined).collect()
    }

    /// The first id that is not among them, from 1.
    pub(crate) fn first_missing(&self) -> u64 {
        self.ranges.get(&1).map_or(1, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_kept_grows_with_the_gaps_and_not_with_the_ids() {
        let mut ids = SnapIds::default();
        let alive = [5_000, 70_000];
        let gone = (1..=100_000).filter(|id| !alive.contains(id));
        // From both ends, so that ranges begin, grow and join.
        let (even, odd): (Vec<u64>, Vec<u64>) = gone.partition(|id| id % 2 == 0);
        assert!(even.into_iter().rev().chain(odd).all(|id| ids.insert(id)));
        assert_eq!((ids.ranges.len(), ids.len()), (3, 99_998));
    }

    proptest! {
        #[test]
        fn it_is_a_set(added in proptest::collection::vec(1..40_u64, 0..60)) {
            let (mut ids, mut model) = (SnapIds::default(), BTreeSet::new());
            for id in added {
                prop_assert_eq!(ids.insert(id), model.insert(id));
                prop_assert_eq!(ids.len(), model.len() as u64);
                for id in 0..42 {
                    prop_assert_eq!(ids.contains(id), model.contains(&id));
                }
                prop_assert_eq!(Some(ids.first_missing()), (1..).find(|id| !model.contains(id)));
            }
            let mut again = SnapIds::default();
            for (&first, &last) in ids.ranges.iter().rev() {
                prop_assert!(again.insert_range(first, last));
                prop_assert!(!again.insert_range(first, last), "it is there");
            }
            prop_assert_eq!(again, ids);
        }
    }
}
