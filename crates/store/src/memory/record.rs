//! Everything under one name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use crate::{At, Data, Intervals, Name, ObjectChange, Stat};

/// HEAD and what is preserved of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) head: Option<Object>,
    preserved: Option<Box<Preserved>>,
}

/// One state. Cloning shares everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) size: u64,
    version: u64,
    mtime_unix_ns: u64,
    pub(super) data: Data,
    attributes: Option<Arc<Attributes>>,
}

/// Named values, in persistent maps: a change of an object with many keys that a clone shares copies a path, not the map.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    pub(super) xattrs: Values,
    pub(super) omap: Values,
    /// Of `omap`.
    pub(super) header: Bytes,
    /// Of both maps and the header; here, because most objects have neither.
    entries: u64,
    entry_bytes: u64,
}

type Values = OrdMap<Name, Bytes>;

#[derive(Clone, Debug, Default)]
pub(super) struct Preserved {
    pub(super) seq: u64,
    /// Each in a place of its own: most objects have few, and a node of the map has room for eleven.
    pub(super) clones: BTreeMap<u64, Box<Clone>>,
}

#[derive(Clone, Debug)]
pub(super) struct Clone {
    /// Descending.
    pub(super) snaps: Vec<u64>,
    /// With the next newer clone, or HEAD.
    pub(super) overlap: Intervals,
    pub(super) object: Object,
}

const HEAD_EXISTS: &str = "a transaction changes only a HEAD that exists";

impl Record {
    pub(super) fn state(&self, at: At) -> Option<&Object> {
        match at {
            At::Head => self.head.as_ref(),
            At::Clone(clone) => self.preserved()?.clones.get(&clone).map(|clone| &clone.object),
        }
    }

    pub(super) fn preserved(&self) -> Option<&Preserved> {
        self.preserved.as_deref()
    }

    /// Nothing is left under the name: what is known of snapshots goes with HEAD and the last clone.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none() && self.preserved().is_none_or(|preserved| preserved.clones.is_empty())
    }

    /// Bytes of the clone that preserves this snapshot and no other.
    pub(super) fn bytes_only_for(&self, snap: u64) -> u64 {
        let clone = self.preserved().and_then(|preserved| preserved.clones.get(&preserved.clone_of(snap)?));
        clone.filter(|clone| clone.snaps == [snap]).map_or(0, |clone| clone.object.data.allocated())
    }

    /// Bytes of HEAD.
    pub(super) fn allocated(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.data.allocated())
    }

    pub(super) fn apply(&mut self, change: ObjectChange) {
        match change {
            ObjectChange::Create => drop(self.head.get_or_insert_default()),
            ObjectChange::Remove => {
                self.head = None;
                self.overwritten(0..u64::MAX);
            }
            ObjectChange::Write { offset, data } => {
                let head = self.head();
                let end = offset + data.len() as u64;
                head.size = head.size.max(end);
                head.data.write(offset, &data);
                self.overwritten(offset..end);
            }
            ObjectChange::Zero { offset, length } => {
                self.head().data.zero(offset, length);
                self.overwritten(offset..offset.saturating_add(length));
            }
            ObjectChange::Truncate { size } => {
                self.overwritten(size..u64::MAX);
                let head = self.head();
                if size < head.size {
                    head.data.truncate(size);
                }
                head.size = size;
            }
            ObjectChange::SetXattr { name, value } => {
                self.head().set(|attributes| &mut attributes.xattrs, &name, Some(&value));
            }
            ObjectChange::RemoveXattr { name } => {
                self.head().set(|attributes| &mut attributes.xattrs, &name, None);
            }
            ObjectChange::OmapSet { key, value } => {
                self.head().set(|attributes| &mut attributes.omap, &key, Some(&value));
            }
            ObjectChange::OmapRemove { key } => {
                self.head().set(|attributes| &mut attributes.omap, &key, None);
            }
            ObjectChange::OmapHeader { header } => self.head().set_header(&header),
            ObjectChange::Clone { clone, snaps } => {
                let object = self.head().clone();
                let overlap = Intervals::up_to(object.size);
                let clones = &mut self.preserved.get_or_insert_default().clones;
                let replaced = clones.insert(clone, Box::new(Clone { snaps, overlap, object }));
                assert!(replaced.is_none(), "clone ids of an object are never used twice");
            }
            ObjectChange::Restore { clone } => {
                let state = self.state(At::Clone(clone)).expect("a transaction restores a clone that exists");
                let head = state.clone();
                if let Some(preserved) = self.preserved.as_deref_mut() {
                    preserved.restored(clone);
                }
                self.head = Some(head);
            }
            ObjectChange::SnapSeq { seq } => self.preserved.get_or_insert_default().seq = seq,
            ObjectChange::DropSnap { snap } => self.drop_snap(snap),
            ObjectChange::Stamp { version, mtime_unix_ns } => {
                if let Some(head) = &mut self.head {
                    (head.version, head.mtime_unix_ns) = (version, mtime_unix_ns);
                }
            }
        }
    }

    fn head(&mut self) -> &mut Object {
        self.head.as_mut().expect(HEAD_EXISTS)
    }

    /// Bytes of HEAD are no longer those of the newest clone.
    fn overwritten(&mut self, bytes: Range<u64>) {
        let newest =
            self.preserved.as_deref_mut().and_then(|preserved| preserved.clones.values_mut().next_back());
        if let Some(newest) = newest {
            newest.overlap.subtract(bytes);
        }
    }

    fn drop_snap(&mut self, snap: u64) {
        let Some(preserved) = self.preserved.as_deref_mut() else { return };
        let Some(id) = preserved.clone_of(snap) else { return };
        let clone = preserved.clones.get_mut(&id).expect("it was found");
        clone.snaps.retain(|&other| other != snap);
        if clone.snaps.is_empty() {
            let gone = preserved.clones.remove(&id).expect("it was found");
            if let Some((_, older)) = preserved.clones.range_mut(..id).next_back() {
                older.overlap.intersect(&gone.overlap);
            }
        }
    }
}

impl Preserved {
    /// HEAD is what this clone is: it shares with the newest one what none in between has written.
    fn restored(&mut self, clone: u64) {
        let mut shared = Intervals::up_to(u64::MAX);
        for (_, between) in self.clones.range(clone..) {
            shared.intersect(&between.overlap);
        }
        if let Some(newest) = self.clones.values_mut().next_back() {
            newest.overlap.intersect(&shared);
        }
    }

    /// The clone that preserves a snapshot: the first one that is not older, if it still does.
    pub(super) fn clone_of(&self, snap: u64) -> Option<u64> {
        let (&id, clone) = self.clones.range(snap..).next()?;
        clone.snaps.contains(&snap).then_some(id)
    }
}

impl Object {
    pub(super) fn attributes(&self) -> Option<&Attributes> {
        self.attributes.as_deref()
    }

    pub(super) fn stat(&self) -> Stat {
        let Self { size, version, mtime_unix_ns, .. } = *self;
        let (entries, entry_bytes) =
            self.attributes().map_or((0, 0), |kept| (kept.entries, kept.entry_bytes));
        Stat { size, version, mtime_unix_ns, entries, entry_bytes }
    }

    /// Sets or removes an entry of one of the maps. What a clone shares is copied, which is two pointers.
    fn set(&mut self, map: fn(&mut Attributes) -> &mut Values, name: &Name, value: Option<&Bytes>) {
        let mut stat = self.stat();
        let attributes = Arc::make_mut(self.attributes.get_or_insert_default());
        let former = match value {
            Some(value) => map(attributes).insert(name.clone(), Bytes::copy_from_slice(value)),
            None => map(attributes).remove(name),
        };
        stat.replace_entry(name, former.as_ref(), value);
        (attributes.entries, attributes.entry_bytes) = (stat.entries, stat.entry_bytes);
    }

    fn set_header(&mut self, header: &Bytes) {
        let attributes = Arc::make_mut(self.attributes.get_or_insert_default());
        attributes.entry_bytes =
            attributes.entry_bytes + header.len() as u64 - attributes.header.len() as u64;
        attributes.header = Bytes::copy_from_slice(header);
    }
}
