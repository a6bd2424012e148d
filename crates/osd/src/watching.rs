//! The OSD's calls around watches and notifies.

use bytes::Bytes;
use errno::Errno;
use marks::Mark;
use store::{At, ObjectId, Store};

use crate::around::watchers;
use crate::effect::{Effect, WatchEvent};
use crate::event::{Event, Kind};
use crate::limits::{
    NAME_BYTES_MAX, NOTIFY_TIMEOUT_MAX, WATCH_TIMEOUT_MAX, check_bytes_max, check_name, check_span,
};
use crate::notify::{Answered, PendingMax};
use crate::op::Door;
use crate::osd::{Osd, error};
use crate::records::{self, Watching};
use crate::watch::{End, Place, StreamId, WatchRequest, WatcherInfo};
use crate::{Millis, OpError};

impl<S: Store> Osd<S> {
    /// Opens the watch stream of a session; it replaces an earlier one, which is cut. EBLOCKLISTED, ENOTCONN when the
    /// session is over.
    pub fn watch_hello(&mut self, now: Millis, gid: u64) -> (Result<StreamId, OpError>, Vec<Effect>) {
        self.begin(now);
        if let Err(refusal) = self.admit(gid) {
            self.refuse_call(Event::new(Kind::Refused, gid), "watch", &refusal);
            return self.done(Err(refusal));
        }
        let stream = self.replace_stream(gid);
        self.step.send(stream, WatchEvent::Result { cookie: 0, error: None });
        self.done(Ok(stream))
    }

    /// Opens a watch stream of a session that is there; an earlier one is cut.
    pub(crate) fn replace_stream(&mut self, gid: u64) -> StreamId {
        let stream = self.watches.open_stream(gid);
        let session = self.sessions.get_mut(&gid).expect("it is there");
        if let Some(replaced) = session.watch_stream.replace(stream) {
            marks::hit(Mark::WatchReplaced);
            self.watches.lose_stream(&mut self.step, replaced, self.config.osd_client_watch_grace);
            let reason = error(Errno::ENOTCONN, format!("client {gid} opened another watch stream"));
            self.step.effects.push(Effect::CutStream { stream: replaced, reason });
        }
        stream
    }

    /// One request from a watch stream, in the order in which they came. What comes from a stream that was cut is
    /// ignored.
    pub fn watch_request(&mut self, now: Millis, stream: StreamId, request: WatchRequest) -> Vec<Effect> {
        self.begin(now);
        if let Some(gid) = self.watches.owner(stream) {
            if let Some(session) = self.sessions.get_mut(&gid) {
                session.last_heard = self.step.now;
            }
            self.watch_step(gid, stream, request);
        }
        self.done(()).1
    }

    fn watch_step(&mut self, gid: u64, stream: StreamId, request: WatchRequest) {
        let (cookie, place, outcome) = match request {
            WatchRequest::Ping { sequence } => {
                return self.watches.ping(&mut self.step, gid, stream, sequence);
            }
            WatchRequest::Ack { pool, object, notify_id, cookie, payload } => {
                let Ok(place) = self.place(&pool, &object) else { return };
                let bytes_max = self.config.pending_notify_bytes_max;
                let id = (gid, cookie);
                let ack = (notify_id, Door::Grpc, payload);
                return self.watches.ack(&mut self.step, &place.id, id, ack, bytes_max);
            }
            WatchRequest::Register { pool, object, cookie, timeout } => {
                let outcome = self.register(&pool, &object, (gid, cookie), stream, timeout);
                (cookie, (pool, object), outcome)
            }
            WatchRequest::Reconnect { pool, object, cookie } => {
                let found = self.existing(&pool, &object);
                let outcome = found
                    .and_then(|place| self.watches.reconnect(&mut self.step, &place, (gid, cookie), stream));
                (cookie, (pool, object), outcome)
            }
            WatchRequest::Unwatch { pool, object, cookie } => {
                let outcome = self.unwatch(&pool, &object, (gid, cookie), stream);
                (cookie, (pool, object), outcome)
            }
        };
        if let Err(refusal) = outcome {
            let event = Event::new(Kind::Refused, gid).on(&place.0, &place.1).cookie(cookie);
            self.refuse_call(event, "watch", &refusal);
            self.step.send(stream, WatchEvent::Result { cookie, error: Some(refusal) });
        }
    }

    fn register(
        &mut self,
        pool: &str,
        object: &str,
        id: (u64, u64),
        stream: StreamId,
        timeout: Option<Millis>,
    ) -> Result<(), OpError> {
        let place = self.existing(pool, object).inspect_err(|_| marks::hit(Mark::WatchOfNothing))?;
        if id.1 == 0 {
            return Err(place.error(Errno::EINVAL, "a watch needs a cookie above 0".to_owned()));
        }
        check_timeout(&place, "a watch timeout", timeout, ("WATCH_TIMEOUT_MAX", WATCH_TIMEOUT_MAX))?;
        let timeout = timeout.unwrap_or(self.config.osd_client_watch_timeout);
        let room = self.watches.check_register(&place.id, id, &self.config.limits);
        room.map_err(|refusal| place.refusal(refusal))?;
        let record = records::kept(&Watching::new(&place.id, id, timeout));
        self.submit(vec![record]).map_err(|error| place.refusal(error.into()))?;
        self.watches.register(&mut self.step, &place, (id, stream, timeout));
        Ok(())
    }

    fn unwatch(&mut self, pool: &str, object: &str, id: (u64, u64), stream: StreamId) -> Result<(), OpError> {
        let place = self.existing(pool, object)?;
        let is_there = self.watches.is_there(&place.id, id);
        marks::hit(if is_there { Mark::WatchUnwatched } else { Mark::WatchUnwatchedAgain });
        if is_there {
            let record = records::gone(records::watching_key(&place.id, id));
            self.submit(vec![record]).map_err(|error| place.refusal(error.into()))?;
        }
        self.watches.remove(&mut self.step, &place.id, id, End::GIVEN_UP);
        self.step.send(stream, WatchEvent::Result { cookie: id.1, error: None });
        Ok(())
    }

    /// A watch stream ended without unwatch. Streams that were cut are ignored.
    pub fn watch_stream_lost(&mut self, now: Millis, stream: StreamId) -> Vec<Effect> {
        self.begin(now);
        let grace = self.config.osd_client_watch_grace;
        if let Some(gid) = self.watches.lose_stream(&mut self.step, stream, grace) {
            marks::hit(Mark::WatchLost);
            if let Some(session) =
                self.sessions.get_mut(&gid).filter(|session| session.watch_stream == Some(stream))
            {
                session.watch_stream = None;
            }
            self.rest(gid);
        }
        self.done(()).1
    }

    /// A watch stream cannot take what it was sent, and is cut: it is lost, and the notifies that wait for its watches have
    /// not been heard there. Streams that were cut are ignored.
    pub fn watch_stream_overrun(&mut self, now: Millis, stream: StreamId) -> Vec<Effect> {
        self.watches.overrun(stream);
        self.watch_stream_lost(now, stream)
    }

    /// Starts a notify; its id. The answer comes as [`Effect::NotifyDone`], at once when nobody watches. `timeout` is how
    /// long to wait for acks.
    ///
    /// ENOENT if there is no such object; E2BIG, EINVAL, EAGAIN at the limits; EBLOCKLISTED, ENOTCONN when the session is over.
    pub fn notify(
        &mut self,
        now: Millis,
        gid: u64,
        (pool, object): (&str, &str),
        payload: Bytes,
        timeout: Option<Millis>,
    ) -> (Result<u64, OpError>, Vec<Effect>) {
        self.begin(now);
        let reply = self.start_notify(gid, (pool, object), payload, timeout);
        if let Err(refusal) = &reply {
            self.refuse_call(Event::new(Kind::Refused, gid).on(pool, object), "notify", refusal);
        }
        self.done(reply)
    }

    fn start_notify(
        &mut self,
        gid: u64,
        (pool, object): (&str, &str),
        payload: Bytes,
        timeout: Option<Millis>,
    ) -> Result<u64, OpError> {
        self.admit(gid)?;
        let place = self.existing(pool, object).inspect_err(|_| marks::hit(Mark::NotifyOfNothing))?;
        let refused = |refusal| place.refusal(refusal);
        check_bytes_max("a notify", payload.len() as u64, self.config.limits.payload_bytes_max)
            .map_err(refused)?;
        check_timeout(&place, "a notify timeout", timeout, ("NOTIFY_TIMEOUT_MAX", NOTIFY_TIMEOUT_MAX))?;
        let timeout = timeout.unwrap_or(self.config.osd_default_notify_timeout);
        self.watches.check_notify(&place.id, payload.len(), PendingMax::of(&self.config)).map_err(refused)?;
        let version = self.store.stat(&place.id, At::Head).map_err(|error| refused(error.into()))?;
        let version = version.map_or(0, |stat| stat.version);
        let notify = (payload, timeout, version);
        let notify_id = self.watches.notify(&mut self.step, &place, (gid, Answered::Call), notify);
        if let Some(session) = self.sessions.get_mut(&gid) {
            session.notifies += 1;
        }
        Ok(notify_id)
    }

    /// Every watch of an object, those included that wait for a reconnect. ENOENT if there is no such object.
    pub fn list_watchers(
        &mut self,
        now: Millis,
        pool: &str,
        object: &str,
    ) -> (Result<Vec<WatcherInfo>, OpError>, Vec<Effect>) {
        self.begin(now);
        let found = self.existing(pool, object);
        let reply = found.map(|place| watchers(&self.watches, &self.sessions, &place.id, self.step.now));
        self.done(reply)
    }

    /// EBUSY if the instance watches the object, connected or not.
    pub(crate) fn check_unwatched(&self, gid: u64, pool: &str, object: &str) -> Result<(), OpError> {
        let place = self.place(pool, object)?;
        if self.watches.is_watched_by(&place.id, gid) {
            marks::hit(Mark::FenceOfWatcherRefused);
            return Err(place.error(Errno::EBUSY, format!("client {gid} watches it and is not fenced")));
        }
        Ok(())
    }

    /// ENOENT if there is no such pool, ENAMETOOLONG for a name that nothing can have.
    fn place(&self, pool: &str, object: &str) -> Result<Place, OpError> {
        let pool_id = self.pool(pool)?.id;
        check_name("an object's name", object, NAME_BYTES_MAX)?;
        Ok(Place { id: ObjectId::new(pool_id, object), pool: pool.to_owned() })
    }

    /// ENOENT if there is no such pool or object.
    fn existing(&self, pool: &str, object: &str) -> Result<Place, OpError> {
        let place = self.place(pool, object)?;
        match self.store.stat(&place.id, At::Head) {
            Ok(Some(_)) => Ok(place),
            Ok(None) => Err(place.error(Errno::ENOENT, "there is no such object")),
            Err(error) => Err(place.refusal(error.into())),
        }
    }
}

/// EINVAL for a time beyond the limit: what waits for a client must end.
fn check_timeout(
    place: &Place,
    what: &str,
    asked_for: Option<Millis>,
    limit: (&str, Millis),
) -> Result<(), OpError> {
    let checked = asked_for.map_or(Ok(()), |asked_for| check_span(what, asked_for, limit));
    checked.map_err(|refusal| place.refusal(refusal))
}
