//! The one object that a vector works on, while it works on it.

mod change;
mod copy;
mod read;

use std::borrow::Cow;

use bytes::Bytes;
use errno::Errno;
use store::{At, Change, Intervals, ObjectChange, ObjectClone, ObjectId, Stat, Store, Transaction};

use super::overlay::{Patches, Values};
use super::snapshots::{self, View};
use super::{Caller, Evaluated, Fact};
use crate::around::Around;
use crate::error::{Outcome, refuse};
use crate::limits::Limits;
use crate::op::{Door, OpResult, Output, SnapContext, Vector};
use crate::pool::PoolInfo;

/// An object as the ops so far have left it: what is stored, and their changes above it. The first change preserves HEAD for
/// the snapshots of the vector's context; a vector that changes nothing preserves nothing.
#[derive(Clone)]
pub(crate) struct Target<'a> {
    store: &'a dyn Store,
    limits: &'a Limits,
    pool: &'a PoolInfo,
    around: Option<Around<'a>>,
    id: ObjectId,
    context: Cow<'a, SnapContext>,
    door: Door,
    /// HEAD when the vector began.
    before: Option<Stat>,
    /// The object; `None` when there is none.
    stat: Option<Stat>,
    /// The stored state below the changes.
    base: Option<At>,
    /// The stored state when the vector began.
    committed: Option<At>,
    data: Patches,
    xattrs: Values,
    omap: Values,
    /// `None` = as it is stored.
    omap_header: Option<Bytes>,
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
        caller: &Caller<'a>,
        vector: &'a Vector,
    ) -> Outcome<Self> {
        let id = ObjectId { pool: pool.id, namespace: vector.namespace.clone(), name: vector.object.clone() };
        let before = store.stat(&id, At::Head)?;
        let mut target = Self {
            store,
            limits,
            pool,
            context: pool.write_context(&vector.snap_context),
            around: caller.around,
            door: vector.terms.door,
            before,
            stat: before,
            base: before.map(|_| At::Head),
            committed: None,
            data: Patches::default(),
            xattrs: Values::default(),
            omap: Values::default(),
            omap_header: None,
            snap_seq: store.snap_seq(&id)?,
            preserved: None,
            next: None,
            mtime_unix_ns: vector.terms.mtime_unix_ns.unwrap_or(caller.unix_ms.saturating_mul(1_000_000)),
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
        target.committed = target.base;
        Ok(target)
    }

    /// ERESTART for a snap context that is older than the object's.
    pub(super) fn check_snap_order(&self) -> Outcome<()> {
        let (seq, known) = (self.context.seq, self.snap_seq);
        if seq < known {
            return refuse(
                Errno::ERESTART,
                format!("snap context: seq {seq} is older than the object's {known}"),
            );
        }
        Ok(())
    }

    /// Whether an op has changed the object.
    pub(super) fn has_changed(&self) -> bool {
        self.next.is_some()
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

    pub(super) fn door(&self) -> Door {
        self.door
    }

    /// The newest snapshot that the object was written under before the vector; `None` for an object that is not there and has
    /// no clones.
    pub(crate) fn stored_snap_seq(&self) -> Outcome<Option<u64>> {
        let is_known = self.exists() || !self.store.clones(&self.id)?.is_empty();
        Ok(if is_known { Some(self.store.snap_seq(&self.id)?) } else { None })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.limits
    }

    pub(crate) fn around(&self) -> Option<Around<'a>> {
        self.around
    }

    /// In the order in which they came to be.
    pub(crate) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// The pool's next snapshot id, which is allocated with the vector or not at all. EINVAL for a pool with snapshots of its own.
    pub(crate) fn take_snap_id(&mut self) -> Outcome<u64> {
        self.pool.check_self_managed()?;
        let taken = self.facts.iter().filter(|fact| matches!(fact, Fact::SnapIdTaken(_))).count();
        let id = self.pool.snap_seq + taken as u64 + 1;
        self.tell(Fact::SnapIdTaken(id));
        Ok(id)
    }

    /// Makes HEAD what a read at `snap_id` sees.
    pub(super) fn rollback(&mut self, snap_id: u64) -> Outcome<()> {
        snapshots::check_read(self.pool, self.door, snap_id)?;
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
        let head = if self.next.is_some() { self.stat } else { self.before };
        let mut clones = self.store.clones(&self.id)?;
        clones.extend(self.preserved.clone());
        if head.is_none() && clones.is_empty() {
            return refuse(Errno::ENOENT, "there is no such object, and no clone of it");
        }
        Ok(Output::ListSnaps { seq: self.snap_seq, clones, head_bytes: head.map(|head| head.size) })
    }

    /// Everything that happened, as one transaction.
    pub(super) fn finish(mut self, results: Vec<OpResult>) -> Evaluated {
        let number = results.last().map_or(0, |last| last.number.max(0));
        let version = self.version();
        let is_nothing = self.before.is_none() && self.stat.is_none();
        let transaction = self.next.filter(|_| !is_nothing).map(|version| {
            let mtime_unix_ns = self.mtime_unix_ns;
            self.changes.push(ObjectChange::Stamp { version, mtime_unix_ns });
            Transaction { changes: vec![Change::Object { id: self.id, changes: self.changes }] }
        });
        Evaluated { number, results, version, transaction, facts: self.facts }
    }

    /// Preserves HEAD for the snapshots that need it, once.
    fn begin_change(&mut self) -> Outcome<()> {
        if self.next.is_some() {
            return Ok(());
        }
        self.next = Some(self.store.user_version(self.pool.id) + 1);
        if let Some(before) = self.before {
            let snaps = snapshots::to_preserve(self.pool, self.snap_seq, &self.context);
            if let Some(&clone) = snaps.first() {
                self.changes.push(ObjectChange::Clone { clone, snaps: snaps.clone() });
                self.preserved = Some(ObjectClone {
                    id: clone,
                    snaps,
                    size: before.size,
                    overlap: Intervals::up_to(before.size),
                });
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
        (self.data, self.xattrs, self.omap, self.omap_header) = Default::default();
        Ok(())
    }
}
