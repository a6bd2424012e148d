//! The whole OSD: sessions, pools, and the step in which something is decided.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use errno::Errno;
use marks::Mark;
use store::{Change, ObjectId, Seq, Store, Wake};

use crate::agenda::Due;
use crate::blocklist::Blocklist;
use crate::effect::{Effect, Step};
use crate::erasure::Erasure;
use crate::event::{Event, Kind};
use crate::limits::{NAME_BYTES_MAX, check_name};
use crate::op::{Door, Vector};
use crate::records::{self, Counters, Fence};
use crate::session::{Session, SessionInfo};
use crate::trim::Trim;
use crate::undurable::Undurable;
use crate::unnamed::UnnamedSnaps;
use crate::vector;
use crate::watch::{End, WatchTable};
use crate::{Config, Millis, OpError, PoolInfo};

/// One object storage daemon. Every call is one step at one moment; what is due by then happens first. A step that
/// changes something gives its answer and the effects to carry out, in order.
///
/// A session:
///
/// | state | event                                            | next  | answer to its calls from then on |
/// |-------|--------------------------------------------------|-------|----------------------------------|
/// | -     | connect                                          | live  |                                  |
/// | live  | disconnect; neither stream nor call for a while  | ended | ENOTCONN                         |
/// | any   | blocklisted                                      | fenced| EBLOCKLISTED, for good           |
#[derive(Clone, Debug)]
pub struct Osd<S> {
    pub(crate) config: Config,
    pub(crate) store: S,
    pub(crate) pools: BTreeMap<String, PoolInfo>,
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) blocklist: Blocklist,
    pub(crate) watches: WatchTable,
    /// Removed snapshots that objects may still preserve.
    pub(crate) trims: VecDeque<Trim>,
    /// Snapshot ids that only those know who were given them.
    pub(crate) unnamed: UnnamedSnaps,
    /// Removed pools with objects that are still there.
    pub(crate) erasures: VecDeque<Erasure>,
    /// Sessions that have ended and whose replies still have records.
    pub(crate) forgotten: VecDeque<u64>,
    pub(crate) undurable: Undurable,
    pub(crate) step: Step,
    pub(crate) counters: Counters,
}

impl<S: Store> Osd<S> {
    /// The constants in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Starts a session; its gid and the address under which it is known. `peer` is where it comes from, `name` is for
    /// people: it is repeated in lists of sessions and watchers. EINVAL for a name above 256 bytes, EAGAIN at the limit of
    /// sessions; EIO, ENOSPC of the store.
    pub fn connect(
        &mut self,
        now: Millis,
        name: &str,
        peer: &str,
    ) -> (Result<(u64, String), OpError>, Vec<Effect>) {
        self.begin(now);
        if let Err(refusal) = check_name("a client's name", name, NAME_BYTES_MAX) {
            return self.done(Err(error(Errno::EINVAL, refusal.rule)));
        }
        if let Err(refusal) = self.check_room_for_session() {
            return self.done(Err(refusal));
        }
        let counters = self.with_next_gid();
        let gid = counters.newest_gid;
        let address = format!("{peer}/{}", nonce(gid));
        let session = Session::new(self.step.now, Door::Grpc, name.to_owned(), address.clone());
        let changes = vec![records::kept(&counters), records::kept(&session.record(gid))];
        if let Err(failure) = self.submit(changes) {
            return self.done(Err(failure.into()));
        }
        marks::hit(Mark::SessionStarted);
        self.counters = counters;
        self.sessions.insert(gid, session);
        self.plan_end(gid);
        self.step.tell(Event::new(Kind::SessionStarted, gid).detail(name));
        self.done(Ok((gid, address)))
    }

    /// EAGAIN at the limit.
    pub(crate) fn check_room_for_session(&self) -> Result<(), OpError> {
        let sessions_max = self.config.sessions_max;
        if self.sessions.len() < sessions_max {
            return Ok(());
        }
        marks::hit(Mark::SessionBeyondRoom);
        Err(error(Errno::EAGAIN, format!("there are sessions_max = {sessions_max} sessions")))
    }

    /// A number that no client instance has had. EIO, ENOSPC of the store.
    pub fn new_gid(&mut self, now: Millis) -> (Result<u64, OpError>, Vec<Effect>) {
        self.begin(now);
        let counters = self.with_next_gid();
        let gid = self.submit(vec![records::kept(&counters)]).map(|_| counters.newest_gid);
        if gid.is_ok() {
            self.counters = counters;
        }
        self.done(gid.map_err(OpError::from))
    }

    fn with_next_gid(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.newest_gid += 1;
        while self.blocklist.is_fenced(counters.newest_gid)
            || self.sessions.contains_key(&counters.newest_gid)
        {
            counters.newest_gid += 1;
        }
        counters
    }

    /// Ends a session in an orderly way. ENOTCONN if it has ended, EBLOCKLISTED if it was fenced.
    pub fn disconnect(&mut self, now: Millis, gid: u64) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let admitted = self.admit(gid);
        if admitted.is_ok() {
            marks::hit(Mark::SessionDisconnected);
            self.watches.remove_client(&mut self.step, gid, End::GIVEN_UP);
            self.end_session(gid, &error(Errno::ENOTCONN, "the client disconnected".to_owned()));
        }
        self.done(admitted)
    }

    /// A session has one more op stream; whether the session is live.
    pub fn op_stream_opened(&mut self, now: Millis, gid: u64) -> (bool, Vec<Effect>) {
        self.begin(now);
        let session = self.sessions.get_mut(&gid);
        let is_live = session.map(|session| session.op_streams += 1).is_some();
        self.done(is_live)
    }

    /// Why a session is not live: EBLOCKLISTED for a fenced instance, and for one whose address is listed, as long as it is;
    /// ENOTCONN for one that has ended or never was; `None` for a live one.
    pub fn session_over(&self, gid: u64) -> Option<OpError> {
        if self.blocklist.is_fenced(gid) {
            marks::hit(Mark::SessionIsFenced);
            return Some(self.fenced(gid));
        }
        let Some(session) = self.sessions.get(&gid) else {
            marks::hit(Mark::SessionOver);
            return Some(error(Errno::ENOTCONN, format!("client {gid}: session ended")));
        };
        let address = &session.address;
        let listed = || {
            marks::hit(Mark::SessionIsListed);
            error(Errno::EBLOCKLISTED, format!("client {gid}: its address {address} is blocklisted"))
        };
        self.blocklist.lists(address).then(listed)
    }

    /// One of its op streams has ended.
    pub fn op_stream_closed(&mut self, now: Millis, gid: u64) -> Vec<Effect> {
        self.begin(now);
        if let Some(session) = self.sessions.get_mut(&gid) {
            session.op_streams = session.op_streams.saturating_sub(1);
        }
        self.rest(gid);
        self.done(()).1
    }

    /// The live sessions, by gid.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let info = |(&gid, session): (&u64, &Session)| SessionInfo {
            gid,
            name: session.name.clone(),
            address: session.address.clone(),
            is_connected: session.is_connected(),
        };
        self.sessions.iter().map(info).collect()
    }

    /// Fences an instance: nothing that it asks for is done any more, its watches are gone, nobody waits for its acks.
    /// `requester` is the client that asks, 0 = an operator.
    ///
    /// EINVAL for gid 0 and for oneself; EBLOCKLISTED and ENOTCONN when the requester's own session is over; EIO, ENOSPC of the
    /// store: then nobody is fenced.
    pub fn blocklist_add(
        &mut self,
        now: Millis,
        gid: u64,
        expire: Option<Millis>,
        requester: u64,
    ) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let reply = self.add_to_blocklist(gid, expire, requester);
        if let Err(refusal) = &reply {
            self.refuse_call(Event::new(Kind::Refused, requester), "blocklist_add", refusal);
        }
        self.done(reply)
    }

    /// The same, decided by what the instance watches in the same step: EBUSY if it has a watch on the object `unless_watching`,
    /// which need not exist. ENOENT if its pool does not.
    pub fn blocklist_add_unless_watching(
        &mut self,
        now: Millis,
        gid: u64,
        expire: Option<Millis>,
        requester: u64,
        (pool, object): (&str, &str),
    ) -> (Result<(), OpError>, Vec<Effect>) {
        self.begin(now);
        let unwatched = self.check_unwatched(gid, pool, object);
        let reply = unwatched.and_then(|()| self.add_to_blocklist(gid, expire, requester));
        if let Err(refusal) = &reply {
            let refused = Event::new(Kind::Refused, requester).on(pool, object);
            self.refuse_call(refused, "blocklist_add", refusal);
        }
        self.done(reply)
    }

    fn add_to_blocklist(&mut self, gid: u64, expire: Option<Millis>, requester: u64) -> Result<(), OpError> {
        self.check_fence(gid, requester)?;
        let expires = self.step.now.after(expire.unwrap_or(self.config.mon_osd_blocklist_default_expire));
        self.submit(vec![self.fence_record(gid, Some(expires))])?;
        let by = if requester == 0 { "an operator".to_owned() } else { format!("client {requester}") };
        self.fence(gid, expires, &by);
        Ok(())
    }

    /// What the store is to know of an instance that is fenced; `expires` is the end of its entry, if it has one.
    pub(crate) fn fence_record(&self, gid: u64, expires: Option<Millis>) -> Change {
        records::kept(&Fence { gid, expires_unix_ms: expires.map(|expires| self.unix_ms(expires)) })
    }

    /// Nothing of an instance happens from here on: the store has its record.
    pub(crate) fn fence(&mut self, gid: u64, expires: Millis, by: &str) {
        let is_live = self.sessions.contains_key(&gid);
        marks::hit(if is_live { Mark::SessionFenced } else { Mark::SessionFencedLate });
        if let Some(former) = self.blocklist.add(gid, expires) {
            marks::hit(Mark::FenceMoved);
            self.step.agenda.remove(former, Due::Blocklist { gid });
        }
        self.step.agenda.add(expires, Due::Blocklist { gid });
        self.forget_fences(gid);
        self.step.tell(Event::new(Kind::Blocklisted, gid).detail(format!("by {by}")));
        let fenced = self.fenced(gid);
        self.watches.remove_client(&mut self.step, gid, End::expired(&fenced));
        self.end_session(gid, &fenced);
    }

    fn check_fence(&mut self, gid: u64, requester: u64) -> Result<(), OpError> {
        if requester != 0
            && let Err(over) = self.admit(requester)
        {
            marks::hit(Mark::FenceOfDeadRefused);
            return Err(over);
        }
        if gid == 0 || gid == requester {
            marks::hit(Mark::FenceOfSelfRefused);
            let rule = if gid == 0 { "gid 0 is no client instance" } else { "no client fences itself" };
            return Err(error(Errno::EINVAL, format!("blocklisting {gid}: {rule}")));
        }
        Ok(())
    }

    /// Above the limit the oldest fenced instances are forgotten, `newest` excepted: their sessions have ended, and
    /// what they ask for is refused with ENOTCONN from then on.
    pub(crate) fn forget_fences(&mut self, newest: u64) {
        while self.blocklist.fenced() > self.config.fenced_instances_max.max(1) {
            let Some((gid, expires)) = self.blocklist.forget_oldest_but(newest) else { return };
            marks::hit(Mark::FenceForgotten);
            self.step.unsaved.push(records::gone(records::fence_key(gid)));
            if let Some(expires) = expires {
                self.step.agenda.remove(expires, Due::Blocklist { gid });
            }
        }
    }

    /// Grows with every change of pools, snapshot ids and fences.
    pub fn map_revision(&self) -> u64 {
        self.step.map_revision
    }

    /// Removes an entry; an absent one is fine. The instance stays fenced.
    pub fn blocklist_remove(&mut self, now: Millis, gid: u64) -> Vec<Effect> {
        self.begin(now);
        if let Some(expires) = self.blocklist.remove(gid) {
            marks::hit(Mark::FenceRemoved);
            self.step.agenda.remove(expires, Due::Blocklist { gid });
            self.step.unsaved.push(self.fence_record(gid, None));
            self.step.tell(Event::new(Kind::BlocklistRemoved, gid));
        }
        self.done(()).1
    }

    /// The entries that have not expired, with the time that each has left.
    pub fn blocklist(&mut self, now: Millis) -> (Vec<(u64, Millis)>, Vec<Effect>) {
        self.begin(now);
        let entries = self.blocklist.entries().map(|(gid, expires)| (gid, expires.since(now))).collect();
        self.done(entries)
    }

    /// The wall clock went on for so long and [`Millis`] did not: the OSD was not there to see it pass.
    pub fn stood_still(&mut self, Millis(span): Millis) {
        self.config.started_unix_ms = self.config.started_unix_ms.saturating_add(span);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Millis) -> Vec<Effect> {
        self.begin(now);
        self.done(()).1
    }

    /// When [`Osd::tick`] has something to do, at the earliest.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.step.agenda.next()
    }

    /// At most `max` events with a sequence above `after`, behind one of kind [`Gap`](Kind::Gap) when older ones of them are no
    /// longer kept.
    pub fn events_after(&self, after: u64, max: usize) -> Vec<Arc<Event>> {
        self.step.log.after(after, max)
    }

    /// What the last step may have seen: its answer and its effects leave when [`Osd::durable`] has reached it. The reply to a vector
    /// that only reads may leave earlier: [`Osd::seen_by`].
    pub fn seen(&self) -> Seq {
        self.store.newest()
    }

    /// What the reply to this vector, which was the last step, may have seen. If it only reads, that is the newest change of its object, and the newest
    /// of all that is no object: pools, snapshots, sessions, fences, watches. What the store keeps after a crash is a
    /// beginning of all transactions: a reply about one object says nothing of a later change of another one.
    ///
    /// Over a store that is durable at once this is a look into an empty map; over a late one the objects that are not durable are known by name.
    pub fn seen_by(&self, vector: &Vector) -> Seq {
        let pool = self.pools.get(&vector.pool).filter(|_| !vector::mutates(&vector.ops));
        let Some(pool) = pool else { return self.seen() };
        self.undurable.seen_of(|| {
            let (namespace, name) = (vector.namespace.clone(), vector.object.clone());
            ObjectId { pool: pool.id, namespace, name }
        })
    }

    /// Up to where everything survives.
    pub fn durable(&self) -> Seq {
        self.store.durable()
    }

    /// `wake` is called whenever [`Osd::durable`] has gone on between two steps.
    pub fn wake_when_durable(&mut self, wake: Wake) {
        self.store.wake_when_durable(wake);
    }

    /// Sequence of the newest event; 0 before the first.
    pub fn newest_event(&self) -> u64 {
        self.step.log.newest()
    }

    /// Every step begins with what is due.
    pub(crate) fn begin(&mut self, now: Millis) {
        self.step.now = self.step.now.max(now);
        while let Some(due) = self.step.agenda.pop(self.step.now) {
            self.look_at(due);
        }
    }

    /// Every step that began ends with its answer.
    pub(crate) fn done<T>(&mut self, reply: T) -> (T, Vec<Effect>) {
        for gid in std::mem::take(&mut self.watches.ended) {
            if let Some(session) = self.sessions.get_mut(&gid) {
                session.notifies -= 1;
            }
            self.rest(gid);
        }
        self.save_rest();
        (reply, std::mem::take(&mut self.step.effects))
    }

    fn look_at(&mut self, due: Due) {
        match due {
            Due::Watch { object, gid, cookie } => {
                self.watches.look_at(&mut self.step, &object, (gid, cookie));
            }
            Due::Notify { object, notify_id } => self.watches.time_out(&mut self.step, &object, notify_id),
            Due::Session { gid } => self.look_at_session(gid),
            Due::Blocklist { gid } => {
                marks::hit(Mark::FenceExpired);
                self.blocklist.remove(gid);
                self.step.unsaved.push(self.fence_record(gid, None));
                self.step.tell(Event::new(Kind::BlocklistRemoved, gid).detail("expired"));
            }
            Due::BlocklistAddress { address } => {
                self.forget_address(&address, "expired");
            }
            Due::Save => self.step.is_save_planned = false,
            Due::Trim(trim) => self.trims.push_back(trim),
            Due::Erasure(erasure) => self.erasures.push_back(erasure),
            Due::Forget { gid } => self.forgotten.push_back(gid),
        }
    }

    fn look_at_session(&mut self, gid: u64) {
        let Some(session) = self.sessions.get_mut(&gid) else { return };
        session.is_due = false;
        let ends = session.ends_at(self.config.osd_client_session_timeout);
        if ends.is_some_and(|ends| ends <= self.step.now) {
            marks::hit(Mark::SessionSilent);
            self.watches.remove_client(&mut self.step, gid, End::EXPIRED);
            let text = "neither a stream nor a call for osd_client_session_timeout".to_owned();
            return self.end_session(gid, &error(Errno::ENOTCONN, text));
        }
        self.plan_end(gid);
    }

    /// Something of the session has ended: when nothing is left its time runs.
    pub(crate) fn rest(&mut self, gid: u64) {
        if let Some(session) = self.sessions.get_mut(&gid) {
            session.last_heard = self.step.now;
            self.plan_end(gid);
        }
    }

    /// Has the session looked at when its time may be over; one entry in the agenda does.
    pub(crate) fn plan_end(&mut self, gid: u64) {
        let Some(session) = self.sessions.get_mut(&gid) else { return };
        let ends = session.ends_at(self.config.osd_client_session_timeout);
        if let Some(ends) = ends.filter(|_| !session.is_due) {
            session.is_due = true;
            self.step.agenda.add(ends, Due::Session { gid });
        }
    }

    fn end_session(&mut self, gid: u64, reason: &OpError) {
        let Some(session) = self.sessions.remove(&gid) else { return };
        self.step.unsaved.push(records::gone(records::instance_key(gid)));
        if session.has_reply_records() {
            self.forget_replies(gid);
        }
        if let Some(stream) = session.watch_stream {
            self.watches.close_stream(stream);
            self.step.effects.push(Effect::CutStream { stream, reason: reason.clone() });
        }
        let event = Event::new(Kind::SessionEnded, gid).detail(&reason.text);
        let is_fence = reason.errno == Errno::EBLOCKLISTED;
        self.step.tell(if is_fence { event.error(reason.errno) } else { event });
        self.step.effects.push(Effect::SessionEnded { gid });
        self.give_up_unnamed();
    }

    /// A live session may go on: EBLOCKLISTED for a fenced one, ENOTCONN for one that has ended or never was.
    pub(crate) fn admit(&mut self, gid: u64) -> Result<(), OpError> {
        if let Some(over) = self.session_over(gid) {
            return Err(over);
        }
        if let Some(session) = self.sessions.get_mut(&gid) {
            session.last_heard = self.step.now;
        }
        Ok(())
    }

    pub(crate) fn fenced(&self, gid: u64) -> OpError {
        error(Errno::EBLOCKLISTED, format!("client {gid} is blocklisted; its session ended for good"))
    }
}

/// Which of the instances that had its IP and port a client is, as Ceph says it: in 32 bits. Runs of 4,294,967,296 instances
/// have none twice.
fn nonce(gid: u64) -> u32 {
    (gid & u64::from(u32::MAX)) as u32
}

/// An error that is not about one op.
pub(crate) fn error(errno: Errno, text: String) -> OpError {
    OpError { errno, failed_op: None, text }
}
