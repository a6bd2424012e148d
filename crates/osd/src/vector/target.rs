//! The one object that a vector works on, while it works on it.

use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use store::{Attributes, Change, Object, ObjectId, SnapSet, Store, Transaction};

use super::snapshots::{self, View};
use super::{Evaluated, Fact};
use crate::error::{Outcome, refuse};
use crate::limits::{Limits, kept};
use crate::op::{ObjectClone, OpResult, SnapContext, Vector};
use crate::pool::PoolInfo;

/// An object as the ops so far have left it. The first change preserves HEAD for the snapshots of the vector's context;
/// a vector that changes nothing preserves nothing.
pub(crate) struct Target<'a> {
    store: &'a dyn Store,
    limits: &'a Limits,
    pool: &'a PoolInfo,
    id: ObjectId,
    context: SnapContext,
    /// HEAD when the vector began.
    before: Option<Arc<Object>>,
    /// HEAD, or for a read at a snapshot what it sees.
    state: Option<Object>,
    snap_set: SnapSet,
    /// The clone that refers to `before`.
    preserved: Option<u64>,
    is_changed: bool,
    facts: Vec<Fact>,
}

impl<'a> Target<'a> {
    pub(super) fn load(
        store: &'a dyn Store,
        limits: &'a Limits,
        pool: &'a PoolInfo,
        vector: &Vector,
    ) -> Self {
        let id = ObjectId { pool: pool.id, name: vector.object.clone() };
        let snap_set = store.snap_set(&id).map(|set| set.as_ref().clone()).unwrap_or_default();
        let before = store.object(&id, None);
        let mut target = Self {
            store,
            limits,
            pool,
            id,
            context: snapshots::existing(pool, &vector.snap_context),
            state: before.as_deref().cloned(),
            before,
            snap_set,
            preserved: None,
            is_changed: false,
            facts: Vec::new(),
        };
        if let Some(snap_id) = vector.snap_id {
            target.state = target.state_at(snap_id);
        }
        target
    }

    /// The object; ENOENT if there is none.
    pub(crate) fn object(&self) -> Outcome<&Object> {
        match &self.state {
            Some(object) => Ok(object),
            None => refuse(Errno::ENOENT, "there is no such object"),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.state.is_some()
    }

    /// The version that the object has if the vector ends here.
    pub(crate) fn version(&self) -> u64 {
        match &self.state {
            None => 0,
            Some(_) if self.is_changed => self.next_version(),
            Some(object) => object.version,
        }
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// The object, to be changed; created when missing.
    pub(crate) fn object_mut(&mut self) -> &mut Object {
        self.begin_change();
        self.state.get_or_insert_default()
    }

    /// EFBIG beyond `object_bytes_max`.
    pub(crate) fn write(&mut self, offset: u64, data: Bytes) -> Outcome<()> {
        let end = offset.saturating_add(data.len() as u64);
        self.check_size(end)?;
        let object = self.object_mut();
        object.size = object.size.max(end);
        Arc::make_mut(&mut object.data).write(offset, data);
        Ok(())
    }

    /// EFBIG beyond `object_bytes_max`.
    pub(crate) fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.check_size(size)?;
        let object = self.object_mut();
        if size < object.size {
            Arc::make_mut(&mut object.data).truncate(size);
        }
        object.size = size;
        Ok(())
    }

    pub(crate) fn remove(&mut self) -> Outcome<()> {
        self.object()?;
        self.begin_change();
        self.state = None;
        if self.before.is_some() && !self.facts.contains(&Fact::ObjectRemoved) {
            self.tell(Fact::ObjectRemoved);
        }
        Ok(())
    }

    pub(crate) fn set_xattr(&mut self, name: &str, value: Bytes) {
        Arc::make_mut(&mut self.object_mut().xattrs).insert(name.to_owned(), kept(value));
    }

    pub(crate) fn remove_xattr(&mut self, name: &str) {
        Arc::make_mut(&mut self.object_mut().xattrs).remove(name);
    }

    pub(crate) fn omap_mut(&mut self) -> &mut Attributes {
        Arc::make_mut(&mut self.object_mut().omap)
    }

    /// Makes HEAD what a read at `snap_id` sees.
    pub(super) fn rollback(&mut self, snap_id: u64) -> Outcome<()> {
        self.pool.check_snap_id(snap_id)?;
        if snapshots::view(&self.snap_set, snap_id) == View::Head {
            return Ok(());
        }
        match self.state_at(snap_id) {
            Some(state) => *self.object_mut() = state,
            None if self.exists() => self.remove()?,
            None => {}
        }
        Ok(())
    }

    pub(super) fn list_snaps(&self) -> Outcome<OpResult> {
        let head_exists = if self.is_changed { self.exists() } else { self.before.is_some() };
        if !head_exists && self.snap_set.clones.is_empty() {
            return refuse(Errno::ENOENT, "there is no such object, and no clone of it");
        }
        let clones = self.snap_set.clones.iter().filter_map(|(&id, snaps)| {
            let size = self.clone_of(id)?.size;
            Some(ObjectClone { id, snaps: snaps.clone(), size })
        });
        Ok(OpResult::ListSnaps { seq: self.snap_set.seq, clones: clones.collect(), head_exists })
    }

    /// Everything that happened, as one transaction.
    pub(super) fn finish(mut self, results: Vec<OpResult>) -> Evaluated {
        let version = self.version();
        let transaction = self.transaction(version);
        Evaluated { results, version, transaction, facts: self.facts }
    }

    fn transaction(&mut self, version: u64) -> Option<Transaction> {
        let id = &self.id;
        let mut changes = Vec::new();
        if let Some(clone) = self.preserved {
            changes.push(Change::CloneHead { id: id.clone(), clone });
        }
        match self.state.take() {
            _ if !self.is_changed => return None,
            Some(object) => {
                let object = Object { version, ..object };
                changes.push(Change::PutHead { id: id.clone(), object });
            }
            None if self.before.is_some() => changes.push(Change::RemoveHead { id: id.clone() }),
            None => return None,
        }
        let is_needed = version > 0 || !self.snap_set.clones.is_empty();
        let snap_set = is_needed.then_some(&self.snap_set).filter(|&set| *set != SnapSet::default());
        if self.store.snap_set(id).as_deref() != snap_set {
            changes.push(Change::PutSnapSet { id: id.clone(), snap_set: snap_set.cloned() });
        }
        Some(Transaction { changes })
    }

    /// Preserves HEAD for the snapshots that need it, once.
    fn begin_change(&mut self) {
        if self.is_changed {
            return;
        }
        self.is_changed = true;
        let snaps = snapshots::to_preserve(&self.snap_set, &self.context);
        if let (Some(_), Some(&clone)) = (&self.before, snaps.first()) {
            self.snap_set.clones.insert(clone, snaps);
            self.preserved = Some(clone);
        }
        self.snap_set.seq = self.snap_set.seq.max(self.context.seq);
    }

    fn state_at(&self, snap_id: u64) -> Option<Object> {
        match snapshots::view(&self.snap_set, snap_id) {
            View::Head => self.state.clone(),
            View::Clone(clone) => self.clone_of(clone).as_deref().cloned(),
            View::Absent => None,
        }
    }

    fn clone_of(&self, clone: u64) -> Option<Arc<Object>> {
        if self.preserved == Some(clone) {
            self.before.clone()
        } else {
            self.store.object(&self.id, Some(clone))
        }
    }

    fn next_version(&self) -> u64 {
        self.store.newest().0 + 1
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
