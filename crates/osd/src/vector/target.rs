//! The one object that a vector works on, while it works on it.

use bytes::Bytes;
use errno::Errno;
use store::{
    At, Change, Entry, Extents, Name, ObjectChange, ObjectClone, ObjectId, Stat, Store, Transaction,
};

use super::overlay::{Patches, Values};
use super::snapshots::{self, View};
use super::{Caller, Evaluated, Fact};
use crate::error::{Outcome, refuse};
use crate::limits::Limits;
use crate::op::{Entries, OpResult, Output, SnapContext, Vector};
use crate::pool::PoolInfo;

/// An object as the ops so far have left it: what is stored, and their changes above it. The first change preserves HEAD for
/// the snapshots of the vector's context; a vector that changes nothing preserves nothing.
pub(crate) struct Target<'a> {
    store: &'a dyn Store,
    limits: &'a Limits,
    pool: &'a PoolInfo,
    id: ObjectId,
    context: &'a SnapContext,
    /// HEAD when the vector began.
    before: Option<Stat>,
    /// The object; `None` when there is none.
    stat: Option<Stat>,
    /// The stored state below the changes.
    base: Option<At>,
    data: Patches,
    xattrs: Values,
    omap: Values,
    snap_seq: u64,
    /// The clone that refers to HEAD as it was before.
    preserved: Option<ObjectClone>,
    /// The version that the vector gives, once it has changed something.
    next: Option<u64>,
    mtime_unix_ns: u64,
    changes: Vec<ObjectChange>,
    facts: Vec<Fact>,
}

impl<'a> Target<'a> {
    pub(super) fn load(
        store: &'a dyn Store,
        limits: &'a Limits,
        pool: &'a PoolInfo,
        caller: &Caller<'_>,
        vector: &'a Vector,
    ) -> Outcome<Self> {
        let id = ObjectId { pool: pool.id, namespace: vector.namespace.clone(), name: vector.object.clone() };
        let before = store.stat(&id, At::Head)?;
        let mut target = Self {
            store,
            limits,
            pool,
            context: &vector.snap_context,
            before,
            stat: before,
            base: before.map(|_| At::Head),
            data: Patches::default(),
            xattrs: Values::default(),
            omap: Values::default(),
            snap_seq: store.snap_seq(&id)?,
            preserved: None,
            next: None,
            mtime_unix_ns: caller.unix_ms.saturating_mul(1_000_000),
            changes: Vec::new(),
            facts: Vec::new(),
            id,
        };
        if let Some(snap_id) = vector.snap_id {
            match target.view(snap_id)? {
                View::Head => {}
                View::Clone(clone) => target.show(Some(At::Clone(clone)))?,
                View::Absent => target.show(None)?,
            }
        }
        Ok(target)
    }

    /// The object; ENOENT if there is none.
    pub(crate) fn stat(&self) -> Outcome<Stat> {
        match self.stat {
            Some(stat) => Ok(self.next.map_or(stat, |version| Stat {
                version,
                mtime_unix_ns: self.mtime_unix_ns,
                ..stat
            })),
            None => refuse(Errno::ENOENT, "there is no such object"),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.stat.is_some()
    }

    /// The version that the object has if the vector ends here.
    pub(crate) fn version(&self) -> u64 {
        self.stat.map_or(0, |stat| self.next.unwrap_or(stat.version))
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.limits
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// The data of a range.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Outcome<Extents> {
        self.data.read(offset, length, |offset, length| match self.base {
            Some(base) => Ok(self.store.read(&self.id, base, offset, length)?),
            None => Ok(Extents::new()),
        })
    }

    pub(crate) fn xattr(&self, name: &[u8]) -> Outcome<Option<Bytes>> {
        match (self.xattrs.get(name), self.base) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(base)) => Ok(self.store.xattr(&self.id, base, name)?),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn xattrs(&self) -> Outcome<Entries> {
        let stored = self.base.map_or(Ok(Vec::new()), |base| self.store.xattrs(&self.id, base))?;
        Ok(self.xattrs.over(stored, b"", b""))
    }

    pub(crate) fn omap_value(&self, key: &[u8]) -> Outcome<Option<Bytes>> {
        match (self.omap.get(key), self.base) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(base)) => Ok(self.store.omap_value(&self.id, base, key)?),
            (None, None) => Ok(None),
        }
    }

    /// Keys that start with `prefix` and are greater than `after` (empty = from the start), in byte order, at most `max`, and
    /// whether there are more.
    pub(crate) fn omap_page(&self, prefix: &[u8], after: &[u8], max: usize) -> Outcome<(Vec<Entry>, bool)> {
        // Each change hides one stored key at most.
        let enough = max.saturating_add(self.omap.len()).saturating_add(1);
        let stored = match self.base {
            Some(base) => self.store.omap_range(&self.id, base, prefix, after, enough)?,
            None => Vec::new(),
        };
        let mut page: Vec<Entry> = self.omap.over(stored, prefix, after).into_iter().collect();
        let more = page.len() > max;
        page.truncate(max);
        Ok((page, more))
    }

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

    /// EFBIG beyond `object_bytes_max`, EDQUOT beyond `bytes_per_pool_max`.
    pub(crate) fn write(&mut self, offset: u64, data: Bytes) -> Outcome<()> {
        let end = offset.saturating_add(data.len() as u64);
        self.check_size(end)?;
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
    pub(super) fn zero(&mut self, offset: u64, length: u64) -> Outcome<()> {
        self.change(ObjectChange::Zero { offset, length })?;
        self.data.zero(offset, length);
        Ok(())
    }

    /// EFBIG beyond `object_bytes_max`.
    pub(crate) fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.check_size(size)?;
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
        let former = self.xattr(&name)?;
        let change = ObjectChange::SetXattr { name: name.clone(), value: value.clone() };
        self.change_entry(change, &name, former.as_ref(), Some(&value))?;
        self.xattrs.set(name, Some(value));
        Ok(())
    }

    pub(crate) fn remove_xattr(&mut self, name: impl Into<Name>) -> Outcome<()> {
        let name = name.into();
        let former = self.xattr(&name)?;
        self.change_entry(ObjectChange::RemoveXattr { name: name.clone() }, &name, former.as_ref(), None)?;
        self.xattrs.set(name, None);
        Ok(())
    }

    pub(crate) fn omap_set(&mut self, key: impl Into<Name>, value: impl Into<Bytes>) -> Outcome<()> {
        let (key, value) = (key.into(), value.into());
        let former = self.omap_value(&key)?;
        let change = ObjectChange::OmapSet { key: key.clone(), value: value.clone() };
        self.change_entry(change, &key, former.as_ref(), Some(&value))?;
        self.omap.set(key, Some(value));
        Ok(())
    }

    pub(crate) fn omap_remove(&mut self, key: impl Into<Name>) -> Outcome<()> {
        let key = key.into();
        let former = self.omap_value(&key)?;
        self.change_entry(ObjectChange::OmapRemove { key: key.clone() }, &key, former.as_ref(), None)?;
        self.omap.set(key, None);
        Ok(())
    }

    /// Makes HEAD what a read at `snap_id` sees.
    pub(super) fn rollback(&mut self, snap_id: u64) -> Outcome<()> {
        self.pool.check_snap_id(snap_id)?;
        match self.view(snap_id)? {
            View::Clone(clone) => {
                self.begin_change()?;
                self.changes.push(ObjectChange::Restore { clone });
                let is_before = self.preserved.as_ref().is_some_and(|preserved| preserved.id == clone);
                self.show(Some(if is_before { At::Head } else { At::Clone(clone) }))
            }
            View::Absent if self.exists() => self.remove(),
            View::Absent | View::Head => Ok(()),
        }
    }

    pub(super) fn list_snaps(&self) -> Outcome<Output> {
        let head_exists = if self.next.is_some() { self.exists() } else { self.before.is_some() };
        let mut clones = self.store.clones(&self.id)?;
        clones.extend(self.preserved.clone());
        if !head_exists && clones.is_empty() {
            return refuse(Errno::ENOENT, "there is no such object, and no clone of it");
        }
        Ok(Output::ListSnaps { seq: self.snap_seq, clones, head_exists })
    }

    /// Everything that happened, as one transaction.
    pub(super) fn finish(mut self, results: Vec<OpResult>) -> Evaluated {
        let version = self.version();
        let is_nothing = self.before.is_none() && self.stat.is_none();
        let transaction = self.next.filter(|_| !is_nothing).map(|version| {
            let mtime_unix_ns = self.mtime_unix_ns;
            self.changes.push(ObjectChange::Stamp { version, mtime_unix_ns });
            Transaction { changes: vec![Change::Object { id: self.id, changes: self.changes }] }
        });
        Evaluated { results, version, transaction, facts: self.facts }
    }

    /// Does something to the object, which is created when missing.
    fn change(&mut self, change: ObjectChange) -> Outcome<&mut Stat> {
        self.begin_change()?;
        self.create()?;
        self.changes.push(change);
        Ok(self.stat.get_or_insert_default())
    }

    /// Changes an xattr or a key. EDQUOT when the object grows beyond a limit by it.
    fn change_entry(
        &mut self,
        change: ObjectChange,
        name: &[u8],
        former: Option<&Bytes>,
        value: Option<&Bytes>,
    ) -> Outcome<()> {
        let (entries_max, bytes_max) =
            (self.limits.entries_per_object_max, self.limits.entry_bytes_per_object_max);
        let stat = self.change(change)?;
        let before = *stat;
        stat.replace_entry(name, former, value);
        let (entries, bytes) = (stat.entries, stat.entry_bytes);
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

    /// Preserves HEAD for the snapshots that need it, once.
    fn begin_change(&mut self) -> Outcome<()> {
        if self.next.is_some() {
            return Ok(());
        }
        self.next = Some(self.store.user_version(self.pool.id) + 1);
        if let Some(before) = self.before {
            let snaps = snapshots::to_preserve(self.pool, self.snap_seq, self.context);
            if let Some(&clone) = snaps.first() {
                self.changes.push(ObjectChange::Clone { clone, snaps: snaps.clone() });
                self.preserved = Some(ObjectClone { id: clone, snaps, size: before.size });
            }
        }
        if self.context.seq > self.snap_seq {
            self.snap_seq = self.context.seq;
            self.changes.push(ObjectChange::SnapSeq { seq: self.snap_seq });
        }
        Ok(())
    }

    /// Where a read at a snapshot finds the object.
    fn view(&self, snap_id: u64) -> Outcome<View> {
        if snap_id > self.snap_seq {
            return Ok(View::Head);
        }
        if let Some(preserved) = self.preserved.as_ref().filter(|clone| clone.snaps.contains(&snap_id)) {
            return Ok(View::Clone(preserved.id));
        }
        Ok(self.store.clone_of(&self.id, snap_id)?.map_or(View::Absent, View::Clone))
    }

    /// The object is a stored state, or nothing, without any change above it.
    fn show(&mut self, base: Option<At>) -> Outcome<()> {
        self.base = base;
        self.stat = match base {
            Some(base) => self.store.stat(&self.id, base)?,
            None => None,
        };
        (self.data, self.xattrs, self.omap) = Default::default();
        Ok(())
    }

    /// EFBIG beyond `object_bytes_max`.
    pub(super) fn check_size(&self, size: u64) -> Outcome<()> {
        let max = self.limits.object_bytes_max;
        if size > max {
            return refuse(Errno::EFBIG, format!("{size} bytes are more than object_bytes_max = {max}"));
        }
        Ok(())
    }
}
