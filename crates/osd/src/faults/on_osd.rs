//! What faults need to know of the OSD, and what they do to it.

use bytes::Bytes;
use store::{Name, ObjectId, Store};

use super::{Action, Crossing, Verdict};
use crate::Millis;
use crate::effect::Effect;
use crate::event::{Event, Kind};
use crate::osd::Osd;
use crate::watch::StreamId;

impl<S: Store> Osd<S> {
    /// The name that a live session gave at connect; empty for others.
    pub fn client_name(&self, gid: u64) -> &str {
        self.sessions.get(&gid).map_or("", |session| &session.name)
    }

    /// The address of a live session, IP:PORT/NONCE; empty for others.
    pub fn client_address(&self, gid: u64) -> &str {
        self.sessions.get(&gid).map_or("", |session| &session.address)
    }

    /// Whose watch stream it is; `None` when it was cut.
    pub fn stream_owner(&self, stream: StreamId) -> Option<u64> {
        self.watches.owner(stream)
    }

    /// The watch stream of a session, if it has one.
    pub fn watch_stream(&self, gid: u64) -> Option<StreamId> {
        self.sessions.get(&gid).and_then(|session| session.watch_stream)
    }

    /// What a notify says that waits for acks, on the object of this namespace and name.
    pub fn notify_payload(
        &self,
        pool: &str,
        (namespace, name): (&Name, &Name),
        notify_id: u64,
    ) -> Option<Bytes> {
        let pool = self.pools.get(pool)?.id;
        let id = ObjectId { pool, namespace: namespace.clone(), name: name.clone() };
        let watched = self.watches.objects.get(&id)?;
        watched.notifies.get(&notify_id).map(|notify| notify.payload.clone())
    }

    /// The client's watches of the object expire, as if they had been silent.
    pub fn expire_watches(&mut self, now: Millis, gid: u64, pool: &str, object: &str) -> Vec<Effect> {
        self.begin(now);
        if let Some(id) = self.object_id(pool, object) {
            self.watches.expire(&mut self.step, &id, gid);
        }
        self.done(()).1
    }

    /// Logs a fault that befell something.
    pub fn tell_fault(&mut self, now: Millis, verdict: Verdict, crossing: &Crossing<'_>) -> Vec<Effect> {
        self.begin(now);
        let Verdict { rule, action } = verdict;
        let what = crossing.ops.join(", ");
        let detail = format!("rule {rule}: {} {} {what}", action.name(), crossing.direction.name());
        let event = Event::new(Kind::Fault, crossing.gid).on(crossing.pool, crossing.object);
        let event = event.detail(detail.trim_end());
        self.step.tell(if let Action::Error(errno) = action { event.error(errno) } else { event });
        self.done(()).1
    }

    fn object_id(&self, pool: &str, object: &str) -> Option<ObjectId> {
        Some(ObjectId::new(self.pools.get(pool)?.id, object))
    }
}
