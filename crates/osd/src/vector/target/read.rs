//! What ops and class methods see of the object.

use bytes::Bytes;
use errno::Errno;
use store::{At, Entry, Extents, Stored};

use super::Target;
use crate::error::{Outcome, refuse};
use crate::op::{Door, Entries};
use crate::vector::overlay::Values;

static NO_CHANGES: Values = Values::NONE;

impl Target<'_> {
    /// The data of a range. ENOENT for Ceph's clients when there was no object before the vector.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Outcome<Extents> {
        let stored = |base: Option<At>, offset, length| match base {
            Some(base) => self.store.read(&self.id, base, offset, length),
            None => Ok(Extents::new()),
        };
        match self.door {
            Door::Grpc => {
                Ok(self.data.read(offset, length, |offset, length| stored(self.base, offset, length))?)
            }
            Door::Ceph if self.committed.is_none() && length > 0 => {
                refuse(Errno::ENOENT, "there was no such object before the vector")
            }
            Door::Ceph => Ok(stored(self.committed, offset, length)?),
        }
    }

    pub(crate) fn xattr(&self, name: &[u8]) -> Outcome<Option<Bytes>> {
        let (changes, base) = self.seen(&self.xattrs);
        self.value(changes, name, || base.map(|base| self.store.xattr(&self.id, base, name)))
    }

    /// As the ops so far have left it, whatever the door.
    pub(super) fn latest_xattr(&self, name: &[u8]) -> Outcome<Option<Bytes>> {
        self.value(&self.xattrs, name, || self.base.map(|base| self.store.xattr(&self.id, base, name)))
    }

    pub(crate) fn xattrs(&self) -> Outcome<Entries> {
        let (changes, base) = self.seen(&self.xattrs);
        let stored = base.map_or(Ok(Vec::new()), |base| self.store.xattrs(&self.id, base))?;
        Ok(changes.over(stored, b"", b""))
    }

    pub(crate) fn omap_value(&self, key: &[u8]) -> Outcome<Option<Bytes>> {
        let (changes, base) = self.seen(&self.omap);
        self.value(changes, key, || base.map(|base| self.store.omap_value(&self.id, base, key)))
    }

    /// As the ops so far have left it, whatever the door.
    pub(super) fn latest_omap_value(&self, key: &[u8]) -> Outcome<Option<Bytes>> {
        self.value(&self.omap, key, || self.base.map(|base| self.store.omap_value(&self.id, base, key)))
    }

    /// Keys that start with `prefix` and are greater than `after` (empty = from the start), in byte order, at most `max`, and
    /// whether there are more.
    pub(crate) fn omap_page(&self, prefix: &[u8], after: &[u8], max: usize) -> Outcome<(Vec<Entry>, bool)> {
        let (changes, base) = self.seen(&self.omap);
        // Each change hides one stored key at most.
        let enough = max.saturating_add(changes.len()).saturating_add(1);
        let stored = match base {
            Some(base) => self.store.omap_range(&self.id, base, prefix, after, enough)?,
            None => Vec::new(),
        };
        let mut page: Vec<Entry> = changes.over(stored, prefix, after).into_iter().collect();
        let more = page.len() > max;
        page.truncate(max);
        Ok((page, more))
    }

    /// The changes that are seen, and the stored state below them.
    fn seen<'v>(&self, changes: &'v Values) -> (&'v Values, Option<At>) {
        match self.door {
            Door::Grpc => (changes, self.base),
            Door::Ceph => (&NO_CHANGES, self.committed),
        }
    }

    fn value(
        &self,
        changes: &Values,
        name: &[u8],
        stored: impl FnOnce() -> Option<Stored<Option<Bytes>>>,
    ) -> Outcome<Option<Bytes>> {
        match changes.get(name) {
            Some(value) => Ok(value.clone()),
            None => Ok(stored().unwrap_or(Ok(None))?),
        }
    }
}
