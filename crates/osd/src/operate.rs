//! Op vectors: what runs once, however often it is sent.

use std::sync::Arc;

use errno::Errno;
use marks::Mark;
use store::{Change, ObjectId, Store};

use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::op::{Door, Vector};
use crate::osd::{Osd, error};
use crate::session::{Admission, Answer, Reply, Stored};
use crate::vector::{self, Caller, Evaluated, Fact};
use crate::{Millis, OpError, Refused};

/// An op vector and who sends it.
#[derive(Clone, Debug)]
pub struct Request {
    /// 0 = nobody in particular: only for vectors that just read.
    pub gid: u64,
    /// Number of the op in its session; above 0 for vectors that mutate.
    pub tid: u64,
    /// The client has the answers to all lower tids; 0 = keep all.
    pub watermark: u64,
    /// What is to be done.
    pub vector: Vector,
}

/// Of a vector: its object, its reply, and a reply that is not needed any longer. In one allocation: a list that grows leaves gaps
/// between the objects that are made meanwhile, 16 bytes for each.
const USUAL_CHANGES: usize = 3;

impl<S: Store> Osd<S> {
    /// Executes a vector, or gives the stored reply if its tid ran before. The reply is to be held until what it may have seen
    /// is durable: [`Osd::seen_by`].
    ///
    /// EBLOCKLISTED, ENOTCONN: the session is over. ESTALE: the tid is below the watermark. ENOENT: no such pool. EINVAL:
    /// gid 0 or tid 0 with a vector that mutates. EAGAIN: too many stored replies. Others: see
    /// [`evaluate`](vector::evaluate).
    ///
    /// The reply is shared with what is stored: whoever needs one of its own clones it outside of the step.
    pub fn operate(&mut self, now: Millis, request: &Request) -> (Arc<Reply>, Vec<Effect>) {
        self.begin(now);
        let reply = self.answer(request);
        self.done(reply)
    }

    fn answer(&mut self, request: &Request) -> Arc<Reply> {
        let Request { gid, tid, ref vector, .. } = *request;
        let mutates = vector::mutates(&vector.ops);
        match self.admit_vector(request, mutates) {
            Ok(Admission::Ran(Stored::Reply(reply))) => {
                marks::hit(Mark::TidAgain);
                self.step.tell(event(Kind::Duplicate, request).detail(vector::summary(&vector.ops)));
                return reply;
            }
            Ok(Admission::Ran(Stored::SnapId(_))) => {
                marks::hit(Mark::TidMixedUp);
                let text = format!("tid {tid} of client {gid} was used to allocate a snap id");
                return Arc::new(self.refuse(request, error(Errno::EINVAL, text).into()));
            }
            Ok(Admission::Run) => {}
            Err(refusal) => return Arc::new(self.refuse(request, refusal.into())),
        }
        let reply = self.evaluate(request).and_then(|(evaluated, id)| self.apply(request, evaluated, &id));
        let reply = reply.unwrap_or_else(|refused| Arc::new(self.refuse(request, refused)));
        if let Some(session) = self.sessions.get_mut(&gid).filter(|_| mutates) {
            session.store(tid, Stored::Reply(reply.clone()), &self.config);
        }
        reply
    }

    fn admit_vector(&mut self, request: &Request, mutates: bool) -> Result<Admission, OpError> {
        let &Request { gid, tid, watermark, .. } = request;
        if gid == 0 {
            let text = || "gid 0 may only read: connect first".to_owned();
            return if mutates { Err(error(Errno::EINVAL, text())) } else { Ok(Admission::Run) };
        }
        self.admit(gid)?;
        let session = self.sessions.get_mut(&gid).expect("admit found it");
        session.advance(watermark);
        session.check_tid(tid)?;
        if mutates { session.admit(tid, &self.config) } else { Ok(Admission::Run) }
    }

    fn evaluate(&self, request: &Request) -> Result<(Evaluated, ObjectId), Refused> {
        let &Request { gid, ref vector, .. } = request;
        let pool = self.pool(&vector.pool)?;
        let address = self.sessions.get(&gid).map_or("", |session| session.address.as_str());
        let now = self.step.now;
        let unix_ms = self.config.started_unix_ms.saturating_add(now.0);
        let (namespace, name) = (vector.namespace.clone(), vector.object.clone());
        let id = ObjectId { pool: pool.id, namespace, name };
        let watchers = self.watches.gids(&id);
        let around = (vector.terms.door == Door::Ceph).then(|| self.around(gid, &id));
        let caller = Caller { gid, address, pools: &self.pools, watchers: &watchers, now, unix_ms, around };
        let evaluated = vector::evaluate(&self.store, &self.config.limits, pool, &caller, vector)?;
        Ok((evaluated, id))
    }

    /// EIO, ENOSPC: the store has failed, and nothing has happened. A reply to what has changed something is a record, from the same
    /// moment on; what has changed nothing may be evaluated again when an OSD is opened anew.
    fn apply(
        &mut self,
        request: &Request,
        evaluated: Evaluated,
        id: &ObjectId,
    ) -> Result<Arc<Reply>, Refused> {
        let Evaluated { number, results, version, transaction, facts } = evaluated;
        let reply = Arc::new(Ok(Answer { version, number, results }));
        let is_applied = transaction.is_some();
        let mut changes = Vec::with_capacity(USUAL_CHANGES);
        changes.extend(transaction.unwrap_or_default().changes);
        let of_object = changes.len();
        if let Some(newest) = facts.iter().filter_map(Fact::snap_id).max().filter(|_| is_applied) {
            changes.push(self.pool(&request.vector.pool)?.record_at(newest));
        }
        changes.extend(self.watch_records(request.gid, id, &facts));
        let named = if is_applied { self.unnamed.named_by(id.pool, &request.vector) } else { Vec::new() };
        changes.extend(named.iter().filter_map(|&snap_id| self.unnamed.going(id.pool, snap_id)));
        if !changes.is_empty() {
            let alone = (changes.len() == of_object).then_some(id);
            self.submit_answered((request.gid, request.tid), alone, changes, Stored::Reply(reply.clone()))
                .map_err(|error| vector::describe(&request.vector, None, &error.into()))?;
        }
        if is_applied {
            let (summary, arguments) =
                (vector::summary(&request.vector.ops), vector::arguments(&request.vector.ops));
            let applied = event(Kind::Applied, request).version(version).detail(summary);
            self.step.tell(applied.arguments(arguments));
        }
        named.into_iter().for_each(|snap_id| self.unnamed.gone(id.pool, snap_id));
        for fact in facts {
            self.take_note(request, version, id, fact);
        }
        Ok(reply)
    }

    /// Makes changes happen together with the record of what a live session is told of them. `alone` is the object if they change
    /// nothing else.
    pub(crate) fn submit_answered(
        &mut self,
        (gid, tid): (u64, u64),
        alone: Option<&ObjectId>,
        mut changes: Vec<Change>,
        stored: Stored,
    ) -> store::Stored<()> {
        let session = self.sessions.get(&gid).expect("it was admitted");
        changes.extend(session.reply_records(gid, tid, stored));
        match alone {
            Some(id) => self.submit_of(id, changes)?,
            None => self.submit(changes)?,
        };
        self.sessions.get_mut(&gid).expect("it was admitted").recorded();
        Ok(())
    }

    fn take_note(&mut self, request: &Request, version: u64, id: &ObjectId, fact: Fact) {
        let gid = request.gid;
        let (kind, whom, detail) = match fact {
            Fact::ObjectRemoved => return self.watches.remove_object(&mut self.step, id),
            Fact::SnapIdTaken(snap_id) => {
                return self.snap_id_taken(&request.vector.pool, snap_id, gid, request.tid);
            }
            Fact::Watching(deed) => return self.carry_out(request, version, id, deed),
            Fact::LockTaken { name, cookie } => (Kind::Lock, gid, format!("{name} '{cookie}'")),
            Fact::LockReleased { name, cookie } => (Kind::Unlock, gid, format!("{name} '{cookie}'")),
            Fact::LockBroken { name, gid: holder, cookie } => {
                (Kind::LockBroken, holder, format!("{name} '{cookie}' by client {gid}"))
            }
            Fact::LockCookieChanged { name, old, new } => {
                (Kind::LockCookie, gid, format!("{name} '{old}' became '{new}'"))
            }
        };
        self.step.tell(Event { gid: whom, ..event(kind, request).version(version).detail(detail) });
    }

    fn refuse(&mut self, request: &Request, refused: Refused) -> Reply {
        let OpError { errno, text, .. } = &refused.error;
        self.step.tell(event(Kind::Refused, request).error(*errno).detail(text));
        Err(refused)
    }
}

fn event(kind: Kind, request: &Request) -> Event {
    let Request { gid, tid, vector, .. } = request;
    Event::new(kind, *gid).tid(*tid).on(&vector.pool, &vector.object.to_string())
}
