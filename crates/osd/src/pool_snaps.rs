//! Snapshots of whole pools: they have names, and every write is made under all of them, whatever its client says.

use errno::Errno;
use store::Store;

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::osd::{Osd, error};
use crate::pool::PoolSnap;
use crate::records;
use crate::trim::Trim;
use crate::{Millis, OpError};

impl<S: Store> Osd<S> {
    /// A snapshot of a pool as it is; its id. From here on the pool gives no ids to clients that manage their snapshots
    /// themselves.
    ///
    /// ENOENT if there is no such pool, EINVAL if it has given such ids or the name is empty, EEXIST if the name is taken,
    /// ENAMETOOLONG above 256 bytes; EIO, ENOSPC of the store.
    pub fn create_pool_snap(
        &mut self,
        now: Millis,
        pool: &str,
        name: &str,
    ) -> (Result<u64, OpError>, Vec<Effect>) {
        self.begin(now);
        let created = self.create_named(pool, name);
        self.done(created)
    }

    fn create_named(&mut self, pool: &str, name: &str) -> Result<u64, OpError> {
        check_name("a snapshot's name", name, NAME_BYTES_MAX)?;
        let created_unix_ms = self.config.started_unix_ms.saturating_add(self.step.now.0);
        let info = self.pool(pool)?;
        if name.is_empty() {
            return Err(error(Errno::EINVAL, "a snapshot of a pool needs a name".to_owned()));
        }
        if info.is_self_managed() {
            let text = format!("pool '{pool}': its clients manage their snapshots themselves");
            return Err(error(Errno::EINVAL, text));
        }
        if info.named_snaps.values().any(|snap| snap.name == name) {
            return Err(error(Errno::EEXIST, format!("pool '{pool}' has a snapshot '{name}' already")));
        }
        let snap = PoolSnap { name: name.to_owned(), created_unix_ms };
        let snap_id = info.snap_seq + 1;
        let record = records::Pool { snap_seq: snap_id, has_named_snaps: true, ..info.record() };
        let named = snap.record(info.id, snap_id);
        self.submit(vec![records::kept(&record), records::kept(&named)])?;
        self.pool_mut(pool)?.add_named_snap(snap);
        let detail = format!("snap id {snap_id} '{name}'");
        self.step.tell(Event::new(Kind::SnapId, 0).on(pool, "").detail(detail));
        Ok(snap_id)
    }

    /// Removes a snapshot of a pool, and what only it preserved. One that there is not is fine.
    ///
    /// ENOENT if there is no such pool, EINVAL if its clients manage their snapshots themselves; EIO, ENOSPC of the store.
    pub fn remove_pool_snap(
        &mut self,
        now: Millis,
        pool: &str,
        name: &str,
    ) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let removed = self.remove_named(pool, name);
        self.done(removed)
    }

    fn remove_named(&mut self, pool: &str, name: &str) -> Result<(), OpError> {
        let info = self.pool(pool)?;
        if info.is_self_managed() {
            let text = format!("pool '{pool}': its clients manage their snapshots themselves");
            return Err(error(Errno::EINVAL, text));
        }
        let Some((&snap_id, _)) = info.named_snaps.iter().find(|(_, snap)| snap.name == name) else {
            return Ok(());
        };
        let id = info.id;
        let trim = Trim { pool: id, pool_name: pool.to_owned(), snap_id, gid: 0, objects: 0 };
        let gone = records::gone(records::named_snap_key(id, snap_id));
        let changes = info.removal(snap_id).chain([trim.intent(), gone]).collect();
        self.submit(changes)?;
        self.pool_mut(pool)?.remove_snap_id(snap_id);
        self.step
            .tell(Event::new(Kind::SnapId, 0).on(pool, "").detail(format!("snap id {snap_id} is removed")));
        self.trim_piece(trim);
        Ok(())
    }
}
