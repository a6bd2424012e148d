//! The doors at which faults are asked for, and what becomes of what passes them.

use std::sync::atomic::Ordering;

use errno::Errno;
use osd::faults::{Action, Crossing, Direction, Listed, Rule, Verdict};
use osd::text::shown;
use osd::{Effect, Millis, Notification, OpError, StreamId, WatchEvent, WatchRequest};
use store::Name;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tonic::Status;

use super::late::{Late, Until};
use super::{Daemon, State};
use crate::ceph::NOTIFY_COMPLETE;
use crate::op_stream::Cut;
use crate::wire;

/// Op streams of one session at a time.
const OP_STREAMS_PER_SESSION_MAX: usize = 8;

/// What becomes of a request or a reply.
pub(crate) enum Passage {
    Goes,
    /// It goes when the word comes.
    Waits(oneshot::Receiver<()>),
    /// It goes, and once more so much later.
    Twice(Millis),
    Lost,
    Refused(OpError),
    /// It is lost with its connection.
    Cut(Status),
    /// The map before it goes instead; of maps only.
    Old,
}

/// What becomes of anything.
enum Fate {
    Goes,
    Waits(Until),
    Twice(Millis),
    Lost,
    Refused(OpError),
    Cut(Status),
    Old,
}

/// The doors.
impl Daemon {
    /// Whether anything needs to ask at the doors.
    pub(crate) fn has_rules(&self) -> bool {
        self.has_rules.load(Ordering::Acquire)
    }

    /// The door for requests and replies. `bytes` is what it holds while it waits; a request that has no room to wait is refused, a
    /// reply goes on.
    pub(crate) fn pass(&self, crossing: Crossing<'_>, bytes: usize) -> Passage {
        self.with_state(|state, now| {
            let (fate, effects) = state.befall(now, crossing);
            state.carry_out(now, effects);
            match fate {
                Fate::Goes => Passage::Goes,
                Fate::Waits(until) => state.wait(until, crossing.direction, bytes),
                Fate::Twice(after) => Passage::Twice(after),
                Fate::Lost => Passage::Lost,
                Fate::Refused(error) => Passage::Refused(error),
                Fate::Cut(status) => Passage::Cut(status),
                Fate::Old => Passage::Old,
            }
        })
    }

    /// The word comes so much later, to somebody who holds so many bytes.
    pub(crate) fn later(&self, span: Millis, bytes: usize) -> oneshot::Receiver<()> {
        self.with_state(|state, now| {
            let (word, to_come) = oneshot::channel();
            if let Err(full) = state.late.add(Until::Due(now.after(span)), Late::Task(word), bytes) {
                state.go_on(now, full.let_go());
            }
            to_come
        })
    }

    /// Room for what has to wait behind something that is late, given back when it is dropped. EAGAIN at the limit.
    pub(crate) fn room_behind(&self, bytes: usize) -> Result<OwnedSemaphorePermit, OpError> {
        self.with_state(|state, _| state.late.room(bytes))
    }

    /// A late copy of an op vector.
    pub(crate) fn send_copy(&self, span: Millis, request: osd::Request) {
        self.with_state(|state, now| state.postpone(now, span, Late::Vector(Box::new(request))));
    }

    /// One request from a watch stream; acks have a door.
    pub(crate) fn watch_request(&self, stream: StreamId, request: WatchRequest) {
        self.with_state(|state, now| {
            let request = match request {
                WatchRequest::Ack { .. } if !state.faults.is_empty() => state.pass_ack(now, stream, request),
                request => Some(request),
            };
            if let Some(request) = request {
                let effects = state.osd.watch_request(now, stream, request);
                state.carry_out(now, effects);
            }
        });
    }

    /// An op stream of a session, which ends when it is cut. Its number. At the limit the oldest is cut: it is the one
    /// whose connection is most likely gone.
    pub(crate) fn know_op_stream(&self, gid: u64, cut: Cut) -> u64 {
        let mut state = self.lock();
        state.newest_op_stream += 1;
        let number = state.newest_op_stream;
        let of_session = state.op_streams.entry(gid).or_default();
        if of_session.len() >= OP_STREAMS_PER_SESSION_MAX
            && let Some((_, oldest)) = of_session.pop_first()
        {
            let max = OP_STREAMS_PER_SESSION_MAX;
            let text = format!("client {gid} opened more than op_streams_per_session_max = {max} op streams");
            oldest.cut(wire::status(OpError { errno: Errno::EAGAIN, failed_op: None, text }));
        }
        of_session.insert(number, cut);
        number
    }

    /// It has ended.
    pub(crate) fn forget_op_stream(&self, gid: u64, number: u64) {
        let mut state = self.lock();
        let Some(of_session) = state.op_streams.get_mut(&gid) else { return };
        of_session.remove(&number);
        if of_session.is_empty() {
            state.op_streams.remove(&gid);
        }
    }

    /// A change of the state that is a step of its own.
    fn with_state<T>(&self, change: impl FnOnce(&mut State, Millis) -> T) -> T {
        let mut state = self.lock();
        let now = state.look_at_time();
        let changed = change(&mut state, now);
        self.finish(&mut state, now);
        changed
    }
}

/// The rules.
impl Daemon {
    /// EPERM unless faults are enabled.
    pub(crate) fn check_faults_enabled(&self) -> Result<(), OpError> {
        let text = "faults are off: start osd-sim with --enable-faults".to_owned();
        let off = OpError { errno: Errno::EPERM, failed_op: None, text };
        if self.faults_enabled { Ok(()) } else { Err(off) }
    }

    pub(crate) fn add_rule(&self, rule: Rule) -> Result<u64, OpError> {
        self.change_rules(|state, _| state.faults.add(rule))
    }

    /// Every rule, and how much it holds.
    pub(crate) fn rules(&self) -> Vec<(Listed, usize)> {
        let state = self.lock();
        let listed = state.faults.list().into_iter();
        listed
            .map(|listed| (state.late.held(listed.id), listed))
            .map(|(held, listed)| (listed, held))
            .collect()
    }

    pub(crate) fn remove_rule(&self, id: u64) -> Result<(), OpError> {
        self.change_rules(|state, now| {
            if !state.faults.remove(id) {
                return Err(no_rule(id));
            }
            state.release(now, Some(id));
            Ok(())
        })
    }

    pub(crate) fn reset_rules(&self) {
        self.change_rules(|state, now| {
            state.faults.clear();
            state.release(now, None);
        });
    }

    /// How many went on.
    pub(crate) fn release_held(&self, rule: Option<u64>) -> Result<usize, OpError> {
        self.with_state(|state, now| match rule {
            Some(id) if state.faults.list().iter().all(|listed| listed.id != id) => Err(no_rule(id)),
            rule => Ok(state.release(now, rule)),
        })
    }

    fn change_rules<T>(&self, change: impl FnOnce(&mut State, Millis) -> T) -> T {
        self.with_state(|state, now| {
            let changed = change(state, now);
            self.has_rules.store(!state.faults.is_empty(), Ordering::Release);
            changed
        })
    }
}

/// What becomes of what crossed when its client's watch is gone.
fn without_watch(direction: Direction) -> Fate {
    if direction == Direction::Notify { Fate::Lost } else { Fate::Goes }
}

fn no_rule(id: u64) -> OpError {
    OpError { errno: Errno::ENOENT, failed_op: None, text: format!("there is no fault rule {id}") }
}

impl State {
    /// The door for what goes down watch streams; only notifies are asked about, and how they ended.
    pub(super) fn deliver(&mut self, now: Millis, stream: StreamId, event: WatchEvent) -> Vec<Effect> {
        let Some(gid) = self.osd.stream_owner(stream).filter(|_| !self.faults.is_empty()) else {
            return self.send(now, stream, event);
        };
        let ended = [NOTIFY_COMPLETE.to_owned()];
        let (direction, pool, object, ops, payload) = match &event {
            WatchEvent::Notification(notification) => {
                let Notification { pool, object, payload, .. } = notification;
                (Direction::Notify, pool, object, &[][..], Some(&payload[..]))
            }
            WatchEvent::NotifyDone { reply, .. } => {
                (Direction::Reply, &reply.pool, &reply.object, &ended[..], None)
            }
            _ => return self.send(now, stream, event),
        };
        let (client, address, can_fail) = ("", "", false);
        let crossing = Crossing { direction, gid, client, address, pool, object, ops, can_fail, payload };
        let (fate, mut effects) = self.befall(now, crossing);
        let late = |event| Late::Event { stream, event: Box::new(event) };
        match fate {
            Fate::Goes => effects.extend(self.send(now, stream, event)),
            Fate::Waits(until) => effects.extend(self.defer(now, until, late(event))),
            Fate::Twice(after) => {
                effects.extend(self.send(now, stream, event.clone()));
                effects.extend(self.defer(now, Until::Due(now.after(after)), late(event)));
            }
            Fate::Lost | Fate::Refused(_) | Fate::Cut(_) | Fate::Old => {}
        }
        effects
    }

    /// The door for acks. The ack when it goes on at once.
    fn pass_ack(&mut self, now: Millis, stream: StreamId, request: WatchRequest) -> Option<WatchRequest> {
        let WatchRequest::Ack { pool, object, notify_id, .. } = &request else { return Some(request) };
        let Some(gid) = self.osd.stream_owner(stream) else { return Some(request) };
        let payload =
            self.osd.notify_payload(pool, (&Name::default(), &object.as_bytes().into()), *notify_id);
        let crossing = Crossing {
            direction: Direction::Ack,
            gid,
            client: "",
            address: "",
            pool,
            object,
            ops: &[],
            can_fail: false,
            payload: payload.as_deref(),
        };
        let (fate, mut effects) = self.befall(now, crossing);
        let late = |request| Late::Request { stream, request };
        let goes = match fate {
            Fate::Goes => Some(request),
            Fate::Waits(until) => {
                effects.extend(self.defer(now, until, late(request)));
                None
            }
            Fate::Twice(after) => {
                effects.extend(self.defer(now, Until::Due(now.after(after)), late(request.clone())));
                Some(request)
            }
            Fate::Lost | Fate::Refused(_) | Fate::Cut(_) | Fate::Old => None,
        };
        self.carry_out(now, effects);
        goes
    }

    /// Asks for a fault and carries out what it does to the client. What follows of that is to be carried out by the
    /// caller.
    fn befall(&mut self, now: Millis, crossing: Crossing<'_>) -> (Fate, Vec<Effect>) {
        let Crossing { gid, .. } = crossing;
        // Who is a client of the monitor only says itself who it is.
        let named = match crossing.address {
            "" => Crossing {
                client: self.osd.client_name(gid),
                address: self.osd.client_address(gid),
                ..crossing
            },
            _ => crossing,
        };
        let Some(verdict) = self.faults.decide(&named) else { return (Fate::Goes, Vec::new()) };
        let mut effects = self.osd.tell_fault(now, verdict, &crossing);
        let Crossing { pool, object, .. } = crossing;
        let Verdict { rule, action } = verdict;
        let fate = match action {
            Action::Delay(span) => Fate::Waits(Until::Due(now.after(span))),
            Action::Hold => Fate::Waits(Until::Released { rule }),
            Action::Drop => Fate::Lost,
            Action::Duplicate(after) => Fate::Twice(after),
            Action::Error(errno) => {
                let text = format!("fault rule {rule}: {errno} on {}/{}", shown(pool), shown(object));
                Fate::Refused(OpError { errno, failed_op: None, text })
            }
            Action::OldMap => Fate::Old,
            Action::Disconnect => {
                let status = Status::unavailable(format!("fault rule {rule}: disconnected"));
                effects.extend(self.disconnect(now, gid, &status));
                Fate::Cut(status)
            }
            Action::ExpireWatch => {
                effects.extend(self.osd.expire_watches(now, gid, pool, object));
                without_watch(crossing.direction)
            }
            Action::Blocklist => {
                // gid 0 is no instance: there is nobody to fence.
                effects.extend(self.osd.blocklist_add(now, gid, None, 0).1);
                without_watch(crossing.direction)
            }
        };
        (fate, effects)
    }

    /// Cuts the streams of a session.
    fn disconnect(&mut self, now: Millis, gid: u64, status: &Status) -> Vec<Effect> {
        for cut in self.op_streams.remove(&gid).unwrap_or_default().into_values() {
            cut.cut(status.clone());
        }
        let Some(stream) = self.osd.watch_stream(gid) else { return Vec::new() };
        self.cut(stream, status.clone());
        self.osd.watch_stream_lost(now, stream)
    }

    /// The word to go comes later. What is applied already goes at once when there is no room.
    fn wait(&mut self, until: Until, direction: Direction, bytes: usize) -> Passage {
        let (word, to_come) = oneshot::channel();
        match self.late.add(until, Late::Task(word), bytes) {
            Ok(()) => Passage::Waits(to_come),
            Err(full) if direction == Direction::Request => Passage::Refused(full.error),
            Err(full) => {
                full.let_go();
                Passage::Goes
            }
        }
    }

    /// Puts something off; what follows of it when there is no room for it to wait.
    fn defer(&mut self, now: Millis, until: Until, late: Late) -> Vec<Effect> {
        let bytes = late.bytes();
        match self.late.add(until, late, bytes) {
            Ok(()) => Vec::new(),
            Err(full) => self.perform(now, full.let_go()),
        }
    }

    fn postpone(&mut self, now: Millis, span: Millis, late: Late) {
        let effects = self.defer(now, Until::Due(now.after(span)), late);
        self.carry_out(now, effects);
    }

    /// Lets what is held go on; how much it was.
    fn release(&mut self, now: Millis, rule: Option<u64>) -> usize {
        let released = self.late.release(rule);
        let mut count = 0;
        for late in released {
            count += usize::from(!late.is_abandoned());
            self.go_on(now, late);
        }
        count
    }

    /// Does what was late.
    pub(super) fn go_on(&mut self, now: Millis, late: Late) {
        let effects = self.perform(now, late);
        self.carry_out(now, effects);
    }

    fn perform(&mut self, now: Millis, late: Late) -> Vec<Effect> {
        match late {
            Late::Task(word) => {
                // Who waited may be gone.
                let _ = word.send(());
                Vec::new()
            }
            Late::Event { stream, event } => self.send(now, stream, *event),
            Late::Request { stream, request } => self.osd.watch_request(now, stream, request),
            Late::Vector(request) => self.osd.operate(now, &request).1,
        }
    }
}
