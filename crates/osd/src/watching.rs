//! The OSD's calls around watches and notifies.

use bytes::Bytes;
use errno::Errno;
use store::{At, ObjectId, Store};

use crate::effect::{Effect, WatchEvent};
use crate::error::Refusal;
use crate::event::{Event, Kind};
use crate::limits::{NAME_BYTES_MAX, NOTIFY_TIMEOUT_MAX, WATCH_TIMEOUT_MAX, check_name};
use crate::notify::PendingMax;
use crate::osd::{Osd, error};
use crate::watch::{Place, StreamId, WatchRequest, WatcherInfo};
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
        let stream = self.watches.open_stream(gid);
        let session = self.sessions.get_mut(&gid).expect("admit found it");
        if let Some(replaced) = session.watch_stream.replace(stream) {
            self.watches.lose_stream(&mut self.step, replaced, self.config.osd_client_watch_grace);
            let reason = error(Errno::ENOTCONN, format!("client {gid} opened another watch stream"));
            self.step.effects.push(Effect::CutStream { stream: replaced, reason });
        }
        self.step.send(stream, WatchEvent::Result { cookie: 0, error: None });
        self.done(Ok(stream))
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
                return self.watches.ack(&mut self.step, &place.id, id, notify_id, payload, bytes_max);
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
                let outcome = self.existing(&pool, &object).map(|place| {
                    self.watches.remove(&mut self.step, &place.id, (gid, cookie), Kind::Unwatch, None);
                    self.step.send(stream, WatchEvent::Result { cookie, error: None });
                });
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
        let place = self.existing(pool, object)?;
        if id.1 == 0 {
            return Err(place.error(Errno::EINVAL, "a watch needs a cookie above 0".to_owned()));
        }
        check_timeout(&place, "a watch timeout", timeout, ("WATCH_TIMEOUT_MAX", WATCH_TIMEOUT_MAX))?;
        let timeout = timeout.unwrap_or(self.config.osd_client_watch_timeout);
        self.watches.register(&mut self.step, &place, (id, stream, timeout), &self.config.limits)
    }

    /// A watch stream ended without unwatch. Streams that were cut are ignored.
    pub fn watch_stream_lost(&mut self, now: Millis, stream: StreamId) -> Vec<Effect> {
        self.begin(now);
        let grace = self.config.osd_client_watch_grace;
        if let Some(gid) = self.watches.lose_stream(&mut self.step, stream, grace) {
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
        let place = self.existing(pool, object)?;
        let (bytes, bytes_max) = (payload.len() as u64, self.config.limits.payload_bytes_max);
        if bytes > bytes_max {
            let rule = format!("a notify of {bytes} bytes is more than payload_bytes_max = {bytes_max}");
            return Err(place.error(Errno::E2BIG, rule));
        }
        check_timeout(&place, "a notify timeout", timeout, ("NOTIFY_TIMEOUT_MAX", NOTIFY_TIMEOUT_MAX))?;
        let timeout = timeout.unwrap_or(self.config.osd_default_notify_timeout);
        let pending_max = PendingMax {
            per_object: self.config.limits.pending_notifies_per_object_max,
            bytes: self.config.pending_notify_bytes_max,
        };
        let notify_id = self.watches.notify(&mut self.step, &place, (gid, payload, timeout), pending_max)?;
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
        let reply = self.existing(pool, object).map(|place| self.watchers(&place));
        self.done(reply)
    }

    fn watchers(&self, place: &Place) -> Vec<WatcherInfo> {
        let watched = self.watches.objects.get(&place.id);
        let watches = watched.into_iter().flat_map(|watched| &watched.watches);
        watches
            .map(|(&(gid, cookie), watch)| {
                let session = self.sessions.get(&gid);
                WatcherInfo {
                    gid,
                    cookie,
                    address: session.map_or_else(String::new, |session| session.address.clone()),
                    name: session.map_or_else(String::new, |session| session.name.clone()),
                    timeout: watch.timeout,
                    is_connected: watch.stream.is_some(),
                    expires_in: watch.expires.since(self.step.now),
                }
            })
            .collect()
    }

    /// EBUSY if the instance watches the object, connected or not.
    pub(crate) fn check_unwatched(&self, gid: u64, pool: &str, object: &str) -> Result<(), OpError> {
        let place = self.place(pool, object)?;
        if self.watches.is_watched_by(&place.id, gid) {
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
            Err(error) => {
                let Refusal { errno, rule, .. } = error.into();
                Err(place.error(errno, rule))
            }
        }
    }
}

/// EINVAL for a time beyond the limit: what waits for a client must end.
fn check_timeout(
    place: &Place,
    what: &str,
    asked_for: Option<Millis>,
    (limit, Millis(max)): (&str, Millis),
) -> Result<(), OpError> {
    match asked_for {
        Some(Millis(timeout)) if timeout > max => {
            let rule = format!("{what} of {timeout} ms is more than {limit} = {max} ms");
            Err(place.error(Errno::EINVAL, rule))
        }
        _ => Ok(()),
    }
}
