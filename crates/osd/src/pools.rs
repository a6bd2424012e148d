//! Pools, their objects by name, and their snapshot ids.

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;
use store::{HashPlace, Name, PoolId, Store, Totals};

use crate::effect::Effect;
use crate::error::Refusal;
use crate::event::{Event, Kind};
use crate::limits::{KEYS_PER_PAGE_MAX, NAME_BYTES_MAX, check_name};
use crate::op::Door;
use crate::osd::{Osd, error};
use crate::pool::PoolSnap;
use crate::records::{self, Counters};
use crate::session::{Admission, Stored};
use crate::trim::Trim;
use crate::{Millis, OpError, PoolInfo};

/// A pool and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTotals {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The newest snapshot id ever allocated; 0 = none.
    pub snap_seq: u64,
    /// It has had snapshots of its own.
    pub has_named_snaps: bool,
    /// Snapshots of the pool, by id.
    pub named_snaps: BTreeMap<u64, PoolSnap>,
    /// What it holds.
    pub totals: Totals,
}

impl<S: Store> Osd<S> {
    /// Creates a pool; its number. EEXIST if the name is taken, EINVAL for an empty one, ENAMETOOLONG above 256 bytes,
    /// EAGAIN at the limit; EIO, ENOSPC of the store.
    pub fn create_pool(&mut self, now: Millis, name: &str) -> (Result<u64, OpError>, Vec<Effect>) {
        self.begin(now);
        let created = self.start_pool(name);
        self.done(created)
    }

    fn start_pool(&mut self, name: &str) -> Result<u64, OpError> {
        let pools_max = self.config.pools_max;
        self.check_new_name(name)?;
        if self.pools.len() >= pools_max {
            let text = format!("pool '{name}': there are pools_max = {pools_max} pools");
            return Err(error(Errno::EAGAIN, text));
        }
        let counters = Counters { newest_pool: self.counters.newest_pool + 1, ..self.counters.clone() };
        let info = PoolInfo::new(PoolId(counters.newest_pool), name);
        self.submit(vec![records::kept(&info.record()), records::kept(&counters)])?;
        self.counters = counters;
        self.pools.insert(name.to_owned(), info);
        self.step.tell(Event::new(Kind::PoolCreated, 0).on(name, ""));
        Ok(self.counters.newest_pool)
    }

    /// Gives a pool another name; its number stays. ENOENT if there is none, EEXIST if the name is taken, EINVAL for an empty
    /// one, ENAMETOOLONG above 256 bytes; EIO, ENOSPC of the store.
    pub fn rename_pool(&mut self, now: Millis, from: &str, to: &str) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let renamed = self.give_name(from, to);
        self.done(renamed)
    }

    fn give_name(&mut self, from: &str, to: &str) -> Result<(), OpError> {
        let info = PoolInfo { name: to.to_owned(), ..self.pool(from)?.clone() };
        self.check_new_name(to)?;
        self.submit(vec![records::kept(&info.record())])?;
        self.pools.remove(from);
        self.pools.insert(to.to_owned(), info);
        self.step.tell(Event::new(Kind::PoolRenamed, 0).on(to, "").detail(format!("it was '{from}'")));
        Ok(())
    }

    fn check_new_name(&self, name: &str) -> Result<(), OpError> {
        if name.is_empty() {
            return Err(error(Errno::EINVAL, "a pool needs a name".to_owned()));
        }
        check_name("a pool's name", name, NAME_BYTES_MAX)?;
        if self.pools.contains_key(name) {
            return Err(error(Errno::EEXIST, format!("pool '{name}' exists already")));
        }
        Ok(())
    }

    /// The pool of that name; ENOENT if there is none, ENAMETOOLONG if there can be none.
    pub(crate) fn pool(&self, name: &str) -> Result<&PoolInfo, OpError> {
        check_name("a pool's name", name, NAME_BYTES_MAX)?;
        let missing = || error(Errno::ENOENT, format!("there is no pool '{name}'"));
        self.pools.get(name).ok_or_else(missing)
    }

    /// All pools, by number.
    pub fn pools(&self) -> Vec<PoolTotals> {
        let totals = |info: &PoolInfo| PoolTotals {
            id: info.id.0,
            name: info.name.clone(),
            snap_seq: info.snap_seq,
            has_named_snaps: info.has_named_snaps,
            named_snaps: info.named_snaps.clone(),
            totals: self.store.totals(info.id),
        };
        let mut pools: Vec<_> = self.pools.values().map(totals).collect();
        pools.sort_by_key(|pool| pool.id);
        pools
    }

    /// Names of the objects of a pool's default namespace that start with `prefix` and are greater than `after`, at most `max` (0 = as many
    /// as a page holds), and whether there are more. ENOENT if there is no such pool.
    pub fn list_objects(
        &self,
        pool: &str,
        prefix: &str,
        after: &str,
        max: u32,
    ) -> Result<(Vec<Name>, bool), OpError> {
        let max = if max == 0 { KEYS_PER_PAGE_MAX } else { max.min(KEYS_PER_PAGE_MAX) } as usize;
        let pool = self.pool(pool)?.id;
        let listed = self.store.list(pool, b"", prefix.as_bytes(), after.as_bytes(), max + 1);
        let mut names = listed.map_err(Refusal::from)?;
        let more = names.len() > max;
        names.truncate(max);
        Ok((names, more))
    }

    /// Objects of a pool from a place on, in the order of their hashes: those of one namespace, or of all. At most `max`, and as
    /// many as are found among so many that are looked at; and from where to go on, unless that was all. ENOENT if there is
    /// no such pool.
    pub fn list_by_hash(
        &self,
        pool: &str,
        namespace: Option<&[u8]>,
        from: &HashPlace,
        max: usize,
    ) -> Result<(Vec<HashPlace>, Option<HashPlace>), OpError> {
        let max = max.clamp(1, KEYS_PER_PAGE_MAX as usize);
        let pool = self.pool(pool)?.id;
        let mut places = self.store.list_by_hash(pool, from, max + 1).map_err(Refusal::from)?;
        let next = (places.len() > max).then(|| places.pop()).flatten();
        places.retain(|place| namespace.is_none_or(|namespace| *place.namespace == *namespace));
        Ok((places, next))
    }

    /// The next snapshot id of a pool. A call with a gid and a tid gives the same id when it is sent again.
    ///
    /// ENOENT if there is no such pool, EINVAL if it has snapshots of its own; the errors of a session and its tids as for [`Osd::operate`]; EIO, ENOSPC of the store.
    pub fn allocate_snap_id(
        &mut self,
        now: Millis,
        pool: &str,
        gid: u64,
        tid: u64,
    ) -> (Result<u64, OpError>, Vec<Effect>) {
        self.begin(now);
        let reply = self.allocate(pool, gid, tid);
        if let Err(refusal) = &reply {
            self.refuse_call(
                Event::new(Kind::Refused, gid).tid(tid).on(pool, ""),
                "allocate_snap_id",
                refusal,
            );
        }
        self.done(reply)
    }

    fn allocate(&mut self, pool: &str, gid: u64, tid: u64) -> Result<u64, OpError> {
        let is_protected = gid != 0 && tid != 0;
        if gid != 0 {
            self.admit(gid)?;
        }
        if is_protected {
            let session = self.sessions.get(&gid).expect("admit found it");
            session.check_tid(tid)?;
            match session.admit(tid, &self.config)? {
                Admission::Ran(Stored::SnapId(snap_id)) => {
                    marks::hit(Mark::TidOfSnapIdAgain);
                    self.step.tell(
                        Event::new(Kind::Duplicate, gid).tid(tid).on(pool, "").detail("allocate_snap_id"),
                    );
                    return Ok(snap_id);
                }
                Admission::Ran(Stored::Reply(_)) => {
                    marks::hit(Mark::TidMixedUp);
                    return Err(error(
                        Errno::EINVAL,
                        format!("tid {tid} of client {gid} was used for an op vector"),
                    ));
                }
                Admission::Run => {}
            }
        }
        let info = self.pool(pool)?;
        info.check_self_managed()?;
        let (id, snap_id) = (info.id, info.snap_seq + 1);
        let (mut changes, stored) = (vec![info.record_at(snap_id)], Stored::SnapId(snap_id));
        let session = self.sessions.get(&gid).filter(|_| is_protected);
        let is_unnamed = session.is_some_and(|session| session.door == Door::Grpc);
        if is_unnamed {
            changes.extend(self.unnamed.giving(id, snap_id, gid));
        }
        if is_protected {
            self.submit_answered((gid, tid), None, changes, stored.clone())?;
        } else {
            self.submit(changes)?;
        }
        self.snap_id_taken(pool, snap_id, gid, tid);
        if is_unnamed {
            self.unnamed.given(id, snap_id, gid);
        }
        if let Some(session) = self.sessions.get_mut(&gid).filter(|_| is_protected) {
            session.store(tid, stored, &self.config);
        }
        Ok(snap_id)
    }

    /// Up to this snapshot id all are allocated: the store has the pool's record.
    pub(crate) fn snap_id_taken(&mut self, pool: &str, snap_id: u64, gid: u64, tid: u64) {
        if let Some(info) = self.pools.get_mut(pool) {
            info.snap_seq = snap_id;
        }
        self.step
            .tell(Event::new(Kind::SnapId, gid).tid(tid).on(pool, "").detail(format!("snap id {snap_id}")));
    }

    /// Gives a snapshot id up: nobody reads at it from here on, and what only it preserved is trimmed, by this step or, if it is
    /// much, by [`Osd::work`]. An id that was given up before is fine.
    ///
    /// ENOENT if there is no such pool, EINVAL for an id that was never allocated; EBLOCKLISTED and ENOTCONN when the
    /// session of `gid` (0 = an operator) is over; EIO, ENOSPC of the store: then it is not given up.
    pub fn remove_snap_id(
        &mut self,
        now: Millis,
        pool: &str,
        snap_id: u64,
        gid: u64,
    ) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let reply = self.give_up(pool, snap_id, gid);
        if let Err(refusal) = &reply {
            self.refuse_call(Event::new(Kind::Refused, gid).on(pool, ""), "remove_snap_id", refusal);
        }
        self.done(reply)
    }

    pub(crate) fn give_up(&mut self, pool: &str, snap_id: u64, gid: u64) -> Result<(), OpError> {
        if gid != 0 {
            self.admit(gid)?;
        }
        let info = self.pool(pool)?;
        let (id, newest) = (info.id, info.snap_seq);
        if snap_id == 0 || snap_id > newest {
            let text =
                format!("pool '{pool}': snap id {snap_id} was never allocated, the newest is {newest}");
            return Err(error(Errno::EINVAL, text));
        }
        if info.removed_snaps.contains(snap_id) {
            return Ok(());
        }
        let trim = Trim { pool: id, pool_name: pool.to_owned(), snap_id, gid, objects: 0 };
        let changes =
            info.removal(snap_id).chain([trim.intent()]).chain(self.unnamed.going(id, snap_id)).collect();
        self.submit(changes)?;
        self.pool_mut(pool)?.remove_snap_id(snap_id);
        self.unnamed.gone(id, snap_id);
        self.trim_piece(trim);
        Ok(())
    }

    pub(crate) fn pool_mut(&mut self, name: &str) -> Result<&mut PoolInfo, OpError> {
        self.pool(name)?;
        Ok(self.pools.get_mut(name).expect("it was found"))
    }

    /// Logs a call other than an op vector that was refused.
    pub(crate) fn refuse_call(&mut self, event: Event, call: &str, refusal: &OpError) {
        self.step.tell(event.error(refusal.errno).detail(format!("{call}: {}", refusal.text)));
    }
}
