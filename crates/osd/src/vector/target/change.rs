//! What ops and class methods change of the object, within the limits.

use bytes::Bytes;
use errno::Errno;
use store::{Name, ObjectChange, Stat};

use super::Target;
use crate::error::{Outcome, refuse};
use crate::op::Door;
use crate::vector::Fact;

impl Target<'_> {
    /// The object, created when missing. EDQUOT when there are too many in its pool.
    pub(crate) fn create(&mut self) -> Outcome<()> {
        if self.stat.is_none() {
            let max = self.limits.objects_per_pool_max;
            if self.before.is_none() && self.store.totals(self.pool.id).objects >= max {
                return refuse(Errno::EDQUOT, format!("the pool has objects_per_pool_max = {max} objects"));
            }
            self.begin_change()?;
            self.changes.push(ObjectChange::Create);
            self.stat = Some(Stat::default());
        }
        Ok(())
    }

    /// The object, created when missing. For RADOS that is a change also when it was there.
    pub(in crate::vector) fn touch(&mut self) -> Outcome<()> {
        self.create()?;
        match self.door {
            Door::Grpc => Ok(()),
            Door::Ceph => self.begin_change(),
        }
    }

    /// EFBIG beyond `object_bytes_max`, EDQUOT beyond `bytes_per_pool_max`.
    pub(crate) fn write(&mut self, offset: u64, data: Bytes) -> Outcome<()> {
        let end = offset.saturating_add(data.len() as u64);
        self.check_range(offset, data.len() as u64)?;
        let (stored, max) = (self.store.totals(self.pool.id).bytes, self.limits.bytes_per_pool_max);
        if stored.saturating_add(data.len() as u64) > max {
            let rule = format!("the pool has {stored} bytes, bytes_per_pool_max = {max}");
            return refuse(Errno::EDQUOT, rule);
        }
        let stat = self.change(ObjectChange::Write { offset, data: data.clone() })?;
        stat.size = stat.size.max(end);
        self.data.write(offset, data);
        Ok(())
    }

    /// Within the object.
    pub(in crate::vector) fn zero(&mut self, offset: u64, length: u64) -> Outcome<()> {
        self.change(ObjectChange::Zero { offset, length })?;
        self.data.zero(offset, length);
        Ok(())
    }

    /// EFBIG beyond `object_bytes_max`.
    pub(crate) fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.check_range(size, 0)?;
        self.change(ObjectChange::Truncate { size })?.size = size;
        self.data.truncate(size);
        Ok(())
    }

    pub(crate) fn remove(&mut self) -> Outcome<()> {
        self.stat()?;
        self.begin_change()?;
        self.changes.push(ObjectChange::Remove);
        self.show(None)?;
        if self.before.is_some() && !self.facts.contains(&Fact::ObjectRemoved) {
            self.tell(Fact::ObjectRemoved);
        }
        Ok(())
    }

    pub(crate) fn set_xattr(&mut self, name: impl Into<Name>, value: Bytes) -> Outcome<()> {
        let name = name.into();
        let former = self.latest_xattr(&name)?;
        let change = ObjectChange::SetXattr { name: name.clone(), value: value.clone() };
        self.change_entry(change, &name, former.as_ref(), Some(&value))?;
        self.xattrs.set(name, Some(value));
        Ok(())
    }

    /// An absent one is fine.
    pub(crate) fn remove_xattr(&mut self, name: impl Into<Name>) -> Outcome<()> {
        let name = name.into();
        if let Some(former) = self.latest_xattr(&name)? {
            self.change_entry(ObjectChange::RemoveXattr { name: name.clone() }, &name, Some(&former), None)?;
            self.xattrs.set(name, None);
        }
        Ok(())
    }

    pub(crate) fn omap_set(&mut self, key: impl Into<Name>, value: impl Into<Bytes>) -> Outcome<()> {
        let (key, value) = (key.into(), value.into());
        let former = self.latest_omap_value(&key)?;
        let change = ObjectChange::OmapSet { key: key.clone(), value: value.clone() };
        self.change_entry(change, &key, former.as_ref(), Some(&value))?;
        self.omap.set(key, Some(value));
        Ok(())
    }

    /// An absent one is fine.
    pub(crate) fn omap_remove(&mut self, key: impl Into<Name>) -> Outcome<()> {
        let key = key.into();
        if let Some(former) = self.latest_omap_value(&key)? {
            self.change_entry(ObjectChange::OmapRemove { key: key.clone() }, &key, Some(&former), None)?;
            self.omap.set(key, None);
        }
        Ok(())
    }

    /// Does something to the object, which is created when missing.
    fn change(&mut self, change: ObjectChange) -> Outcome<&mut Stat> {
        self.begin_change()?;
        self.create()?;
        self.changes.push(change);
        Ok(self.stat.get_or_insert_default())
    }

    /// Keys from `from` on, before `to` if that is given.
    pub(in crate::vector) fn omap_remove_range(&mut self, from: &Name, to: Option<&Name>) -> Outcome<()> {
        for key in self.latest_omap_keys(from, to)? {
            self.omap_remove(key)?;
        }
        Ok(())
    }

    /// An empty one is none. EDQUOT when the object grows beyond a limit by it.
    pub(in crate::vector) fn set_omap_header(&mut self, header: Bytes) -> Outcome<()> {
        let former = self.latest_omap_header()?;
        let stat = self.change(ObjectChange::OmapHeader { header: header.clone() })?;
        let before = *stat;
        stat.entry_bytes = stat.entry_bytes + header.len() as u64 - former.len() as u64;
        self.omap_header = Some(header);
        self.check_entries(before)
    }

    /// Changes an xattr or a key. EDQUOT when the object grows beyond a limit by it.
    fn change_entry(
        &mut self,
        change: ObjectChange,
        name: &[u8],
        former: Option<&Bytes>,
        value: Option<&Bytes>,
    ) -> Outcome<()> {
        let stat = self.change(change)?;
        let before = *stat;
        stat.replace_entry(name, former, value);
        self.check_entries(before)
    }

    /// EDQUOT when there are more entries than before, and more than the object may have.
    fn check_entries(&self, before: Stat) -> Outcome<()> {
        let (entries_max, bytes_max) =
            (self.limits.entries_per_object_max, self.limits.entry_bytes_per_object_max);
        let (entries, bytes) = self.stat.map_or((0, 0), |stat| (stat.entries, stat.entry_bytes));
        if entries > before.entries && entries > entries_max {
            let rule = format!(
                "{entries} xattrs and omap keys are more than entries_per_object_max = {entries_max}"
            );
            return refuse(Errno::EDQUOT, rule);
        }
        if bytes > before.entry_bytes && bytes > bytes_max {
            let what = format!("{bytes} bytes of xattrs and omap keys");
            return refuse(
                Errno::EDQUOT,
                format!("{what} are more than entry_bytes_per_object_max = {bytes_max}"),
            );
        }
        Ok(())
    }

    /// EFBIG for a range that reaches beyond `object_bytes_max`; RADOS lets none begin there either, not even an empty one.
    pub(crate) fn check_range(&self, offset: u64, length: u64) -> Outcome<()> {
        let max = self.limits.object_bytes_max;
        let end = offset.saturating_add(length);
        let begins_beyond = self.door == Door::Ceph && offset >= max;
        if end > max || begins_beyond {
            let what = format!("{end} bytes are more than object_bytes_max = {max}");
            let rule = if end > max { what } else { format!("{what} leaves room for") };
            return refuse(Errno::EFBIG, rule);
        }
        Ok(())
    }

    /// The same for a range that is to be zeroed. At our own door it may reach as far as it likes: nothing grows by it.
    pub(in crate::vector) fn check_zeroed(&self, offset: u64, length: u64) -> Outcome<()> {
        match self.door {
            Door::Grpc => Ok(()),
            Door::Ceph => self.check_range(offset, length),
        }
    }
}
