//! The one place where the OSD is stepped and its effects are carried out.

mod advance;
mod doors;
mod held;
mod late;
mod outlet;
mod pace;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use clock::Clock;
use errno::Errno;
use osd::faults::Faults;
use osd::{Effect, Entity, Event, Millis, NotifyReply, OpError, Osd, StreamId, WatchEvent};
use store::{MemoryStore, Seq, Store};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Config;
use crate::config::{millis, whole_millis};
use crate::op_stream::Cut;
use crate::replies::AllReplies;
use crate::wire;
pub(crate) use doors::Passage;
use held::Held;
use late::LateQueue;
pub(crate) use late::vector_bytes;
pub(crate) use outlet::{Inlet, OutletEnd};
use outlet::{Outlet, QueueMax};
use pace::{PULSE, Pace};

/// The pool that always exists.
const FIRST_POOL: &str = "rbd";

/// How long what is due waits after a step of the timer has panicked.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Where the objects are.
pub(crate) type AnyStore = Box<dyn Store + Send>;

/// One OSD at work. Every call steps it under one mutex; the effects are carried out while the mutex is held, by sends
/// that never wait, so that they happen in the order of the steps. Neither an answer nor an effect leaves before everything that
/// its step may have seen is durable.
pub(crate) struct Daemon {
    state: Mutex<State>,
    clock: Clock,
    /// One call advances the clock at a time.
    advancing: tokio::sync::Mutex<()>,
    watch_queue_max: QueueMax,
    in_flight_ops_max: usize,
    reply_bytes_in_flight_max: usize,
    /// Of both doors.
    pub(crate) replies: Arc<AllReplies>,
    /// The next deadline has come nearer, or more is durable.
    sooner: Arc<Notify>,
    /// Up to where everything survives.
    durable: watch::Sender<Seq>,
    /// Sequence of the newest event.
    newest_event: watch::Sender<u64>,
    /// Grows with every change of what a map of the cluster shows.
    map_revision: watch::Sender<u64>,
    /// Streams end when it is cancelled.
    pub(crate) closing: CancellationToken,
    /// Whether fault rules may be added.
    faults_enabled: bool,
    /// Whether there are any: without them nothing asks at the doors.
    has_rules: AtomicBool,
}

struct State {
    osd: Osd<AnyStore>,
    pace: Pace,
    /// Effects that wait until what they may have seen is durable.
    held: Held,
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

impl Daemon {
    /// Instances of different seeds do not share a gid before one of them has given out a million.
    pub(crate) fn new(config: &Config, seed: u64) -> Result<Self, OpError> {
        Self::with_store(Box::new(MemoryStore::new()), config, seed)
    }

    pub(crate) fn with_store(store: AnyStore, config: &Config, seed: u64) -> Result<Self, OpError> {
        let gid_base = (seed & u64::from(u32::MAX)) << 20;
        let mut osd = Osd::open(store, config.of_osd(), gid_base, Millis(0))?;
        let sooner = Arc::new(Notify::new());
        let wake = sooner.clone();
        osd.wake_when_durable(Box::new(move || wake.notify_one()));
        let there = osd.pools();
        let asked_for = config.pools.iter().map(String::as_str).filter(|pool| *pool != FIRST_POOL);
        for name in [FIRST_POOL].into_iter().chain(asked_for) {
            if there.iter().all(|pool| pool.name != name) {
                osd.create_pool(Millis(0), name).0?;
            }
        }
        let newest_event = watch::Sender::new(osd.newest_event());
        let map_revision = watch::Sender::new(osd.map_revision());
        let durable = watch::Sender::new(osd.durable());
        let in_flight_ops_max = config.limits.in_flight_ops_per_session_max as usize;
        let sessions = osd.sessions().into_iter();
        let permits = sessions.map(|session| (session.gid, Arc::new(Semaphore::new(in_flight_ops_max))));
        let state = State {
            osd,
            pace: Pace::new(config.clock.clone()),
            held: Held::default(),
            outlets: BTreeMap::new(),
            notifies: BTreeMap::new(),
            permits: permits.collect(),
            armed: None,
            faults: Faults::naming(crate::ceph::calls()),
            late: LateQueue::new(config.delayed_bytes_max),
            awaited: None,
            op_streams: BTreeMap::new(),
            newest_op_stream: 0,
        };
        Ok(Self {
            state: Mutex::new(state),
            clock: config.clock.clone(),
            advancing: tokio::sync::Mutex::default(),
            watch_queue_max: QueueMax {
                events: config.watch_queue_events_max,
                bytes: config.watch_queue_bytes_max,
            },
            in_flight_ops_max,
            reply_bytes_in_flight_max: config.reply_bytes_in_flight_max,
            replies: AllReplies::new(config.all_reply_bytes_in_flight_max, config.reply_stall_time_max),
            sooner,
            durable,
            newest_event,
            map_revision,
            closing: CancellationToken::new(),
            faults_enabled: config.enable_faults,
            has_rules: AtomicBool::new(false),
        })
    }

    /// One step of the OSD.
    pub(crate) fn step<T>(&self, call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (T, Vec<Effect>)) -> T {
        self.step_and(call, |_, reply| reply)
    }

    /// One step, and what it may have seen: its reply waits for [`Daemon::until_durable`].
    pub(crate) fn step_seeing<T>(
        &self,
        call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (T, Vec<Effect>),
    ) -> (T, Seq) {
        self.step_and_see(call, |_, reply| reply)
    }

    /// Executes a vector; its reply, and what that may have seen: it waits for [`Daemon::until_durable`].
    pub(crate) fn operate(&self, request: &osd::Request) -> (Arc<osd::Reply>, Seq) {
        self.step(|osd, now| {
            let (reply, effects) = osd.operate(now, request);
            ((reply, osd.seen_by(&request.vector)), effects)
        })
    }

    /// One step; its reply when it may leave.
    pub(crate) async fn answer<T>(
        &self,
        call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (T, Vec<Effect>),
    ) -> T {
        let (reply, seen) = self.step_seeing(call);
        self.until_durable(seen).await;
        reply
    }

    /// Until everything up to there survives.
    pub(crate) async fn until_durable(&self, seen: Seq) {
        if *self.durable.borrow() < seen {
            // The sender is here as long as somebody waits.
            let _ = self.durable.subscribe().wait_for(|durable| *durable >= seen).await;
        }
    }

    /// What a look at the OSD finds, when it may be told.
    pub(crate) async fn find<T>(&self, look: impl FnOnce(&Osd<AnyStore>) -> T) -> T {
        let (found, seen) = self.look(|osd| (look(osd), osd.seen()));
        self.until_durable(seen).await;
        found
    }

    /// A look at the OSD that changes nothing.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Osd<AnyStore>) -> T) -> T {
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

    /// A client of Ceph's has a connection: its watch stream, as [`Daemon::hello`] opens one.
    pub(crate) fn entity_connected(
        &self,
        entity: Entity<'_>,
        outlet: OutletEnd,
    ) -> Result<StreamId, OpError> {
        self.step_and(
            |osd, now| osd.entity_connected(now, entity),
            |state, reply| {
                let stream = reply?;
                state.outlets.insert(stream, outlet.0);
                Ok(stream)
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
        call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (Result<u64, OpError>, Vec<Effect>),
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
        outlet::channel(self.watch_queue_max)
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

    /// Bytes of the replies that one op stream, or the unary calls of one connection, have not taken.
    pub(crate) fn reply_bytes_in_flight_max(&self) -> usize {
        self.reply_bytes_in_flight_max
    }

    /// At most `max` events with a sequence above `after`.
    pub(crate) fn events_after(&self, after: u64, max: usize) -> Vec<Arc<Event>> {
        self.look(|osd| osd.events_after(after, max))
    }

    /// Changes with pools, snapshot ids and fences.
    pub(crate) fn map_revision(&self) -> watch::Receiver<u64> {
        self.map_revision.subscribe()
    }

    /// Changes with every new event.
    pub(crate) fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest_event.subscribe()
    }

    /// Does what is due when it is due; never ends. Without it the time does not pass.
    pub(crate) async fn keep_time(&self) {
        loop {
            let mut is_sound = survives(|| self.step(|osd, now| ((), osd.tick(now))));
            while is_sound && self.look(Osd::has_work) {
                is_sound = survives(|| self.step(|osd, now| ((), osd.work(now))));
                // Others come in between.
                tokio::task::yield_now().await;
            }
            if !is_sound {
                sleep(AFTER_PANIC).await;
            }
            let deadline = {
                let state = self.lock();
                state.armed.map(|deadline| state.pace.reaches(deadline))
            };
            let due = async {
                match deadline {
                    Some(deadline) => self.clock.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = due => {}
                () = sleep(PULSE), if self.clock == Clock::Real => {}
            }
        }
    }

    /// A step, and what is to be known to `State` before its effects are carried out.
    fn step_and<T, U>(
        &self,
        call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (T, Vec<Effect>),
        register: impl FnOnce(&mut State, T) -> U,
    ) -> U {
        self.step_and_see(call, register).0
    }

    fn step_and_see<T, U>(
        &self,
        call: impl FnOnce(&mut Osd<AnyStore>, Millis) -> (T, Vec<Effect>),
        register: impl FnOnce(&mut State, T) -> U,
    ) -> (U, Seq) {
        let mut state = self.lock();
        let now = state.look_at_time();
        let (reply, effects) = call(&mut state.osd, now);
        let registered = register(&mut state, reply);
        state.carry_out(now, effects);
        self.finish(&mut state, now);
        (registered, state.osd.seen())
    }

    /// What every step ends with: what is durable by now, what faults had delayed until now, the timer, and those who wait for answers or follow the
    /// events.
    fn finish(&self, state: &mut State, now: Millis) {
        let durable = state.osd.durable();
        while let Some(effects) = state.held.release(durable) {
            state.carry_out_at_once(now, effects);
        }
        self.durable.send_if_modified(|known| std::mem::replace(known, durable) != durable);
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
        let revision = state.osd.map_revision();
        self.map_revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }

    /// Since the OSD's start.
    pub(crate) fn now(&self) -> Millis {
        self.lock().look_at_time()
    }

    /// A step that panics is the end of what it was for, not of the OSD.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            self.state.clear_poison();
            tracing::error!("a step panicked: the OSD goes on with what it had done until then");
            poisoned.into_inner()
        })
    }
}

/// Whether it did not panic.
fn survives(step: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(step)).is_ok()
}

impl State {
    /// Every step is at the moment at which it begins.
    fn look_at_time(&mut self) -> Millis {
        let stood = self.pace.look();
        self.osd.stood_still(whole_millis(stood));
        self.pace.passed()
    }

    /// Carries effects out, as soon as what they may have seen is durable.
    fn carry_out(&mut self, now: Millis, effects: Vec<Effect>) {
        if let Some(effects) = self.held.hold(self.osd.seen(), self.osd.durable(), effects) {
            self.carry_out_at_once(now, effects);
        }
    }

    fn carry_out_at_once(&mut self, now: Millis, effects: Vec<Effect>) {
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
        let Some(outlet) = self.outlets.get_mut(&stream) else { return Vec::new() };
        let Err(full) = outlet.send(event) else { return Vec::new() };
        self.cut(stream, wire::status(full));
        self.osd.watch_stream_overrun(now, stream)
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

    #[tokio::test]
    async fn a_step_that_panics_takes_nobody_else_down() {
        let daemon = Arc::new(Daemon::new(&Config::ci(), 1).expect("the configuration is valid"));
        let (gid, _) = daemon.connect("one", "peer").expect("there is room");
        let panicking = daemon.clone();
        let step = tokio::spawn(async move { panicking.step::<()>(|_, _| panic!("on purpose")) });
        step.await.expect_err("it panicked");
        daemon.connect("next", "peer").expect("the OSD goes on");
        assert_eq!(daemon.look(osd::Osd::sessions)[0].gid, gid, "with what it had");
    }

    #[test]
    fn a_client_that_is_gone_before_its_hello_is_refused_harms_nobody() {
        let daemon = Daemon::new(&Config::ci(), 1).expect("the configuration is valid");
        let (outlet, inlet) = daemon.channel();
        drop(inlet);
        assert!(daemon.hello(7, outlet).is_none());
        assert!(daemon.connect("next", "peer").is_ok());
    }
}
