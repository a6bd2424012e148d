//! An OSD on what an earlier one has left in the store.

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;
use store::{PoolId, Store};

use crate::agenda::{Agenda, Due};
use crate::blocklist::Blocklist;
use crate::effect::Step;
use crate::erasure::Erasure;
use crate::event::EventLog;
use crate::op::Door;
use crate::osd::{Osd, error};
use crate::pool::PoolSnap;
use crate::records::{
    self, Counters, Erasing, Fence, FencedAddress, Instance, NamedSnap, Pool, RemovedSnaps, Reply, Trimming,
    Watching,
};
use crate::session::Session;
use crate::trim::Trim;
use crate::undurable::Undurable;
use crate::unnamed::UnnamedSnaps;
use crate::watch::{LIVES_MAX, Place, WatchTable};
use crate::{Config, Millis, OpError, PoolInfo, SnapIds};

/// No number that is given away one by one comes that far.
const NUMBER_MAX: u64 = i64::MAX as u64;

impl<S: Store> Osd<S> {
    /// An OSD that goes on where the last one on this store ended, at whatever moment that was; without pools and sessions on a store that is empty.
    /// The clock may have begun anew: what expires at a time of day is kept by the wall clock, which [`Config::started_unix_ms`] gives.
    ///
    /// Client instances are numbered from `gid_base` + 1, or from above the newest of this store: runs with bases that are far
    /// apart never give the same gid to two instances.
    ///
    /// EIO when the store fails, or has records that cannot be understood or contradict each other; ENOSPC.
    pub fn open(store: S, config: Config, gid_base: u64, now: Millis) -> Result<Self, OpError> {
        let mut osd = Self::empty(store, config, now);
        let kept: Vec<Counters> = records::all(&osd.store)?;
        let mut counters = kept.into_iter().next().unwrap_or_default();
        if counters.lives > LIVES_MAX || counters.newest_gid.max(counters.newest_pool) > NUMBER_MAX {
            return Err(contradiction(&format!("{counters:?}")));
        }
        counters.newest_gid = counters.newest_gid.max(gid_base);
        osd.counters = counters.clone();
        osd.watches.begin_life(counters.lives);
        osd.load_pools()?;
        osd.load_fences()?;
        osd.load_sessions()?;
        osd.load_watches()?;
        osd.load_unnamed()?;
        counters.lives += 1;
        osd.submit(vec![records::kept(&counters)])?;
        osd.counters = counters;
        osd.forget_fences(0);
        osd.give_up_unnamed();
        osd.done(());
        Ok(osd)
    }

    fn empty(store: S, config: Config, now: Millis) -> Self {
        let log = EventLog::new(config.events_kept_max, config.event_bytes_kept_max);
        Self {
            config,
            store,
            pools: BTreeMap::new(),
            sessions: BTreeMap::new(),
            blocklist: Blocklist::default(),
            watches: WatchTable::default(),
            trims: Vec::new().into(),
            unnamed: UnnamedSnaps::default(),
            erasures: Vec::new().into(),
            forgotten: Vec::new().into(),
            undurable: Undurable::default(),
            step: Step {
                now,
                effects: Vec::new(),
                log,
                agenda: Agenda::default(),
                map_revision: 0,
                unsaved: Vec::new(),
                is_save_planned: false,
            },
            counters: Counters::default(),
        }
    }

    /// Pools, and the work that their snapshots and those of removed pools have left.
    fn load_pools(&mut self) -> Result<(), OpError> {
        let mut removed: BTreeMap<u64, SnapIds> = BTreeMap::new();
        for RemovedSnaps { pool, first, last } in records::all(&self.store)? {
            if !removed.entry(pool).or_default().insert_range(first, last) {
                return Err(contradiction(&format!("removed snapshots {first} to {last} of pool {pool}")));
            }
        }
        let mut named: BTreeMap<u64, BTreeMap<u64, PoolSnap>> = BTreeMap::new();
        for NamedSnap { pool, snap_id, name, created_unix_ms } in records::all(&self.store)? {
            named.entry(pool).or_default().insert(snap_id, PoolSnap { name, created_unix_ms });
        }
        for Pool { id, name, snap_seq, removed_snaps: count, has_named_snaps } in records::all(&self.store)? {
            let removed_snaps = removed.remove(&id).unwrap_or_default();
            if removed_snaps.len() != count || id.max(snap_seq) > NUMBER_MAX {
                return Err(contradiction(&format!("{count} removed snapshots of pool {id}")));
            }
            let named_snaps = named.remove(&id).unwrap_or_default();
            let id = PoolId(id);
            let info =
                PoolInfo { id, name: name.clone(), snap_seq, removed_snaps, has_named_snaps, named_snaps };
            if self.pools.insert(name, info).is_some() {
                return Err(contradiction(&format!("the name of pool {}", id.0)));
            }
        }
        for Trimming { pool, pool_name, snap_id, gid } in records::all(&self.store)? {
            self.trims.push_back(Trim { pool: PoolId(pool), pool_name, snap_id, gid, objects: 0 });
        }
        for Erasing { pool, pool_name, snap_seq } in records::all(&self.store)? {
            let removed = removed.remove(&pool).unwrap_or_default();
            self.erasures.push_back(Erasure::new(PoolId(pool), pool_name, snap_seq, removed));
        }
        if let Some((pool, _)) = named.first_key_value() {
            return Err(contradiction(&format!("snapshots of pool {pool}")));
        }
        match removed.first_key_value() {
            Some((pool, _)) => Err(contradiction(&format!("removed snapshots of pool {pool}"))),
            None => Ok(()),
        }
    }

    fn load_fences(&mut self) -> Result<(), OpError> {
        for Fence { gid, expires_unix_ms } in records::all(&self.store)? {
            marks::hit(Mark::FenceRestored);
            let expires = expires_unix_ms.map(|at| self.millis(at));
            self.blocklist.restore(gid, expires);
            if let Some(expires) = expires {
                self.step.agenda.add(expires, Due::Blocklist { gid });
            }
        }
        for FencedAddress { address, expires_unix_ms } in records::all(&self.store)? {
            let expires = self.millis(expires_unix_ms);
            self.step.agenda.add(expires, Due::BlocklistAddress { address: address.clone() });
            self.blocklist.addresses.insert(address, expires);
        }
        Ok(())
    }

    /// Sessions and what their clients were told; they have their whole time to come back.
    fn load_sessions(&mut self) -> Result<(), OpError> {
        for Instance { gid, is_ceph, name, address } in records::all(&self.store)? {
            if self.blocklist.is_fenced(gid) {
                marks::hit(Mark::SessionRestoredFenced);
                self.step.unsaved.push(records::gone(records::instance_key(gid)));
                continue;
            }
            marks::hit(Mark::SessionRestored);
            let door = if is_ceph { Door::Ceph } else { Door::Grpc };
            self.sessions.insert(gid, Session::new(self.step.now, door, name, address));
            self.plan_end(gid);
        }
        for reply in records::all::<Reply>(&self.store)? {
            match self.sessions.get_mut(&reply.gid) {
                Some(session) => session.restore(reply),
                None if self.forgotten.back() == Some(&reply.gid) => {}
                None => self.forgotten.push_back(reply.gid),
            }
        }
        Ok(())
    }

    /// Those of sessions that are there.
    fn load_watches(&mut self) -> Result<(), OpError> {
        let known = self.pools.values().map(|info| (info.id, info.name.clone()));
        let names: BTreeMap<PoolId, String> = known.chain(self.erasures.iter().map(Erasure::pool)).collect();
        for watching in records::all::<Watching>(&self.store)? {
            let (id, watch) = (watching.object(), (watching.gid, watching.cookie));
            if !self.sessions.contains_key(&watching.gid) {
                marks::hit(Mark::WatchRestoredNobody);
                self.step.unsaved.push(records::gone(records::watching_key(&id, watch)));
                continue;
            }
            let Some(pool) = names.get(&id.pool).cloned() else {
                return Err(contradiction(&format!("a watch in pool {}", id.pool.0)));
            };
            let place = Place { id, pool };
            self.watches.restore(&mut self.step, &place, watch, Millis(watching.timeout_ms));
        }
        Ok(())
    }
}

/// EIO.
fn contradiction(what: &str) -> OpError {
    error(Errno::EIO, format!("stored records contradict each other: {what}"))
}
