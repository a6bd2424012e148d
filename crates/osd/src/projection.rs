//! What decides how an OSD goes on, without what only counts: for whoever searches its states.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use store::{At, ObjectId, Store};

use crate::osd::Osd;

impl<S: Store> Osd<S> {
    /// Feeds everything to `into` that later answers depend on, for an OSD whose store is durable at once: sessions with their
    /// stored replies, fences, watches and notifies that wait; [`Osd::project_objects`] has the rest.
    ///
    /// Left out is what only grows and what only tells the time: the numbers that the next stream, notify, transaction and event
    /// will get, versions of objects, the event log, the agenda and the moments in it. Two OSDs with equal projections answer alike
    /// until time passes, up to such numbers. Stored replies count only `with_replies`, where tids may be sent again.
    ///
    /// The number of a notify is told apart from others by the highest bits, 01: a hasher may count from another one.
    pub fn project(&self, into: &mut impl Hasher, with_replies: bool) {
        for (gid, session) in &self.sessions {
            (gid, session.op_streams > 0, session.watch_stream.is_some(), session.notifies).hash(into);
            if with_replies {
                session.project(&mut Text(into));
            }
        }
        self.blocklist.fenced_gids().for_each(|gid| gid.hash(into));
        self.watches.project(into);
    }

    /// The same for what is stored: the data, xattrs and omap of every object, and the newest snapshot id of each pool. It changes with
    /// [`Osd::seen`] only.
    pub fn project_objects(&self, into: &mut impl Hasher) {
        for pool in self.pools.values() {
            pool.snap_seq.hash(into);
            let names = self.store.list(pool.id, b"", b"", b"", usize::MAX).unwrap_or_default();
            for name in names {
                let id = ObjectId { pool: pool.id, namespace: Default::default(), name };
                self.project_object(&id, into);
            }
        }
    }

    fn project_object(&self, id: &ObjectId, into: &mut impl Hasher) {
        let size = self.store.stat(id, At::Head).ok().flatten().map(|stat| stat.size);
        (&id.name[..], size).hash(into);
        let data = self.store.read(id, At::Head, 0, size.unwrap_or(0)).unwrap_or_default();
        data.iter().for_each(|piece| piece.hash(into));
        let omap = self.store.omap_range(id, At::Head, b"", b"", usize::MAX).unwrap_or_default();
        let xattrs = self.store.xattrs(id, At::Head).unwrap_or_default();
        for (key, value) in omap.iter().chain(&xattrs) {
            (&key[..], value).hash(into);
        }
    }

    /// Whether the instance has a watch on the object, connected or not.
    pub fn is_watched_by(&self, pool: &str, object: &str, gid: u64) -> bool {
        let pool = self.pools.get(pool);
        pool.is_some_and(|pool| {
            let id = ObjectId { pool: pool.id, namespace: Default::default(), name: object.into() };
            self.watches.is_watched_by(&id, gid)
        })
    }

    /// The notifies that wait for acks, each with the watches (gid, cookie) that have not answered.
    pub fn pending_notifies(&self) -> Vec<(u64, Vec<(u64, u64)>)> {
        self.watches.pending()
    }
}

/// Hashes what is written to it.
pub(crate) struct Text<'a, H>(&'a mut H);

impl<H: Hasher> Write for Text<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
