//! The one place where the OSD is stepped and its effects are carried out.

mod advance;
mod doors;
mod late;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use clock::Clock;
use errno::Errno;
use osd::faults::Faults;
use osd::{Effect, Event, Millis, NotifyReply, OpError, Osd, StreamId, WatchEvent};
use store::MemoryStore;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Config;
use crate::config::millis;
use crate::op_stream::Cut;
use crate::wire;
pub(crate) use doors::Passage;
use late::LateQueue;

/// The pool that always exists.
const FIRST_POOL: &str = "rbd";

/// One OSD at work. Every call steps it under one mutex; the effects are carried out while the mutex is held, by sends
/// that never wait, so that they happen in the order of the steps.
pub(crate) struct Daemon {
    state: Mutex<State>,
    clock: Clock,
    started: Instant,
    /// One call advances the clock at a time.
    advancing: tokio::sync::Mutex<()>,
    watch_queue_events_max: usize,
    in_flight_ops_max: usize,
    /// The next deadline has come nearer.
    sooner: Notify,
    /// Sequence of the newest event.
    newest_event: watch::Sender<u64>,
    /// Streams end when it is cancelled.
    pub(crate) closing: CancellationToken,
    /// Whether fault rules may be added.
    faults_enabled: bool,
    /// Whether there are any: without them nothing asks at the doors.
    has_rules: AtomicBool,
}

struct State {
    osd: Osd<MemoryStore>,
    outlets: BTreeMap<StreamId, Outlet>,
    notifies: BTreeMap<u64, oneshot::Sender<NotifyReply>>,
    /// How many calls each session may still have in flight.
    permits: BTreeMap<u64, Arc<Semaphore>>,
    /// What the timer waits for.
    armed: Option<Millis>,
    faults: Faults,
    /// What faults have delayed or hold.
    late: LateQueue,
    /// The watch streams that a step of time waits for, and who waits.
    awaited: Option<(Vec<StreamId>, oneshot::Sender<()>)>,
    /// What ends the op streams of each session, by a number of their own.
    op_streams: BTreeMap<u64, BTreeMap<u64, Cut>>,
    newest_op_stream: u64,
}

/// The sending end of a watch stream. Dropping it ends the stream.
struct Outlet {
    events: mpsc::Sender<WatchEvent>,
    cut: Arc<OnceLock<Status>>,
}

/// The receiving end of a watch stream.
pub(crate) struct Inlet {
    pub(crate) events: mpsc::Receiver<WatchEvent>,
    /// Why the OSD ended the stream; set before the last event is taken.
    pub(crate) cut: Arc<OnceLock<Status>>,
}

impl Daemon {
    /// Instances of different seeds do not share a gid before one of them has given out a million.
    pub(crate) fn new(config: &Config, seed: u64) -> Result<Self, OpError> {
        let gid_base = (seed & u64::from(u32::MAX)) << 20;
        let mut osd = Osd::new(MemoryStore::new(), config.of_osd(), gid_base);
        osd.create_pool(Millis(0), FIRST_POOL).0?;
        for pool in config.pools.iter().filter(|pool| *pool != FIRST_POOL) {
            osd.create_pool(Millis(0), pool).0?;
        }
        let newest_event = watch::Sender::new(osd.newest_event());
        let in_flight_ops_max = config.limits.in_flight_ops_per_session_max as usize;
        let state = State {
            osd,
            outlets: BTreeMap::new(),
            notifies: BTreeMap::new(),
            permits: BTreeMap::new(),
            armed: None,
            faults: Faults::default(),
            late: LateQueue::default(),
            awaited: None,
            op_streams: BTreeMap::new(),
            newest_op_stream: 0,
        };
        Ok(Self {
            state: Mutex::new(state),
            clock: config.clock.clone(),
            started: config.clock.now(),
            advancing: tokio::sync::Mutex::default(),
            watch_queue_events_max: config.watch_queue_events_max,
            in_flight_ops_max,
            sooner: Notify::new(),
            newest_event,
            closing: CancellationToken::new(),
            faults_enabled: config.enable_faults,
            has_rules: AtomicBool::new(false),
        })
    }

    /// One step of the OSD.
    pub(crate) fn step<T>(&self, call: impl FnOnce(&mut Osd<MemoryStore>, Millis) -> (T, Vec<Effect>)) -> T {
        self.step_and(call, |_, reply| reply)
    }

    /// A look at the OSD that changes nothing.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Osd<MemoryStore>) -> T) -> T {
        look(&self.lock().osd)
    }

    /// Starts a session.
    pub(crate) fn connect(&self, name: &str, peer: &str) -> Result<(u64, String), OpError> {
        let limit = self.in_flight_ops_max;
        self.step_and(
            |osd, now| osd.connect(now, name, peer),
            |state, reply| {
                if let Ok((gid, _)) = &reply {
                    state.permits.insert(*gid, Arc::new(Semaphore::new(limit)));
                }
                reply
            },
        )
    }

    /// Opens the watch stream of a session; what it is sent comes out of the inlet that was made with the outlet. `None`
    /// when it was refused: the client has been told.
    pub(crate) fn hello(&self, gid: u64, outlet: OutletEnd) -> Option<StreamId> {
        self.step_and(
            |osd, now| osd.watch_hello(now, gid),
            |state, reply| match reply {
                Ok(stream) => {
                    state.outlets.insert(stream, outlet.0);
                    Some(stream)
                }
                Err(refusal) => {
                    outlet.refuse(refusal);
                    None
                }
            },
        )
    }

    /// Ends a stream whose client broke a rule.
    pub(crate) fn cut(&self, stream: StreamId, reason: OpError) {
        self.lock().cut(stream, wire::status(reason));
    }

    /// Starts a notify; its id and its answer to come. The answer is made whether or not anybody waits for it.
    pub(crate) fn notify(
        &self,
        call: impl FnOnce(&mut Osd<MemoryStore>, Millis) -> (Result<u64, OpError>, Vec<Effect>),
    ) -> Result<(u64, oneshot::Receiver<NotifyReply>), OpError> {
        self.step_and(call, |state, reply| {
            let notify_id = reply?;
            let (answer, to_come) = oneshot::channel();
            state.notifies.insert(notify_id, answer);
            Ok((notify_id, to_come))
        })
    }

    /// The stream's connection is gone, or its client ended it.
    pub(crate) fn stream_lost(&self, stream: StreamId) {
        self.step_and(
            |osd, now| ((), osd.watch_stream_lost(now, stream)),
            |state, ()| drop(state.outlets.remove(&stream)),
        );
    }

    /// Both ends of a watch stream that is not open yet.
    pub(crate) fn channel(&self) -> (OutletEnd, Inlet) {
        let (sender, receiver) = mpsc::channel(self.watch_queue_events_max);
        let cut = Arc::new(OnceLock::new());
        (OutletEnd(Outlet { events: sender, cut: cut.clone() }), Inlet { events: receiver, cut })
    }

    /// Room for one more op of a session in flight; it is given back when the permit is dropped. EAGAIN at the limit.
    /// `None` for a session that the OSD is going to refuse. Each call under gid 0 counts for itself: nobody without a
    /// session takes the room of others. Op streams count for themselves too.
    pub(crate) fn admit_op(&self, gid: u64) -> Result<Option<OwnedSemaphorePermit>, OpError> {
        let max = self.in_flight_ops_max;
        let permits = match gid {
            0 => Some(Arc::new(Semaphore::new(max))),
            gid => self.lock().permits.get(&gid).cloned(),
        };
        let Some(permits) = permits else { return Ok(None) };
        let text = || format!("client {gid} has in_flight_ops_per_session_max = {max} ops in flight");
        let full = |_| OpError { errno: Errno::EAGAIN, failed_op: None, text: text() };
        permits.try_acquire_owned().map(Some).map_err(full)
    }

    /// Largest number of ops in flight, of the calls of a session and of an op stream.
    pub(crate) fn in_flight_ops_max(&self) -> usize {
        self.in_flight_ops_max
    }

    /// At most `max` events with a sequence above `after`.
    pub(crate) fn events_after(&self, after: u64, max: usize) -> Vec<Arc<Event>> {
        self.look(|osd| osd.events_after(after, max))
    }

    /// Changes with every new event.
    pub(crate) fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest_event.subscribe()
    }

    /// Does what is due when it is due; never ends.
    pub(crate) async fn keep_time(&self) {
        loop {
            self.step(|osd, now| ((), osd.tick(now)));
            while self.look(Osd::has_work) {
                self.step(|osd, now| ((), osd.work(now)));
                // Others come in between.
                tokio::task::yield_now().await;
            }
            let armed = self.lock().armed;
            match armed {
                Some(Millis(deadline)) => {
                    let deadline = self.started
                        + std::time::Duration::from_millis(deadline.min(u64::from(u32::MAX) * 1000));
                    tokio::select! {
                        biased;
                        () = self.sooner.notified() => {}
                        () = self.clock.sleep_until(deadline) => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    /// A step, and what is to be known to `State` before its effects are carried out.
    fn step_and<T, U>(
        &self,
        call: impl FnOnce(&mut Osd<MemoryStore>, Millis) -> (T, Vec<Effect>),
        register: impl FnOnce(&mut State, T) -> U,
    ) -> U {
        let mut state = self.lock();
        let now = self.now();
        let (reply, effects) = call(&mut state.osd, now);
        let registered = register(&mut state, reply);
        state.carry_out(now, effects);
        self.finish(&mut state, now);
        registered
    }

    /// What every step ends with: what faults had delayed until now, the timer, and those who wait for answers or follow the
    /// events.
    fn finish(&self, state: &mut State, now: Millis) {
        while let Some(late) = state.late.pop_due(now) {
            state.go_on(now, late);
        }
        let deadline = [state.osd.next_deadline(), state.late.next_due()].into_iter().flatten().min();
        let is_sooner = deadline.is_some() && (state.armed.is_none() || deadline < state.armed);
        if is_sooner || state.osd.has_work() {
            self.sooner.notify_one();
        }
        state.armed = deadline;
        let all_answered = |(asked, _): &mut (Vec<_>, _)| !state.osd.is_waiting_for(asked);
        if let Some((_, heard)) = state.awaited.take_if(all_answered) {
            // Who waited may have lost his patience.
            let _ = heard.send(());
        }
        let newest = state.osd.newest_event();
        self.newest_event.send_if_modified(|known| std::mem::replace(known, newest) != newest);
    }

    /// Since the OSD's start.
    pub(crate) fn now(&self) -> Millis {
        let passed = self.clock.now() - self.started;
        Millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no step panics")
    }
}

/// The sending end of a watch stream before it is open.
pub(crate) struct OutletEnd(Outlet);

impl OutletEnd {
    /// Tells the client of a stream that never opened.
    fn refuse(self, error: OpError) {
        // The queue is empty; the client may be gone.
        let _ = self.0.events.try_send(WatchEvent::Result { cookie: 0, error: Some(error) });
    }

    /// Ends a stream that never opened.
    pub(crate) fn cut(self, reason: OpError) {
        self.0.cut(wire::status(reason));
    }
}

impl Outlet {
    fn cut(self, reason: Status) {
        let first = self.cut.set(reason);
        debug_assert!(first.is_ok(), "a stream is cut once");
    }
}

impl State {
    fn carry_out(&mut self, now: Millis, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::ToWatcher { stream, event } => effects.extend(self.deliver(now, stream, event)),
                Effect::CutStream { stream, reason } => self.cut(stream, wire::status(reason)),
                Effect::NotifyDone { notify_id, reply } => {
                    // Whoever asked may be gone.
                    let _ = self.notifies.remove(&notify_id).map(|answer| answer.send(reply));
                }
                Effect::SessionEnded { gid } => drop(self.permits.remove(&gid)),
            }
        }
    }

    /// A stream that cannot take an event is cut: nobody waits for it.
    fn send(&mut self, now: Millis, stream: StreamId, event: WatchEvent) -> Vec<Effect> {
        let Some(outlet) = self.outlets.get(&stream) else { return Vec::new() };
        if outlet.events.try_send(event).is_ok() {
            return Vec::new();
        }
        let text = format!("{} events wait: watch_queue_events_max", outlet.events.max_capacity());
        self.cut(stream, wire::status(OpError { errno: Errno::EAGAIN, failed_op: None, text }));
        self.osd.watch_stream_lost(now, stream)
    }

    fn cut(&mut self, stream: StreamId, reason: Status) {
        if let Some(outlet) = self.outlets.remove(&stream) {
            outlet.cut(reason);
        }
    }
}

/// `None` = the default.
pub(crate) fn span(milliseconds: u64) -> Option<Millis> {
    (milliseconds != 0).then_some(Millis(milliseconds))
}

/// A span as the wire carries it.
pub(crate) fn milliseconds(span: std::time::Duration) -> u64 {
    millis(span).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_gone_before_its_hello_is_refused_harms_nobody() {
        let daemon = Daemon::new(&Config::ci(), 1).expect("the configuration is valid");
        let (outlet, inlet) = daemon.channel();
        drop(inlet);
        assert!(daemon.hello(7, outlet).is_none());
        assert!(daemon.connect("next", "peer").is_ok());
    }
}
