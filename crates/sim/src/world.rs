//! Everything that is, and the one scheduler that decides at every point what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use check::Disturbance;
use clock::Clock;
use fastrand::Rng;
use osd::Millis;

use crate::host::Host;
use crate::mail::Mail;
use crate::plan::{Fault, Plan, What, When};
use crate::pool::{Life, TaskPool, lock};
use crate::recorder::{Now, Recorder};
use crate::state::{KEEP_ALIVE, Standing, State, Timed};
use crate::trace::Trace;

/// How long a watch outlives its client, in ms.
const WATCH_MS: u64 = 3_000;
/// How long a session outlives its client and its watches, in ms.
const SESSION_MS: u64 = 60_000;
/// When the OSD has forgotten a client that did not say that it leaves, in ms.
pub(crate) const FORGOTTEN_MS: u64 = WATCH_MS + SESSION_MS + 1;
/// Whoever is not done by then, in ms, never is.
const TIME_MAX: u64 = 1_200_000;
/// More steps than this are a loop.
const STEPS_MAX: u64 = 20_000_000;

/// Shared by the scheduler and the clients' transports.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) pool: TaskPool,
    pub(crate) recorder: Recorder,
}

/// What a turn was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Went,
    /// Nothing will ever happen again.
    Stuck,
}

impl World {
    pub(crate) fn new(plan: &Plan, keeps_lines: bool) -> Self {
        let Clock::Manual(manual) = Clock::manual() else { unreachable!("it is manual") };
        let config = osd::Config {
            osd_client_watch_timeout: Millis(WATCH_MS),
            osd_client_watch_grace: Millis(300),
            osd_default_notify_timeout: Millis(3_000),
            mon_osd_blocklist_default_expire: Millis(360_000),
            osd_client_session_timeout: Millis(SESSION_MS),
            events_kept_max: usize::MAX,
            event_bytes_kept_max: usize::MAX,
            ..osd::Config::default()
        };
        let state = State {
            rng: Rng::with_seed(plan.schedule),
            manual,
            latency_ms_max: plan.latency_ms_max,
            durable_ms_max: plan.durable_ms_max,
            durable_at: None,
            clients: plan.names(),
            calm_ms_max: plan.calm_ms_max(),
            mail: Mail::default(),
            ends: BTreeMap::new(),
            connections: BTreeMap::new(),
            lives: BTreeMap::new(),
            newest: 0,
            host: Host::new(config, plan.durable_ms_max > 0),
            trace: Trace::new(keeps_lines),
            faults: Vec::new(),
            timers: BTreeMap::new(),
            vectors: BTreeMap::new(),
            ops: BTreeMap::new(),
            delayed: BTreeMap::new(),
            missed: BTreeMap::new(),
            vacant: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), pool: TaskPool::default(), recorder: Recorder::default() }
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::Manual(lock(&self.state).manual.clone())
    }

    /// Where the calls are taken down.
    pub(crate) fn now(&self) -> Now {
        lock(&self.state).moment()
    }

    /// A life begins.
    pub(crate) fn begin_life(&self, client: &str, seat: Option<usize>) -> Life {
        let mut state = lock(&self.state);
        state.newest += 1;
        let life = Life(state.newest);
        let standing = Standing { client: client.to_owned(), seat, frozen_until: 0, held_until: 0 };
        state.lives.insert(life, standing);
        life
    }

    /// From here on the plan's faults happen.
    pub(crate) fn arm(&self, faults: &[Fault]) {
        let mut state = lock(&self.state);
        let now = state.now();
        for fault in faults {
            match fault.when {
                When::At(after) => state.timer(now + after, Timed::Strike(fault.client, fault.what)),
                _ => state.faults.push(fault.clone()),
            }
        }
    }

    /// From here on nothing new breaks.
    pub(crate) fn disarm(&self) {
        let mut state = lock(&self.state);
        state.faults.clear();
        state.missed.clear();
        state.timers.retain(|_, timed| !matches!(timed, Timed::Strike(..)));
    }

    /// A seat to be taken again.
    pub(crate) fn vacant(&self) -> Option<usize> {
        lock(&self.state).vacant.pop_front()
    }

    /// Whether a seat is or will be empty.
    pub(crate) fn is_vacant(&self) -> bool {
        let state = lock(&self.state);
        !state.vacant.is_empty() || state.timers.values().any(|timed| matches!(timed, Timed::Vacant(_)))
    }

    /// Lets happen what happens until `is_done`, or for ever is over.
    pub(crate) fn run(&self, mut is_done: impl FnMut() -> bool) -> Turn {
        while !is_done() {
            let (time, steps) = {
                let state = lock(&self.state);
                (state.now(), state.trace.steps())
            };
            if time > TIME_MAX || steps > STEPS_MAX || self.turn() == Turn::Stuck {
                return Turn::Stuck;
            }
        }
        Turn::Went
    }

    fn turn(&self) -> Turn {
        let task = {
            let mut state = lock(&self.state);
            let now = state.now();
            if state.host.is_due(Millis(now)) {
                state.trace.step(&[1, now], || format!("{now:>7} osd works"));
                let out = state.host.work(Millis(now));
                state.send(out);
                return Turn::Went;
            }
            if let Some(timed) = state.due_timer(now) {
                drop(state);
                self.happen(&timed);
                return Turn::Went;
            }
            let ready = self.pool.ready(|life| state.may_run(life, now));
            let lanes = state.mail.due(now, |connection| state.opens(connection));
            let goes_durable = state.durable_at.is_some_and(|at| at <= now);
            let choices = ready.len() + lanes.len() + usize::from(goes_durable);
            if choices == 0 {
                return state.pass_time(now);
            }
            let choice = state.rng.usize(0..choices);
            match ready.get(choice) {
                Some(task) => *task,
                None if choice == ready.len() + lanes.len() => {
                    state.trace.step(&[8, now], || format!("{now:>7} osd's store goes on"));
                    state.go_durable();
                    return Turn::Went;
                }
                None => {
                    let lane = lanes[choice - ready.len()];
                    let strikes = state.deliver(now, lane);
                    drop(state);
                    strikes.iter().for_each(|timed| self.happen(timed));
                    return Turn::Went;
                }
            }
        };
        self.poll(task);
        Turn::Went
    }

    fn poll(&self, task: u64) {
        {
            let mut state = lock(&self.state);
            let now = state.now();
            state.trace.step(&[2, now, task], || format!("{now:>7} task {task}"));
        }
        self.pool.poll(task);
    }

    fn happen(&self, timed: &Timed) {
        match *timed {
            Timed::Strike(seat, what) => self.strike(seat, what),
            Timed::Break(connection) => lock(&self.state).break_off(connection),
            Timed::Reopen => {
                let mut state = lock(&self.state);
                let now = state.now();
                state.trace.step(&[9, now], || format!("{now:>7} osd is there again"));
                state.host.reopen(Millis(now));
                state.send(Vec::new());
            }
            Timed::Vacant(seat) => lock(&self.state).vacant.push_back(seat),
            Timed::Late(place, ref object) => {
                let mut state = lock(&self.state);
                let now = state.now();
                state.trace.step(&[7, now, place.connection, place.stream], || {
                    format!("{now:>7} what waited at {object} goes on")
                });
                state.late(now, place, object);
            }
        }
    }

    /// Breaks something of whoever has the seat; an empty seat has nothing that could break.
    fn strike(&self, seat: usize, what: What) {
        let mut state = lock(&self.state);
        let now = state.now();
        if let What::Crash(span) = what {
            return self.crash(&mut state, what, span);
        }
        let of_seat = |(_, standing): &(&Life, &Standing)| standing.seat == Some(seat);
        let Some((&life, standing)) = state.lives.iter().rfind(of_seat) else { return };
        if !self.pool.is_alive(life) {
            return;
        }
        let client = standing.client.clone();
        let costs_ms = what.costs_ms(state.calm_ms_max);
        state.trace.step(&[3, now, seat as u64], || format!("{now:>7} {what:?} befalls {client}"));
        let trouble = |from_ms, until_ms, kills| Disturbance {
            client: client.clone(),
            from_ms,
            until_ms,
            kills,
            costs_ms,
        };
        let connections: Vec<u64> =
            state.connections.iter().filter(|(_, of)| of.life == life).map(|(&number, _)| number).collect();
        match what {
            What::Kill(span) => {
                self.recorder.lost(state.moment(), &client);
                self.recorder.disturbed(trouble(now, now + span, true));
                for connection in connections {
                    state.break_off(connection);
                }
                state.lives.remove(&life);
                state.timer(now + span, Timed::Vacant(seat));
                drop(state);
                self.pool.end(life);
            }
            What::Freeze(span) => {
                state.lives.entry(life).and_modify(|life| life.frozen_until = now + span);
                self.recorder.disturbed(trouble(now, now + span, false));
            }
            What::Hold(span) => {
                state.lives.entry(life).and_modify(|life| life.held_until = now + span);
                self.recorder.disturbed(trouble(now, now + span, false));
            }
            What::Reset => {
                connections.into_iter().for_each(|connection| state.break_off(connection));
                self.recorder.disturbed(trouble(now, now, false));
            }
            What::Drop => {
                connections.into_iter().for_each(|connection| state.die(connection));
                self.recorder.disturbed(trouble(now, now + KEEP_ALIVE, false));
            }
            // Nobody answers the operator.
            What::Fence if state.host.is_down() => {}
            What::Fence => {
                let gids: Vec<u64> = state
                    .host
                    .osd
                    .sessions()
                    .into_iter()
                    .filter(|session| session.name == client)
                    .map(|session| session.gid)
                    .collect();
                for gid in gids {
                    let (_, effects) = state.host.osd.blocklist_add(Millis(now), gid, None, 0);
                    let out = state.host.carry_out(effects);
                    state.send(out);
                }
                self.recorder.disturbed(trouble(now, now, false));
            }
            What::Delay(span) => self.recorder.disturbed(trouble(now, now + span, false)),
            What::Miss => {
                *state.missed.entry(seat).or_default() += 1;
                self.recorder.disturbed(trouble(now, now, false));
            }
            What::Refuse(_) => unreachable!("a vector is refused where it arrives"),
            What::Crash(_) => unreachable!("it befalls no client"),
        }
    }

    /// One that has crashed and not come back does not crash again.
    fn crash(&self, state: &mut State, what: What, span: u64) {
        if state.host.is_down() {
            return;
        }
        let (now, costs_ms) = (state.now(), what.costs_ms(state.calm_ms_max));
        state.trace.step(&[10, now], || format!("{now:>7} {what:?} befalls the osd"));
        for client in state.clients.clone() {
            let (from_ms, until_ms, kills) = (now, now + span, false);
            self.recorder.disturbed(Disturbance { client, from_ms, until_ms, kills, costs_ms });
        }
        state.crash(now, span);
    }
}
