//! Op vectors: what runs once, however often it is sent.

use std::sync::Arc;

use errno::Errno;
use store::{ObjectId, Store};

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

impl<S: Store> Osd<S> {
    /// Executes a vector, or gives the stored reply if its tid ran before. The reply is to be held until what it may have seen
    /// is durable: [`Osd::seen`].
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
                self.step.tell(event(Kind::Duplicate, request).detail(vector::summary(&vector.ops)));
                return reply;
            }
            Ok(Admission::Ran(Stored::SnapId(_))) => {
                let text = format!("tid {tid} of client {gid} was used to allocate a snap id");
                return Arc::new(self.refuse(request, error(Errno::EINVAL, text).into()));
            }
            Ok(Admission::Run) => {}
            Err(refusal) => return Arc::new(self.refuse(request, refusal.into())),
        }
        let reply = self.evaluate(request).and_then(|(evaluated, id)| self.apply(request, evaluated, &id));
        let reply = Arc::new(reply.or_else(|refused| self.refuse(request, refused)));
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

    /// EIO, ENOSPC: the store has failed, and nothing has happened.
    fn apply(&mut self, request: &Request, evaluated: Evaluated, id: &ObjectId) -> Result<Answer, Refused> {
        let Evaluated { number, results, version, transaction, facts } = evaluated;
        let pool = &request.vector.pool;
        if let Some(mut transaction) = transaction {
            if let Some(newest) = facts.iter().filter_map(Fact::snap_id).max() {
                transaction.changes.push(self.pool(pool)?.record_at(newest));
            }
            self.submit(transaction.changes)
                .map_err(|error| vector::describe(&request.vector, None, &error.into()))?;
            let (summary, arguments) =
                (vector::summary(&request.vector.ops), vector::arguments(&request.vector.ops));
            let applied = event(Kind::Applied, request).version(version).detail(summary);
            self.step.tell(applied.arguments(arguments));
        }
        for fact in facts {
            self.take_note(request, version, id, fact);
        }
        Ok(Answer { version, number, results })
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
