//! Watches: who wants to hear what is said on an object.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use errno::Errno;
use marks::Mark;
use store::{Change, ObjectId};

use crate::agenda::Due;
use crate::effect::{Step, WatchEvent};
use crate::error::{Outcome, Refusal, refuse};
use crate::event::{Event, Kind};
use crate::limits::Limits;
use crate::notify::Notify;
use crate::{Millis, OpError, records};

/// Names a watch stream; given by the OSD, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// What comes up a watch stream after its hello. The rules and errors of each stand at its message in osd.proto.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of osd.proto, documented there")]
pub enum WatchRequest {
    Register { pool: String, object: String, cookie: u64, timeout: Option<Millis> },
    Reconnect { pool: String, object: String, cookie: u64 },
    Ping { sequence: u64 },
    Ack { pool: String, object: String, notify_id: u64, cookie: u64, payload: Bytes },
    Unwatch { pool: String, object: String, cookie: u64 },
}

/// A watch, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Whose it is.
    pub gid: u64,
    /// Which of his.
    pub cookie: u64,
    /// Of the session.
    pub address: String,
    /// Of the session.
    pub name: String,
    /// How long it may be silent.
    pub timeout: Millis,
    /// Its stream is there.
    pub is_connected: bool,
    /// When nothing more is heard of it.
    pub expires_in: Millis,
}

/// An object by its id, and by the name of its pool.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) id: ObjectId,
    pub(crate) pool: String,
}

impl Place {
    pub(crate) fn event(&self, kind: Kind, gid: u64) -> Event {
        Event::new(kind, gid).on(&self.pool, &self.id.name.to_string())
    }
}

/// (gid, cookie)
pub(crate) type WatchId = (u64, u64);

/// | state        | event                          | next                                          |
/// |--------------|--------------------------------|-----------------------------------------------|
/// | -            | register                       | connected, expires in `timeout`               |
/// | connected    | ping of its stream, reconnect  | connected, expires in `timeout`               |
/// | any          | register                       | connected, expires in its new `timeout`; pending notifies are sent again |
/// | connected    | stream lost or replaced        | disconnected, expires in `grace` at the latest|
/// | disconnected | reconnect                      | connected, pending notifies are sent again    |
/// | any          | expired, object removed, fenced| gone; told so if its stream is there          |
/// | any          | unwatch, session ended         | gone                                          |
/// | any          | the OSD is opened anew         | disconnected, expires in `timeout`            |
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) timeout: Millis,
    /// `None` = disconnected.
    pub(crate) stream: Option<StreamId>,
    pub(crate) expires: Millis,
    /// Its time in the agenda, never later than `expires`.
    due: Millis,
}

/// A watch stream that is open.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) gid: u64,
    /// It was asked for a ping and none has come since.
    pub(crate) owes_ping: bool,
}

/// What is going on around one object.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) place: Place,
    pub(crate) watches: BTreeMap<WatchId, Watch>,
    pub(crate) notifies: BTreeMap<u64, Notify>,
}

/// Every watch and every notify that waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchTable {
    pub(crate) objects: BTreeMap<ObjectId, Watched>,
    by_gid: BTreeMap<u64, BTreeSet<(ObjectId, u64)>>,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    newest_stream: u64,
    pub(crate) newest_notify: u64,
    /// What all notifies that wait cost.
    pub(crate) pending_bytes: usize,
    /// Notifies that ended in this step, by notifier.
    pub(crate) ended: Vec<u64>,
}

/// Numbers that one life of the OSD may give to streams and to notifies, as a power of two. None is given twice.
const LIFE_BITS: u32 = 32;

/// Lives whose numbers do not run out.
pub(crate) const LIVES_MAX: u64 = (1 << (u64::BITS - LIFE_BITS)) - 2;

impl WatchTable {
    /// Who watches an object, by global id.
    pub(crate) fn gids(&self, id: &ObjectId) -> Vec<u64> {
        let watched = self.objects.get(id);
        watched.map_or_else(Vec::new, |watched| watched.watches.keys().map(|&(gid, _)| gid).collect())
    }

    /// The OSD was opened so often before: what is late from then must not be taken for what is from this life.
    pub(crate) fn begin_life(&mut self, lives: u64) {
        (self.newest_stream, self.newest_notify) = (lives << LIFE_BITS, lives << LIFE_BITS);
    }

    pub(crate) fn open_stream(&mut self, gid: u64) -> StreamId {
        self.newest_stream += 1;
        let stream = StreamId(self.newest_stream);
        self.streams.insert(stream, Stream { gid, owes_ping: false });
        stream
    }

    /// Whose stream it is; `None` when it was cut.
    pub(crate) fn owner(&self, stream: StreamId) -> Option<u64> {
        self.streams.get(&stream).map(|stream| stream.gid)
    }

    /// Whether the client has a watch on the object, connected or not.
    pub(crate) fn is_watched_by(&self, object: &ObjectId, gid: u64) -> bool {
        let watched = self.objects.get(object);
        watched.is_some_and(|watched| watched.watches.range((gid, 0)..=(gid, u64::MAX)).next().is_some())
    }

    pub(crate) fn is_there(&self, object: &ObjectId, id: WatchId) -> bool {
        self.objects.get(object).is_some_and(|watched| watched.watches.contains_key(&id))
    }

    /// EMFILE without room for one more watch of the client on the object.
    pub(crate) fn check_register(&self, object: &ObjectId, id: WatchId, limits: &Limits) -> Outcome<()> {
        if self.is_there(object, id) {
            return Ok(());
        }
        let watched = self.objects.get(object);
        let of_object = watched.map_or(0, |watched| watched.watches.len());
        let of_session = self.by_gid.get(&id.0).map_or(0, BTreeSet::len);
        let Limits { watches_per_object_max, watches_per_session_max, .. } = *limits;
        if of_object >= watches_per_object_max as usize {
            marks::hit(Mark::WatchBeyondRoom);
            let rule = format!("it has watches_per_object_max = {watches_per_object_max} watches");
            return refuse(Errno::EMFILE, rule);
        }
        if of_session >= watches_per_session_max as usize {
            marks::hit(Mark::WatchBeyondRoom);
            let gid = id.0;
            let rule =
                format!("client {gid} has watches_per_session_max = {watches_per_session_max} watches");
            return refuse(Errno::EMFILE, rule);
        }
        Ok(())
    }

    /// Registers a watch for which there is room. A cookie that is registered already is registered anew, as in Ceph: with this
    /// timeout, on this stream.
    pub(crate) fn register(
        &mut self,
        step: &mut Step,
        place: &Place,
        (id, stream, timeout): (WatchId, StreamId, Millis),
    ) {
        let watched = self.objects.entry(place.id.clone()).or_insert_with(|| Watched::new(place.clone()));
        let is_known = watched.watches.contains_key(&id);
        marks::hit(if is_known { Mark::WatchRegisteredAgain } else { Mark::WatchRegistered });
        let (gid, cookie) = id;
        self.by_gid.entry(gid).or_default().insert((place.id.clone(), cookie));
        watched.attach(step, id, (stream, timeout), Kind::Watch);
    }

    /// A watch of an earlier life of the OSD: its client is not known to be gone, and has the whole time to come back.
    pub(crate) fn restore(&mut self, step: &mut Step, place: &Place, id: WatchId, timeout: Millis) {
        let watched = self.objects.entry(place.id.clone()).or_insert_with(|| Watched::new(place.clone()));
        marks::hit(Mark::WatchRestored);
        let (gid, cookie) = id;
        self.by_gid.entry(gid).or_default().insert((place.id.clone(), cookie));
        let expires = step.now.after(timeout);
        watched.watches.insert(id, Watch { timeout, stream: None, expires, due: expires });
        step.agenda.add(expires, due(&place.id, id));
    }

    /// ENOTCONN when the watch is gone.
    pub(crate) fn reconnect(
        &mut self,
        step: &mut Step,
        place: &Place,
        id: WatchId,
        stream: StreamId,
    ) -> Result<(), OpError> {
        let (gid, cookie) = id;
        let watched = self.objects.get_mut(&place.id);
        let known = watched.and_then(|watched| {
            let watch = watched.watches.get(&id)?;
            Some((watch.timeout, watch.stream.is_some(), watched))
        });
        let Some((timeout, is_connected, watched)) = known else {
            marks::hit(Mark::WatchReconnectedTooLate);
            let rule = format!("the watch of client {gid} with cookie {cookie} is gone");
            return Err(place.error(Errno::ENOTCONN, rule));
        };
        marks::hit(if is_connected { Mark::WatchReconnectedConnected } else { Mark::WatchReconnected });
        watched.attach(step, id, (stream, timeout), Kind::Reconnected);
        Ok(())
    }

    /// Renews every watch that is attached to the stream.
    pub(crate) fn ping(&mut self, step: &mut Step, gid: u64, stream: StreamId, sequence: u64) {
        for (object, cookie) in self.by_gid.get(&gid).into_iter().flatten() {
            let watched = self.objects.get_mut(object);
            let watch = watched.and_then(|watched| watched.watches.get_mut(&(gid, *cookie)));
            if let Some(watch) = watch.filter(|watch| watch.stream == Some(stream)) {
                marks::hit(Mark::WatchPinged);
                watch.expires = step.now.after(watch.timeout);
            }
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.owes_ping = false;
        }
        step.send(stream, WatchEvent::Pong { sequence });
    }

    /// The stream's watches wait for a reconnect until `grace` is over or their timeout, whichever is earlier. Whose
    /// stream it was; `None` when it was not known.
    pub(crate) fn lose_stream(&mut self, step: &mut Step, stream: StreamId, grace: Millis) -> Option<u64> {
        let Stream { gid, .. } = self.streams.remove(&stream)?;
        for (object, cookie) in self.by_gid.get(&gid).into_iter().flatten() {
            let id = (gid, *cookie);
            let Some(watched) = self.objects.get_mut(object) else { continue };
            let watch = watched.watches.get_mut(&id);
            let Some(watch) = watch.filter(|watch| watch.stream == Some(stream)) else { continue };
            watch.stream = None;
            watch.expires = watch.expires.min(step.now.after(grace));
            step.agenda.remove(watch.due, due(object, id));
            watch.due = watch.expires;
            step.agenda.add(watch.due, due(object, id));
            step.tell(watched.place.event(Kind::WatchLost, gid).cookie(*cookie));
        }
        Some(gid)
    }

    /// The stream could not take what was sent: whoever notified its watches is told that they have missed it, unless they
    /// come back and answer.
    pub(crate) fn overrun(&mut self, stream: StreamId) {
        let Some(gid) = self.owner(stream) else { return };
        for (object, cookie) in self.by_gid.get(&gid).into_iter().flatten() {
            let id = (gid, *cookie);
            let Some(Watched { watches, notifies, .. }) = self.objects.get_mut(object) else { continue };
            if watches.get(&id).is_some_and(|watch| watch.stream == Some(stream)) {
                notifies.values_mut().for_each(|notify| notify.is_unheard_by(id));
            }
        }
    }

    /// Forgets a stream whose watches are gone.
    pub(crate) fn close_stream(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// The agenda says that a watch may have expired.
    pub(crate) fn look_at(&mut self, step: &mut Step, object: &ObjectId, id: WatchId) {
        let Some(watched) = self.objects.get_mut(object) else { return };
        let Some(watch) = watched.watches.get_mut(&id) else { return };
        watch.due = watch.expires;
        if watch.expires > step.now {
            return step.agenda.add(watch.due, due(object, id));
        }
        let was_silent = watch.stream.is_some();
        marks::hit(if was_silent { Mark::WatchExpired } else { Mark::WatchExpiredDisconnected });
        let detail = if was_silent { "silent for its timeout" } else { "its connection did not come back" };
        let error = watched.place.error(Errno::ENOTCONN, format!("the watch expired: {detail}"));
        self.end(step, object, id, End::expired(&error));
    }

    /// What the store is to know when the watches of an object are gone.
    pub(crate) fn all_gone(&self, object: &ObjectId) -> impl Iterator<Item = Change> {
        let watches = self.objects.get(object).into_iter().flat_map(|watched| watched.watches.keys());
        watches.map(|&id| records::gone(records::watching_key(object, id)))
    }

    /// A watch ends that nobody gave up: its record goes behind the step.
    fn end(&mut self, step: &mut Step, object: &ObjectId, id: WatchId, end: End<'_>) {
        step.unsaved.push(records::gone(records::watching_key(object, id)));
        self.remove(step, object, id, end);
    }

    /// Takes a watch away that has no record; nobody waits for its acks any more.
    pub(crate) fn remove(&mut self, step: &mut Step, object: &ObjectId, id: WatchId, end: End<'_>) {
        let End { kind, error } = end;
        let Some(watched) = self.objects.get_mut(object) else { return };
        let Some(watch) = watched.watches.remove(&id) else { return };
        let (gid, cookie) = id;
        step.agenda.remove(watch.due, due(object, id));
        let event = watched.place.event(kind, gid).cookie(cookie);
        step.tell(match error {
            Some(error) => event.error(error.errno).detail(error.text.clone()),
            None => event,
        });
        if let (Some(stream), Some(error)) = (watch.stream, error) {
            let (pool, object) = (watched.place.pool.clone(), object.name.to_string());
            step.send(stream, WatchEvent::Disconnected { pool, object, cookie, error: error.clone() });
        }
        if let Some(of_gid) = self.by_gid.get_mut(&gid) {
            of_gid.remove(&(object.clone(), cookie));
            if of_gid.is_empty() {
                self.by_gid.remove(&gid);
            }
        }
        self.stop_waiting(step, object, id);
        self.tidy(object);
    }

    /// Takes every watch of a client away.
    pub(crate) fn remove_client(&mut self, step: &mut Step, gid: u64, end: End<'_>) {
        for (object, cookie) in self.by_gid.remove(&gid).unwrap_or_default() {
            let is_fenced = end.error.is_some_and(|error| error.errno == Errno::EBLOCKLISTED);
            marks::hit(if is_fenced { Mark::WatchFenced } else { Mark::WatchSessionEnded });
            self.end(step, &object, (gid, cookie), end);
        }
    }

    /// The object is gone, and the records of its watches: they are, too.
    pub(crate) fn remove_object(&mut self, step: &mut Step, object: &ObjectId) {
        let Some(watched) = self.objects.get(object) else { return };
        let error = watched.place.error(Errno::ENOTCONN, "the object was removed".to_owned());
        let ids: Vec<WatchId> = watched.watches.keys().copied().collect();
        for id in ids {
            marks::hit(Mark::WatchObjectRemoved);
            self.remove(step, object, id, End::expired(&error));
        }
    }

    /// The client's watches of the object expire before their time.
    pub(crate) fn expire(&mut self, step: &mut Step, object: &ObjectId, gid: u64) {
        let Some(watched) = self.objects.get(object) else { return };
        let error = watched.place.error(Errno::ENOTCONN, "the watch expired: a fault on purpose");
        let of_client = watched.watches.range((gid, 0)..=(gid, u64::MAX));
        let ids: Vec<WatchId> = of_client.map(|(&id, _)| id).collect();
        for id in ids {
            marks::hit(Mark::WatchExpiredOnPurpose);
            self.end(step, object, id, End::expired(&error));
        }
    }

    /// Who watches what, and which notifies wait for whom; no moments.
    pub(crate) fn project(&self, into: &mut impl Hasher) {
        for (object, watched) in &self.objects {
            object.name[..].hash(into);
            for (id, watch) in &watched.watches {
                (id, watch.stream.is_some()).hash(into);
            }
            for (notify_id, notify) in &watched.notifies {
                into.write_u64(notify_id | 1 << 62);
                notify.project(into);
            }
        }
    }

    pub(crate) fn pending(&self) -> Vec<(u64, Vec<WatchId>)> {
        let notifies = self.objects.values().flat_map(|watched| &watched.notifies);
        notifies.map(|(&notify_id, notify)| (notify_id, notify.waiting().collect())).collect()
    }

    /// Forgets an object around which nothing goes on.
    pub(crate) fn tidy(&mut self, object: &ObjectId) {
        if self
            .objects
            .get(object)
            .is_some_and(|watched| watched.watches.is_empty() && watched.notifies.is_empty())
        {
            self.objects.remove(object);
        }
    }
}

/// How a watch ends.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    /// Of its event.
    kind: Kind,
    /// What its stream is told, if that is there.
    error: Option<&'a OpError>,
}

impl<'a> End<'a> {
    /// Its client gives it up.
    pub(crate) const GIVEN_UP: Self = Self { kind: Kind::Unwatch, error: None };
    /// Nobody is there to be told.
    pub(crate) const EXPIRED: Self = Self { kind: Kind::WatchExpired, error: None };

    pub(crate) fn expired(error: &'a OpError) -> Self {
        Self { error: Some(error), ..Self::EXPIRED }
    }
}

impl Watched {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, watches: BTreeMap::new(), notifies: BTreeMap::new() }
    }

    /// The watch has its whole time, on this stream; the notifies that wait for it are sent again.
    fn attach(&mut self, step: &mut Step, id: WatchId, (stream, timeout): (StreamId, Millis), kind: Kind) {
        let (gid, cookie) = id;
        if let Some(former) = self.watches.get(&id) {
            step.agenda.remove(former.due, due(&self.place.id, id));
        }
        let expires = step.now.after(timeout);
        self.watches.insert(id, Watch { timeout, stream: Some(stream), expires, due: expires });
        step.agenda.add(expires, due(&self.place.id, id));
        step.tell(self.place.event(kind, gid).cookie(cookie));
        step.send(stream, WatchEvent::Result { cookie, error: None });
        for (&notify_id, notify) in self.notifies.iter().filter(|(_, notify)| notify.waits_for(id)) {
            marks::hit(Mark::NotifySentAgain);
            notify.send(step, &self.place, notify_id, id, stream);
        }
    }
}

impl Place {
    pub(crate) fn error(&self, errno: Errno, rule: impl std::fmt::Display) -> OpError {
        OpError { errno, failed_op: None, text: format!("{}/{}: {rule}", self.pool, self.id.name) }
    }

    /// A rule that was broken here.
    pub(crate) fn refusal(&self, Refusal { errno, rule, .. }: Refusal) -> OpError {
        self.error(errno, rule)
    }
}

fn due(object: &ObjectId, (gid, cookie): WatchId) -> Due {
    Due::Watch { object: object.clone(), gid, cookie }
}
