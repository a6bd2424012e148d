//! notify2: a message to every watch of an object, and the gathering of their acks.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use errno::Errno;
use marks::Mark;
use store::ObjectId;

use crate::agenda::Due;
use crate::effect::{Effect, Notification, Step, WatchEvent};
use crate::error::{Outcome, refuse};
use crate::event::Kind;
use crate::limits::{ACK_BYTES_MAX, ACKS_BYTES_MAX, kept};
use crate::op::Door;
use crate::watch::{Place, StreamId, WatchId, WatchTable, Watched};
use crate::{Config, Millis};

/// What came of a notify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyReply {
    /// Name of its pool.
    pub pool: String,
    /// Name of the object whose watches were notified.
    pub object: String,
    /// Somebody did not answer in time, or cannot have heard it.
    pub timed_out: bool,
    /// Every ack, ascending by gid and cookie.
    pub replies: Vec<Ack>,
    /// (gid, cookie) of the watches that did not answer, ascending.
    pub missed: Vec<(u64, u64)>,
}

/// What one watch answered to a notify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Whose watch.
    pub gid: u64,
    /// Which of his.
    pub cookie: u64,
    /// Through which door it came.
    pub door: Door,
    /// What it says.
    pub payload: Bytes,
}

/// What a notify that waits costs, beside its payloads.
const NOTIFY_BYTES: usize = 256;

/// What each watch that a notify waits for costs.
const WAITING_BYTES: usize = 64;

fn waiting_bytes(watches: usize) -> usize {
    NOTIFY_BYTES + WAITING_BYTES * watches
}

/// A notify that waits for acks. A watch that is removed meanwhile is in neither list of the reply, unless the notify was
/// lost on its way.
#[derive(Clone, Debug)]
pub(crate) struct Notify {
    notifier_gid: u64,
    answered: Answered,
    /// Of the object when it began.
    version: u64,
    pub(crate) payload: Bytes,
    deadline: Millis,
    waiting: BTreeSet<WatchId>,
    /// Their streams were cut with the notify inside, and no ack has come since. Whether they are waited for or not, they
    /// have missed it.
    unheard: BTreeSet<WatchId>,
    replies: BTreeMap<WatchId, (Door, Bytes)>,
    /// Payloads of `replies`.
    ack_bytes: usize,
    /// Of all watches when it began.
    watches: usize,
}

impl Notify {
    pub(crate) fn waits_for(&self, id: WatchId) -> bool {
        self.waiting.contains(&id)
    }

    pub(crate) fn is_unheard_by(&mut self, id: WatchId) {
        if self.waiting.contains(&id) {
            marks::hit(Mark::NotifyUnheard);
            self.unheard.insert(id);
        }
    }

    /// Those that have not answered, ascending.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = WatchId> {
        self.waiting.iter().copied()
    }

    /// Everything but moments, versions and sizes.
    pub(crate) fn project(&self, into: &mut impl Hasher) {
        let Self { notifier_gid, payload, waiting, unheard, replies, .. } = self;
        (notifier_gid, payload, waiting, unheard).hash(into);
        for (id, (_, payload)) in replies {
            (id, payload).hash(into);
        }
    }

    /// What it costs to let it wait.
    fn bytes(&self) -> usize {
        waiting_bytes(self.watches) + self.payload.len() + self.ack_bytes
    }

    /// Why the payload of an ack does not count; `None` = it does.
    fn too_large(&self, payload: &Bytes) -> Option<String> {
        let (bytes, sum) = (payload.len(), self.ack_bytes + payload.len());
        if bytes > ACK_BYTES_MAX {
            return Some(format!("an ack of {bytes} bytes is more than ACK_BYTES_MAX = {ACK_BYTES_MAX}"));
        }
        (sum > ACKS_BYTES_MAX)
            .then(|| format!("acks of {sum} bytes are more than ACKS_BYTES_MAX = {ACKS_BYTES_MAX}"))
    }

    /// Puts the notify on its way to one watch.
    pub(crate) fn send(&self, step: &mut Step, place: &Place, notify_id: u64, id: WatchId, stream: StreamId) {
        let (gid, cookie) = id;
        step.tell(place.event(Kind::NotifySent, gid).cookie(cookie).notify_id(notify_id));
        let notification = Notification {
            pool: place.pool.clone(),
            object: place.id.name.to_string(),
            notify_id,
            cookie,
            notifier_gid: self.notifier_gid,
            door: self.answered.door(),
            version: self.version,
            payload: self.payload.clone(),
        };
        step.send(stream, WatchEvent::Notification(notification));
    }
}

/// Where the answer to a notify goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// To whoever made the call: [`Effect::NotifyDone`].
    Call,
    /// Down a stream, while it is there, under the client's name for it.
    At { stream: StreamId, cookie: u64 },
}

/// How much may wait for acks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingMax {
    pub(crate) per_object: u32,
    /// Of all objects together.
    pub(crate) bytes: usize,
}

impl PendingMax {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            per_object: config.limits.pending_notifies_per_object_max,
            bytes: config.pending_notify_bytes_max,
        }
    }
}

impl Answered {
    /// The notifier's: only clients of Ceph's are answered down a stream.
    const fn door(self) -> Door {
        match self {
            Self::Call => Door::Grpc,
            Self::At { .. } => Door::Ceph,
        }
    }
}

impl WatchTable {
    /// EAGAIN when no more may wait.
    pub(crate) fn check_notify(
        &self,
        object: &ObjectId,
        payload_bytes: usize,
        PendingMax { per_object: pending_max, bytes: bytes_max }: PendingMax,
    ) -> Outcome<()> {
        let (pending, watches) = self
            .objects
            .get(object)
            .map_or((0, 0), |watched| (watched.notifies.len(), watched.watches.len()));
        if pending >= pending_max as usize {
            marks::hit(Mark::NotifyBeyondRoom);
            let rule =
                format!("it has pending_notifies_per_object_max = {pending_max} notifies that wait for acks");
            return refuse(Errno::EAGAIN, rule);
        }
        if self.pending_bytes + waiting_bytes(watches) + payload_bytes > bytes_max {
            marks::hit(Mark::NotifyBeyondRoom);
            let rule =
                format!("pending_notify_bytes_max = {bytes_max} bytes of notifies would wait for acks");
            return refuse(Errno::EAGAIN, rule);
        }
        Ok(())
    }

    /// Starts a notify for which there is room, to every watch of the object, the notifier's own included. Watches whose last
    /// ping is older than their timeout have expired before this step. The notify's id.
    pub(crate) fn notify(
        &mut self,
        step: &mut Step,
        place: &Place,
        (notifier_gid, answered): (u64, Answered),
        (payload, timeout, version): (Bytes, Millis, u64),
    ) -> u64 {
        let watched = self.objects.entry(place.id.clone()).or_insert_with(|| Watched::new(place.clone()));
        let deadline = step.now.after(timeout);
        let waiting: BTreeSet<WatchId> = watched.watches.keys().copied().collect();
        let notify = Notify {
            notifier_gid,
            answered,
            version,
            payload: kept(payload),
            deadline,
            watches: waiting.len(),
            waiting,
            unheard: BTreeSet::new(),
            replies: BTreeMap::new(),
            ack_bytes: 0,
        };
        self.newest_notify += 1;
        let notify_id = self.newest_notify;
        self.pending_bytes += notify.bytes();
        let event = place.event(Kind::Notify, notifier_gid).notify_id(notify_id).payload(&notify.payload);
        step.tell(event.detail(format!("to {} watches", notify.watches)));
        if notify.watches == 0 {
            marks::hit(Mark::NotifyOfNobody);
        }
        for (&id, watch) in &watched.watches {
            let is_connected = watch.stream.is_some();
            marks::hit(if is_connected { Mark::NotifySent } else { Mark::NotifyWaitsForDisconnected });
            if let Some(stream) = watch.stream {
                notify.send(step, place, notify_id, id, stream);
            }
        }
        watched.notifies.insert(notify_id, notify);
        step.agenda.add(deadline, due(&place.id, notify_id));
        self.finish_if_answered(step, &place.id, notify_id);
        notify_id
    }

    /// Counts the first ack of a watch; late and repeated ones are ignored. One above a limit counts without payload.
    pub(crate) fn ack(
        &mut self,
        step: &mut Step,
        object: &ObjectId,
        id: WatchId,
        (notify_id, door, payload): (u64, Door, Bytes),
        bytes_max: usize,
    ) {
        let watched = self.objects.get_mut(object);
        let pending =
            watched.and_then(|watched| Some((watched.notifies.get_mut(&notify_id)?, &watched.place)));
        let Some((notify, place)) = pending else { return marks::hit(Mark::NotifyAckedTooLate) };
        if !notify.waiting.remove(&id) {
            return marks::hit(Mark::NotifyAckedAgain);
        }
        notify.unheard.remove(&id);
        let (gid, cookie) = id;
        let event = place.event(Kind::Ack, gid).cookie(cookie).notify_id(notify_id);
        let is_full = self.pending_bytes + payload.len() > bytes_max;
        let full = is_full.then(|| format!("pending_notify_bytes_max = {bytes_max} bytes of notifies wait"));
        if let Some(rule) = notify.too_large(&payload).or(full) {
            marks::hit(Mark::NotifyAckTooLarge);
            step.tell(event.error(Errno::E2BIG).detail(rule));
            notify.replies.insert(id, (door, Bytes::new()));
        } else {
            marks::hit(Mark::NotifyAcked);
            let payload = kept(payload);
            step.tell(event.payload(&payload));
            notify.ack_bytes += payload.len();
            self.pending_bytes += payload.len();
            notify.replies.insert(id, (door, payload));
        }
        self.finish_if_answered(step, object, notify_id);
    }

    /// Nobody waits for this watch any more.
    pub(crate) fn stop_waiting(&mut self, step: &mut Step, object: &ObjectId, id: WatchId) {
        let Some(watched) = self.objects.get_mut(object) else { return };
        let stopped = watched.notifies.iter_mut().filter_map(|(&notify_id, notify)| {
            let was_waiting = notify.waiting.remove(&id);
            if was_waiting {
                marks::hit(Mark::NotifyStopsWaiting);
            }
            was_waiting.then_some(notify_id)
        });
        let stopped: Vec<u64> = stopped.collect();
        for notify_id in stopped {
            self.finish_if_answered(step, object, notify_id);
        }
    }

    /// The time of a notify is over: whoever has not answered has missed it.
    pub(crate) fn time_out(&mut self, step: &mut Step, object: &ObjectId, notify_id: u64) {
        marks::hit(Mark::NotifyTimedOut);
        self.finish(step, object, notify_id);
    }

    fn finish_if_answered(&mut self, step: &mut Step, object: &ObjectId, notify_id: u64) {
        let notify = self.objects.get(object).and_then(|watched| watched.notifies.get(&notify_id));
        if notify.is_some_and(|notify| notify.waiting.is_empty()) {
            self.finish(step, object, notify_id);
        }
    }

    fn finish(&mut self, step: &mut Step, object: &ObjectId, notify_id: u64) {
        let Some(watched) = self.objects.get_mut(object) else { return };
        let Some(notify) = watched.notifies.remove(&notify_id) else { return };
        step.agenda.remove(notify.deadline, due(object, notify_id));
        self.pending_bytes -= notify.bytes();
        let Notify { notifier_gid, answered, waiting, unheard, replies, .. } = notify;
        let missed: Vec<WatchId> = waiting.union(&unheard).copied().collect();
        let timed_out = !missed.is_empty();
        let event = watched.place.event(Kind::NotifyDone, notifier_gid).notify_id(notify_id);
        let event = event.detail(format!("{} answered, {} missed", replies.len(), missed.len()));
        step.tell(if timed_out { event.error(Errno::ETIMEDOUT) } else { event });
        let ack = |((gid, cookie), (door, payload))| Ack { gid, cookie, door, payload };
        let replies = replies.into_iter().map(ack).collect();
        let name = watched.place.id.name.to_string();
        let reply =
            NotifyReply { pool: watched.place.pool.clone(), object: name, timed_out, replies, missed };
        match answered {
            Answered::Call => step.effects.push(Effect::NotifyDone { notify_id, reply }),
            Answered::At { stream, cookie } if self.streams.contains_key(&stream) => {
                step.send(stream, WatchEvent::NotifyDone { cookie, notify_id, reply });
            }
            Answered::At { .. } => {}
        }
        self.ended.push(notifier_gid);
        self.tidy(object);
    }
}

fn due(object: &ObjectId, notify_id: u64) -> Due {
    Due::Notify { object: object.clone(), notify_id }
}
