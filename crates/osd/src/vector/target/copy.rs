//! The object becomes what another one is.

use errno::Errno;
use store::{At, Name, ObjectId, Stat};

use super::Target;
use crate::error::{Outcome, refuse};
use crate::vector::ops::copy_from::Source;
use crate::vector::snapshots;

/// Keys that are read at a time.
const KEYS_AT_ONCE: usize = 1024;

impl Target<'_> {
    /// Another object as it is stored. ENOENT if there is none, EINVAL if it is this one itself.
    pub(in crate::vector) fn find(&self, source: &Source) -> Outcome<(ObjectId, At, Stat)> {
        let Source { pool, namespace, object, snap_id } = source;
        let id = ObjectId { pool: *pool, namespace: namespace.clone(), name: object.clone() };
        if id == self.id && snap_id.is_none() {
            return refuse(Errno::EINVAL, "an object cannot be copied over itself");
        }
        if let Some(snap_id) = snap_id.filter(|_| id.pool == self.pool.id) {
            snapshots::check_read(self.pool, self.door, snap_id)?;
        }
        let at = match snap_id {
            Some(snap_id) if *snap_id <= self.store.snap_seq(&id)? => {
                self.store.clone_of(&id, *snap_id)?.map(At::Clone)
            }
            _ => Some(At::Head),
        };
        let stat = at.map_or(Ok(None), |at| self.store.stat(&id, at))?;
        match (at, stat) {
            (Some(at), Some(stat)) => Ok((id, at, stat)),
            _ => refuse(Errno::ENOENT, format!("there is no object {id} to copy from")),
        }
    }

    pub(in crate::vector) fn become_copy(&mut self, id: &ObjectId, at: At, stat: &Stat) -> Outcome<()> {
        self.truncate(0)?;
        for (offset, data) in self.store.read(id, at, 0, stat.size)?.iter() {
            self.write(offset, data.clone())?;
        }
        self.truncate(stat.size)?;
        for name in self.latest_xattr_names()? {
            self.remove_xattr(name)?;
        }
        for (name, value) in self.store.xattrs(id, at)? {
            self.set_xattr(name, value)?;
        }
        self.omap_remove_range(&Name::default(), None)?;
        self.set_omap_header(self.store.omap_header(id, at)?)?;
        let mut after = Name::default();
        loop {
            let page = self.store.omap_range(id, at, b"", &after, KEYS_AT_ONCE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = last.clone();
            for (key, value) in page {
                self.omap_set(key, value)?;
            }
        }
    }
}
