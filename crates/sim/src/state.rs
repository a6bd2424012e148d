//! Everything that is at one moment of a universe, and how it changes by messages and by time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use clock::Manual;
use errno::Errno;
use fastrand::Rng;
use osd::Millis;
use osd_sim::wire as convert;
use proto::osd::v1 as wire;
use rados::{CallAnswer, Failure};
use tokio::sync::{mpsc, oneshot};

use crate::host::{Host, Out};
use crate::mail::{Down, Lane, Mail, Parcel, Place, Up};
use crate::plan::{AT_SNAPSHOT, Fault, What, When};
use crate::pool::Life;
use crate::recorder::Now;
use crate::trace::Trace;
use crate::world::Turn;

/// When the machine at the other end of a connection that broke silently is found to be gone, in ms.
pub(crate) const KEEP_ALIVE: u64 = 3_000;
/// What of a message is told in a line.
const LINE_CHARS_MAX: usize = 200;

/// Who waits at the client's end.
pub(crate) enum End {
    Connecting(oneshot::Sender<()>),
    Call(oneshot::Sender<Result<CallAnswer, Failure>>),
    Ops(
        Option<oneshot::Sender<Result<(), Failure>>>,
        mpsc::UnboundedSender<Result<wire::OperateReply, Failure>>,
    ),
    Watch(
        Option<oneshot::Sender<Result<(), Failure>>>,
        mpsc::UnboundedSender<Result<wire::WatchEvent, Failure>>,
    ),
}

/// What is known of a life.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) client: String,
    /// Number of the client that faults are for.
    pub(crate) seat: Option<usize>,
    pub(crate) frozen_until: u64,
    pub(crate) held_until: u64,
}

/// A connection, as long as its client believes in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) life: Life,
    /// It is broken, and nobody has noticed.
    pub(crate) is_dead: bool,
}

pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) manual: Manual,
    /// What has passed by `manual`, in ms.
    pub(crate) time_ms: u64,
    pub(crate) latency_ms_max: u64,
    pub(crate) durable_ms_max: u64,
    /// When more of what the OSD has done may be durable.
    pub(crate) durable_at: Option<u64>,
    /// How long a call may take when nothing broke.
    pub(crate) calm_ms_max: u64,
    /// Names of those whom faults befall.
    pub(crate) clients: Vec<String>,
    pub(crate) mail: Mail,
    pub(crate) ends: BTreeMap<Place, End>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) lives: BTreeMap<Life, Standing>,
    pub(crate) newest: u64,
    pub(crate) host: Host,
    pub(crate) trace: Trace,
    /// Those that have not happened.
    pub(crate) faults: Vec<Fault>,
    /// What happens at a time by itself.
    pub(crate) timers: BTreeMap<(u64, u64), Timed>,
    /// Op vectors of each seat that have reached the OSD since the clients began, as long as faults are to come.
    pub(crate) vectors: BTreeMap<usize, u64>,
    /// The same, by the names of their ops.
    pub(crate) ops: BTreeMap<(usize, String), u64>,
    /// Gid and tid of each of them.
    pub(crate) arrived: BTreeSet<(u64, u64)>,
    /// Op vectors that wait at the OSD, by stream and object; those behind them wait too.
    pub(crate) delayed: BTreeMap<(Place, String), Vec<wire::OperateRequest>>,
    /// Notifies that each seat is to miss.
    pub(crate) missed: BTreeMap<usize, u32>,
    /// Seats whose life has ended and that are to be taken again.
    pub(crate) vacant: VecDeque<usize>,
    /// Room for what a turn chooses from.
    pub(crate) choices: (Vec<u64>, Vec<Lane>),
}

/// Something that happens at its time.
pub(crate) enum Timed {
    Strike(usize, What),
    Break(u64),
    Vacant(usize),
    /// Vectors of this stream on this object have waited long enough.
    Late(Place, String),
    /// Another OSD takes the place of the one that crashed.
    Reopen,
}

impl State {
    pub(crate) fn now(&self) -> u64 {
        self.time_ms
    }

    pub(crate) fn moment(&self) -> Now {
        Now { time_ms: self.now(), event: self.host.newest_event() }
    }

    pub(crate) fn timer(&mut self, at: u64, timed: Timed) {
        self.newest += 1;
        self.timers.insert((at, self.newest), timed);
    }

    pub(crate) fn due_timer(&mut self, now: u64) -> Option<Timed> {
        let is_due = self.timers.first_key_value().is_some_and(|(&(at, _), _)| at <= now);
        if is_due { self.timers.pop_first().map(|(_, timed)| timed) } else { None }
    }

    pub(crate) fn may_run(&self, life: Life, now: u64) -> bool {
        self.lives.get(&life).is_some_and(|standing| standing.frozen_until <= now)
    }

    /// From when on anything of a connection may arrive.
    pub(crate) fn opens(&self, connection: u64) -> u64 {
        let of = self.connections.get(&connection).and_then(|of| self.lives.get(&of.life));
        of.map_or(0, |standing| standing.held_until)
    }

    pub(crate) fn pass_time(&mut self, now: u64) -> Turn {
        let thaws = self.lives.values().map(|standing| standing.frozen_until).filter(|until| *until > now);
        let next = [
            self.mail.next(|connection| self.opens(connection)),
            self.manual.next_sleeper().map(|at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX)),
            self.host.next_deadline().map(|due| due.0),
            self.durable_at,
            self.timers.first_key_value().map(|(&(at, _), _)| at),
            thaws.min(),
        ];
        let Some(next) = next.into_iter().flatten().min() else { return Turn::Stuck };
        self.trace.step(&[4, next], || format!("{next:>7} ----"));
        self.set_time(next);
        Turn::Went
    }

    pub(crate) fn set_time(&mut self, ms: u64) {
        self.manual.set_passed(Duration::from_millis(ms));
        self.time_ms = ms;
    }

    fn arrival(&mut self) -> u64 {
        self.now() + self.rng.u64(0..=self.latency_ms_max)
    }

    /// A connection that opens itself with what is sent on it.
    pub(crate) fn connect(&mut self, life: Life) -> u64 {
        self.newest += 1;
        self.connections.insert(self.newest, Connection { life, is_dead: false });
        self.newest
    }

    /// Whether the client still believes in it.
    pub(crate) fn is_open(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    /// A call or a stream begins.
    pub(crate) fn begin(&mut self, connection: u64, end: End, up: Up) -> Place {
        self.newest += 1;
        let place = Place { connection, stream: self.newest };
        if self.is_open(connection) {
            self.ends.insert(place, end);
            self.post_up(place, up);
        }
        place
    }

    /// A message goes up.
    pub(crate) fn post_up(&mut self, place: Place, up: Up) {
        if self.connections.get(&place.connection).is_some_and(|of| !of.is_dead) {
            let time = self.arrival();
            self.mail.post(Lane { place, is_up: true }, time, Parcel::Up(up));
        }
    }

    /// The client has let a stream go.
    pub(crate) fn close(&mut self, place: Place) {
        self.ends.remove(&place);
        self.post_up(place, Up::Closed);
    }

    pub(crate) fn send(&mut self, out: Out) {
        let leaves = self.host.leave(out);
        self.post_down(leaves);
    }

    /// More of what the OSD has done is durable.
    pub(crate) fn go_durable(&mut self) {
        self.durable_at = None;
        let rng = &mut self.rng;
        let leaves = self.host.reach(|most| rng.u64(1..=most));
        self.post_down(leaves);
    }

    /// From here on messages take no time, and what the OSD does is durable at once.
    pub(crate) fn calm(&mut self) {
        self.latency_ms_max = 0;
        self.durable_at = None;
        let leaves = self.host.calm();
        self.post_down(leaves);
    }

    /// The OSD dies. Everybody who is connected notices; who was cut off before notices that later.
    pub(crate) fn crash(&mut self, now: u64, span: u64) {
        let rng = &mut self.rng;
        self.host.crash(|most| rng.u64(0..=most));
        self.durable_at = None;
        self.delayed.clear();
        self.mail.clear();
        let live: Vec<u64> =
            self.connections.iter().filter(|(_, of)| !of.is_dead).map(|(&number, _)| number).collect();
        for connection in live {
            self.hang_up(connection);
        }
        self.timer(now + span, Timed::Reopen);
    }

    /// The client's end of a connection is gone.
    fn hang_up(&mut self, connection: u64) {
        if self.connections.remove(&connection).is_some() {
            self.ends.retain(|place, _| place.connection != connection);
        }
    }

    fn post_down(&mut self, leaves: Vec<(Place, Down)>) {
        if self.durable_at.is_none() && self.host.is_late() {
            self.durable_at = Some(self.now() + self.rng.u64(0..=self.durable_ms_max));
        }
        for (place, down) in leaves {
            let is_heard = self.connections.get(&place.connection).is_some_and(|of| !of.is_dead);
            if is_heard && !self.misses(place, &down) {
                let time = self.arrival();
                self.mail.post(Lane { place, is_up: false }, time, Parcel::Down(down));
            }
        }
    }

    /// Whether it is a notify that its client is to miss.
    fn misses(&mut self, place: Place, down: &Down) -> bool {
        let Down::Event(event) = down else { return false };
        if !matches!(event.event, Some(wire::watch_event::Event::Notify(_))) {
            return false;
        }
        let of = self.connections.get(&place.connection).and_then(|of| self.lives.get(&of.life));
        let Some(left) = of.and_then(|of| of.seat).and_then(|seat| self.missed.get_mut(&seat)) else {
            return false;
        };
        let is_missed = *left > 0;
        *left = left.saturating_sub(1);
        is_missed
    }

    /// The connection is gone, and both ends notice.
    pub(crate) fn break_off(&mut self, connection: u64) {
        self.die_silently(connection);
        self.hang_up(connection);
    }

    /// The connection is gone: the OSD notices, the client does when nothing was heard for a while.
    pub(crate) fn die(&mut self, connection: u64) {
        self.die_silently(connection);
        let at = self.now() + KEEP_ALIVE;
        self.timer(at, Timed::Break(connection));
    }

    fn die_silently(&mut self, connection: u64) {
        let Some(of) = self.connections.get_mut(&connection) else { return };
        if std::mem::replace(&mut of.is_dead, true) {
            return;
        }
        let rng = &mut self.rng;
        self.mail.cut(connection, |length| rng.usize(0..=length));
        let time = self.arrival();
        let lane = Lane { place: Place { connection, stream: 0 }, is_up: true };
        self.mail.post(lane, time, Parcel::Up(Up::Gone));
    }

    /// Lets the first parcel of a lane arrive; what breaks by it.
    pub(crate) fn deliver(&mut self, now: u64, lane: Lane) -> Vec<Timed> {
        let place = lane.place;
        match self.mail.take(lane).expect("the lane is due") {
            Parcel::Up(up) => self.arrive(now, place, up),
            Parcel::Down(down) => {
                let (connection, stream) = (place.connection, place.stream);
                self.trace.step(&[6, now, connection, stream], || {
                    format!("{now:>7} down {connection}/{stream} {}", shown(&down))
                });
                self.hand_over(place, down);
                Vec::new()
            }
        }
    }

    fn arrive(&mut self, now: u64, place: Place, up: Up) -> Vec<Timed> {
        let Place { connection, stream } = place;
        let of = self.connections.get(&connection).and_then(|of| self.lives.get(&of.life));
        self.trace.step(&[5, now, connection, stream], || {
            let who = of.as_ref().map_or("-", |standing| standing.client.as_str());
            format!("{now:>7} up   {connection}/{stream} {who}: {}", told(&up))
        });
        if self.host.is_down() {
            self.hang_up(connection);
            return Vec::new();
        }
        let seat = of.and_then(|standing| standing.seat);
        let (request, seat) = match (up, seat) {
            (Up::Operate(request), Some(seat)) => (request, seat),
            (up, _) => {
                let out = self.host.hear(Millis(now), place, up);
                self.send(out);
                return Vec::new();
            }
        };
        let (before, after) = self.faults_around(seat, &request);
        if let Some(errno) = before.iter().find_map(refusal) {
            let out = self.host.refuse(Millis(now), place, &request, errno);
            self.send(out);
        } else if !before.iter().any(|what| matches!(what, What::Kill(_) | What::Crash(_))) {
            self.operate(now, place, request, before.iter().find_map(delay));
        }
        let strikes = before.into_iter().chain(after).filter(|what| refusal(what).is_none());
        strikes.map(|what| Timed::Strike(seat, what)).collect()
    }

    /// At once, or when it and those before it have waited.
    fn operate(&mut self, now: u64, place: Place, request: Box<wire::OperateRequest>, delay: Option<u64>) {
        if delay.is_none() && self.delayed.is_empty() {
            let out = self.host.hear(Millis(now), place, Up::Operate(request));
            return self.send(out);
        }
        let lane = (place, request.object.clone());
        if let Some(waiting) = self.delayed.get_mut(&lane) {
            waiting.push(*request);
        } else if let Some(span) = delay {
            self.timer(now + span, Timed::Late(place, request.object.clone()));
            self.delayed.insert(lane, vec![*request]);
        } else {
            let out = self.host.hear(Millis(now), place, Up::Operate(request));
            self.send(out);
        }
    }

    /// What has waited is carried out, in the order in which it came.
    pub(crate) fn late(&mut self, now: u64, place: Place, object: &str) {
        for request in self.delayed.remove(&(place, object.to_owned())).unwrap_or_default() {
            self.operate(now, place, Box::new(request), None);
        }
    }

    /// What happens before this vector of a seat is carried out, and after it.
    fn faults_around(&mut self, seat: usize, request: &wire::OperateRequest) -> (Vec<What>, Vec<What>) {
        // Nothing is counted for faults that do not come.
        if self.faults.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let count = self.vectors.entry(seat).or_default();
        *count += 1;
        let number = *count;
        let names: BTreeSet<String> = match convert::request(request.clone()) {
            Ok(request) => {
                let at_snapshot = request.vector.snap_id.map(|_| AT_SNAPSHOT.to_owned());
                request.vector.ops.iter().map(osd::op::Op::name).chain(at_snapshot).collect()
            }
            Err(_) => BTreeSet::new(),
        };
        for name in &names {
            *self.ops.entry((seat, name.clone())).or_default() += 1;
        }
        let ops = &self.ops;
        let is_now = |op: &String, at: u64| {
            names.contains(op) && ops.get(&(seat, op.clone())).is_some_and(|&count| count == at)
        };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        self.faults.retain(|fault| {
            let place = match &fault.when {
                _ if fault.client != seat => return true,
                When::Before(at) if *at == number => &mut before,
                When::After(at) if *at == number => &mut after,
                When::BeforeOp(op, at) if is_now(op, *at) => &mut before,
                When::AfterOp(op, at) if is_now(op, *at) => &mut after,
                _ => return true,
            };
            place.push(fault.what);
            false
        });
        // What was carried out is remembered by its tid: EIO, which says that nothing has happened, would be a lie.
        let is_again = !self.arrived.insert((request.gid, request.tid));
        before.retain(|what| !is_again || refusal(what).is_none());
        (before, after)
    }

    fn hand_over(&mut self, place: Place, down: Down) {
        // Whoever waited may be gone.
        match down {
            Down::Connected => {
                if let Some(End::Connecting(waiting)) = self.ends.remove(&place) {
                    let _ = waiting.send(());
                }
            }
            Down::Answer(answer) => {
                if let Some(End::Call(waiting)) = self.ends.remove(&place) {
                    let _ = waiting.send(*answer);
                }
            }
            Down::Opened(opened) => {
                let is_refused = opened.is_err();
                if let Some(End::Ops(waiting, _) | End::Watch(waiting, _)) = self.ends.get_mut(&place) {
                    let _ = waiting.take().map(|waiting| waiting.send(opened));
                }
                if is_refused {
                    self.ends.remove(&place);
                }
            }
            Down::Reply(reply) => {
                if let Some(End::Ops(_, replies)) = self.ends.get(&place) {
                    let _ = replies.send(Ok(*reply));
                }
            }
            Down::Event(event) => {
                if let Some(End::Watch(_, events)) = self.ends.get(&place) {
                    let _ = events.send(Ok(*event));
                }
            }
            Down::Ended(failure) => match (self.ends.remove(&place), failure) {
                (Some(End::Ops(_, replies)), Some(failure)) => drop(replies.send(Err(failure))),
                (Some(End::Watch(_, events)), Some(failure)) => drop(events.send(Err(failure))),
                _ => {}
            },
        }
    }
}

fn refusal(what: &What) -> Option<Errno> {
    if let What::Refuse(errno) = what { Some(*errno) } else { None }
}

fn delay(what: &What) -> Option<u64> {
    if let What::Delay(span) = what { Some(*span) } else { None }
}

fn told(up: &Up) -> String {
    match up {
        Up::Operate(request) => {
            let ops: Vec<_> = request.ops.iter().map(|op| format!("{op:?}")).collect();
            format!("tid {} {} {}", request.tid, request.object, first_of(&ops.join(", ")))
        }
        other => cropped(other),
    }
}

fn shown(down: &Down) -> String {
    cropped(down)
}

fn cropped(what: &impl std::fmt::Debug) -> String {
    first_of(&format!("{what:?}"))
}

/// What of a text fits a line.
fn first_of(text: &str) -> String {
    text.chars().take(LINE_CHARS_MAX).collect()
}
