//! What the ops so far have changed of an object, above what is stored.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

use bytes::Bytes;
use store::{Entry, Extents, Name};

/// Bytes that were written, and holes that were made. Everything else is as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches(BTreeMap<u64, Patch>);

#[derive(Clone, Debug)]
struct Patch {
    length: u64,
    /// `None` = a hole.
    data: Option<Bytes>,
}

impl Patch {
    fn slice(&self, from: u64, to: u64) -> Self {
        let data = self.data.as_ref().map(|data| data.slice(from as usize..to as usize));
        Self { length: to - from, data }
    }
}

impl Patches {
    pub(super) fn write(&mut self, offset: u64, data: Bytes) {
        let length = data.len() as u64;
        self.put(offset, Patch { length, data: Some(data) });
    }

    pub(super) fn zero(&mut self, offset: u64, length: u64) {
        self.put(offset, Patch { length, data: None });
    }

    pub(super) fn truncate(&mut self, size: u64) {
        self.zero(size, u64::MAX - size);
    }

    fn put(&mut self, offset: u64, patch: Patch) {
        if patch.length == 0 {
            return;
        }
        let end = offset + patch.length;
        for (start, cut) in self.overlapping(offset, end).collect::<Vec<_>>() {
            self.0.remove(&start);
            if start < offset {
                self.0.insert(start, cut.slice(0, offset - start));
            }
            if start + cut.length > end {
                self.0.insert(end, cut.slice(end - start, cut.length));
            }
        }
        self.0.insert(offset, patch);
    }

    fn overlapping(&self, offset: u64, end: u64) -> impl Iterator<Item = (u64, Patch)> {
        let before = self.0.range(..offset).next_back();
        let before = before.filter(|(start, patch)| *start + patch.length > offset);
        let overlapping = before.into_iter().chain(self.0.range(offset..end));
        overlapping.map(|(&start, patch)| (start, patch.clone()))
    }

    /// The data of a range; `stored` tells what is below where nothing was changed.
    pub(super) fn read<E>(
        &self,
        offset: u64,
        length: u64,
        stored: impl Fn(u64, u64) -> Result<Extents, E>,
    ) -> Result<Extents, E> {
        if self.0.is_empty() {
            return stored(offset, length);
        }
        let end = offset.saturating_add(length);
        let (mut found, mut at) = (Extents::new(), offset);
        for (start, patch) in self.overlapping(offset, end) {
            let (from, to) = (start.max(offset), (start + patch.length).min(end));
            if at < from {
                found.append(stored(at, from - at)?);
            }
            if let Some(data) = patch.slice(from - start, to - start).data {
                found.push(from, data);
            }
            at = to;
        }
        if at < end {
            found.append(stored(at, end - at)?);
        }
        Ok(found)
    }
}

/// Values that were set, and names that were removed (`None`). Everything else is as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<Name, Option<Bytes>>);

impl Values {
    pub(super) const NONE: Self = Self(BTreeMap::new());

    pub(super) fn set(&mut self, name: Name, value: Option<Bytes>) {
        self.0.insert(name, value);
    }

    /// What was done to it; `None` = nothing.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Option<Bytes>> {
        self.0.get(name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Stored entries, those of the same range that were changed put in their place.
    pub(super) fn over(&self, stored: Vec<Entry>, prefix: &[u8], after: &[u8]) -> BTreeMap<Name, Bytes> {
        let mut entries: BTreeMap<Name, Bytes> = stored.into_iter().collect();
        for (name, value) in self.range(after).filter(|(name, _)| name.starts_with(prefix)) {
            match value {
                Some(value) => drop(entries.insert(name.clone(), value.clone())),
                None => drop(entries.remove(name)),
            }
        }
        entries
    }

    /// Names that were changed, from one on.
    pub(super) fn names_from<'v>(&'v self, from: &[u8]) -> impl Iterator<Item = &'v Name> {
        self.0.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).map(|(name, _)| name)
    }

    fn range(&self, after: &[u8]) -> Range<'_, Name, Option<Bytes>> {
        let start = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        self.0.range::<[u8], _>((start, Bound::Unbounded))
    }
}
