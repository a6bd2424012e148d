//! Everything that is, and the one scheduler that decides at every point what happens next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use check::Disturbance;
use clock::Clock;
use fastrand::Rng;
use osd::Millis;

use crate::begin::Begun;
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

fn osd_config() -> osd::Config {
    osd::Config {
        osd_client_watch_timeout: Millis(WATCH_MS),
        osd_client_watch_grace: Millis(300),
        osd_default_notify_timeout: Millis(3_000),
        mon_osd_blocklist_default_expire: Millis(360_000),
        osd_client_session_timeout: Millis(SESSION_MS),
        events_kept_max: usize::MAX,
        event_bytes_kept_max: usize::MAX,
        ..osd::Config::default()
    }
}

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
    /// A client did something, or something befell it: only then can one have come to its end.
    Befell,
    /// Nothing will ever happen again.
    Stuck,
}

impl World {
    /// Where nothing is yet.
    pub(crate) fn empty(plan: &Plan) -> Self {
        let is_late = plan.durable_ms_max > 0;
        Self::with(plan, Host::new(osd_config(), is_late), Recorder::default(), false)
    }

    /// With what there is before the clients come.
    pub(crate) fn new(plan: &Plan, begun: &Begun, keeps_lines: bool) -> Self {
        let (store, handle) = begun.store.crash();
        let is_late = plan.durable_ms_max > 0;
        let now = Millis(begun.time_ms);
        let host = Host::on((store, handle), osd_config(), begun.events.clone(), now, is_late);
        let world = Self::with(plan, host, Recorder::after(begun.taken.clone()), keeps_lines);
        let mut state = lock(&world.state);
        state.newest = begun.newest;
        state.set_time(begun.time_ms);
        drop(state);
        world
    }

    fn with(plan: &Plan, host: Host, recorder: Recorder, keeps_lines: bool) -> Self {
        let Clock::Manual(manual) = Clock::manual() else { unreachable!("it is manual") };
        let state = State {
            rng: Rng::with_seed(plan.schedule),
            manual,
            time_ms: 0,
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
            host,
            trace: Trace::new(keeps_lines),
            faults: Vec::new(),
            timers: BTreeMap::new(),
            vectors: BTreeMap::new(),
            ops: BTreeMap::new(),
            arrived: BTreeSet::new(),
            delayed: BTreeMap::new(),
            missed: BTreeMap::new(),
            vacant: VecDeque::new(),
            choices: (Vec::new(), Vec::new()),
        };
        Self { state: Arc::new(Mutex::new(state)), pool: TaskPool::default(), recorder }
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

    /// From here on nothing new breaks, and nothing is late.
    pub(crate) fn disarm(&self) {
        let mut state = lock(&self.state);
        state.faults.clear();
        state.missed.clear();
        state.timers.retain(|_, timed| !matches!(timed, Timed::Strike(..)));
        state.calm();
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
            loop {
                match self.turn() {
                    Turn::Went => {}
                    Turn::Befell => break,
                    Turn::Stuck => return Turn::Stuck,
                }
            }
        }
        Turn::Went
    }

    fn turn(&self) -> Turn {
        let task = {
            let mut state = lock(&self.state);
            let now = state.now();
            if now > TIME_MAX || state.trace.steps() > STEPS_MAX {
                return Turn::Stuck;
            }
            if state.host.is_due(Millis(now)) {
                state.trace.step(&[1, now], || format!("{now:>7} osd works"));
                let out = state.host.work(Millis(now));
                state.send(out);
                return Turn::Went;
            }
            if let Some(timed) = state.due_timer(now) {
                drop(state);
                self.happen(&timed);
                return Turn::Befell;
            }
            let (mut ready, mut lanes) = std::mem::take(&mut state.choices);
            ready.clear();
            lanes.clear();
            self.pool.ready(|life| state.may_run(life, now), &mut ready);
            state.mail.due(now, |connection| state.opens(connection), &mut lanes);
            let goes_durable = state.durable_at.is_some_and(|at| at <= now);
            let choices = ready.len() + lanes.len() + usize::from(goes_durable);
            if choices == 0 {
                state.choices = (ready, lanes);
                return state.pass_time(now);
            }
            let choice = state.rng.usize(0..choices);
            let (task, lane) =
                (ready.get(choice).copied(), lanes.get(choice.wrapping_sub(ready.len())).copied());
            state.choices = (ready, lanes);
            match (task, lane) {
                (Some(task), _) => {
                    state.trace.step(&[2, now, task], || format!("{now:>7} task {task}"));
                    task
                }
                (None, Some(lane)) => {
                    let strikes = state.deliver(now, lane);
                    drop(state);
                    strikes.iter().for_each(|timed| self.happen(timed));
                    return if strikes.is_empty() { Turn::Went } else { Turn::Befell };
                }
                (None, None) => {
                    state.trace.step(&[8, now], || format!("{now:>7} osd's store goes on"));
                    state.go_durable();
                    return Turn::Went;
                }
            }
        };
        self.pool.poll(task);
        Turn::Befell
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
