//! What ops and class methods see of the object.

use bytes::Bytes;
use errno::Errno;
use store::{At, Entry, Extents, Name, Stored};

use super::Target;
use crate::error::{Outcome, refuse};
use crate::op::{Door, Entries};
use crate::vector::overlay::Values;

/// Keys that are read at a time.
const KEYS_AT_ONCE: usize = 1024;

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

    pub(in crate::vector) fn omap_header(&self) -> Outcome<Bytes> {
        match self.door {
            Door::Grpc => self.latest_omap_header(),
            Door::Ceph => self.stored_omap_header(self.committed),
        }
    }

    pub(super) fn latest_omap_header(&self) -> Outcome<Bytes> {
        match &self.omap_header {
            Some(header) => Ok(header.clone()),
            None => self.stored_omap_header(self.base),
        }
    }

    fn stored_omap_header(&self, base: Option<At>) -> Outcome<Bytes> {
        Ok(base.map_or(Ok(Bytes::new()), |base| self.store.omap_header(&self.id, base))?)
    }

    /// Every xattr that is there; some may be gone already.
    pub(super) fn latest_xattr_names(&self) -> Outcome<Vec<Name>> {
        let stored = self.base.map_or(Ok(Vec::new()), |base| self.store.xattrs(&self.id, base))?;
        let stored = stored.into_iter().map(|(name, _)| name);
        Ok(stored.chain(self.xattrs.names_from(b"").cloned()).collect())
    }

    /// Every key from `from` on, before `to` if that is given; some may not be there.
    pub(super) fn latest_omap_keys(&self, from: &Name, to: Option<&Name>) -> Outcome<Vec<Name>> {
        let is_before = |key: &Name| to.is_none_or(|to| key < to);
        let changed = self.omap.names_from(from).filter(|key| is_before(key));
        let mut keys: Vec<Name> = [from].into_iter().chain(changed).cloned().collect();
        let Some(base) = self.base else { return Ok(keys) };
        let mut after = from.clone();
        loop {
            let page = self.store.omap_range(&self.id, base, b"", &after, KEYS_AT_ONCE)?;
            let Some((last, _)) = page.last() else { return Ok(keys) };
            let is_last = !is_before(last);
            after = last.clone();
            keys.extend(page.into_iter().map(|(key, _)| key).filter(is_before));
            if is_last {
                return Ok(keys);
            }
        }
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
