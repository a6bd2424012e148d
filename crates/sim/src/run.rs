//! Plays a plan from its begin to its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use check::{Bounds, BreakRule, Clients, EventLog, Violation};
use futures_util::FutureExt;

use crate::begin::{self, Begun, Shape, features, image_name};
use crate::client::Seat;
use crate::maker::{MAKER, Maker};
use crate::plan::Plan;
use crate::pool::{Life, lock};
use crate::rest::{self, Left};
use crate::world::{Turn, World};

/// What came of a universe.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong; empty = nothing.
    pub violations: Vec<String>,
    /// The same for the same plan, always.
    pub trace_hash: u64,
    /// Decisions of the scheduler.
    pub steps: u64,
    /// Time that passed in it, in ms.
    pub time_ms: u64,
    /// Calls that clients made.
    pub calls: usize,
    /// The steps, when they were asked for.
    pub lines: Vec<String>,
}

/// Plays one.
pub fn play(plan: &Plan, keeps_lines: bool) -> Report {
    Player::default().play(plan, keeps_lines)
}

/// Beginnings that are kept at most.
const BEGUN_MAX: usize = 512;

/// Plays plans, one after the other. What universes begin with is made once for all of one shape.
#[derive(Default)]
pub struct Player {
    begun: BTreeMap<Shape, Result<Begun, String>>,
}

impl Player {
    /// Plays it. `keeps_lines`: the report has every step.
    pub fn play(&mut self, plan: &Plan, keeps_lines: bool) -> Report {
        let shape = begin::shape(plan);
        if self.begun.len() == BEGUN_MAX && !self.begun.contains_key(&shape) {
            self.begun.clear();
        }
        match self.begun.entry(shape).or_insert_with(|| begin::begin(plan)) {
            Ok(begun) => go_on(begun, plan, keeps_lines),
            Err(why) => Report { violations: vec![why.clone()], ..Report::default() },
        }
    }
}

fn go_on(begun: &Begun, plan: &Plan, keeps_lines: bool) -> Report {
    let world = World::new(plan, begun, keeps_lines);
    let mut violations = Vec::new();
    let left = story(&world, plan, &begun.image_id, &mut violations);
    let (calls, mut told) = judge(&world, plan, &left.unwrap_or_default(), &mut violations, keeps_lines);
    // What still sleeps goes with the world; its tasks hold parts of it.
    let mut state = lock(&world.state);
    let time_ms = state.now();
    let trace = std::mem::replace(&mut state.trace, crate::trace::Trace::new(false));
    drop(state);
    world.pool.end_all();
    Report {
        violations,
        trace_hash: trace.hash(),
        steps: trace.steps(),
        time_ms,
        calls,
        lines: {
            let mut lines = trace.lines();
            lines.append(&mut told);
            lines
        },
    }
}

/// `None` when it did not come to its end; why is among the violations.
fn story(world: &World, plan: &Plan, image_id: &str, violations: &mut Vec<String>) -> Option<Left> {
    let config = librbd::Config { rbd_clone_copy_on_read: plan.copy_on_read, ..librbd::Config::ci() };
    let image = image_name(plan.depth - 1);
    let seats: Vec<Arc<Seat>> = plan
        .clients
        .iter()
        .zip(plan.names())
        .enumerate()
        .map(|(number, (steps, name))| {
            Arc::new(Seat {
                world: world.clone(),
                number,
                name,
                image: image.clone(),
                image_id: image_id.to_owned(),
                config: config.clone(),
                features: features(plan),
                steps: Mutex::new(steps.iter().cloned().collect()),
                is_done: Mutex::new(false),
            })
        })
        .collect();
    seats.iter().for_each(|seat| sit_down(world, seat));
    world.arm(&plan.faults);
    let turn = world.run(|| {
        while let Some(number) = world.vacant() {
            sit_down(world, &seats[number]);
        }
        seats.iter().all(|seat| *lock(&seat.is_done)) && !world.is_vacant()
    });
    if turn == Turn::Stuck {
        let hang: Vec<_> =
            seats.iter().filter(|seat| !*lock(&seat.is_done)).map(|seat| seat.name.as_str()).collect();
        violations.push(format!("clients never come to their end: {}", hang.join(", ")));
        return None;
    }
    world.disarm();
    // One that crashed last is opened again.
    world.run(|| !lock(&world.state).host.is_down());
    let life = world.begin_life(MAKER, None);
    let looking = {
        let (world, is_cleared) = (world.clone(), plan.is_cleared);
        async move { rest::look(Maker::arrive(world, life, config).await?, is_cleared).await }
    };
    match alone(world, life, looking)? {
        Ok(left) => {
            violations.extend(left.failed.iter().map(|what| format!("at the end: {what}")));
            Some(left)
        }
        Err(why) => {
            violations.push(format!("the end could not be looked at: {why}"));
            None
        }
    }
}

fn sit_down(world: &World, seat: &Arc<Seat>) {
    *lock(&seat.is_done) = false;
    let life = world.begin_life(&seat.name, Some(seat.number));
    world.pool.start(life, seat.clone().live(life).boxed());
}

/// Runs one thing to its end. `None` when it never comes.
pub(crate) fn alone<T: Send + 'static>(
    world: &World,
    life: Life,
    doing: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    world.pool.start(life, async move { *lock(&place) = Some(doing.await) }.boxed());
    world.run(|| lock(&result).is_some());
    lock(&result).take()
}

/// How many calls there were, and on demand each of them with its answer, and the changes that the OSD made.
fn judge(
    world: &World,
    plan: &Plan,
    left: &Left,
    violations: &mut Vec<String>,
    tells: bool,
) -> (usize, Vec<String>) {
    let taken = world.recorder.take();
    let (disturbances, instances) = (taken.disturbances.clone(), taken.instances.clone());
    let history = taken.history();
    let events = match left.events.as_slice() {
        [] => lock(&world.state).host.events(),
        events => events.to_vec(),
    };
    let log = EventLog::from_wire(events).expect("it is the OSD's log");
    let bounds = Bounds { disturbances: &disturbances, calm_ms_max: plan.calm_ms_max() };
    let librbd = BTreeSet::new();
    let clients = Clients { instances: &instances, disturbances: &disturbances, librbd: &librbd };
    let mut found: Vec<Violation> = Vec::new();
    for objects in left.objects.values() {
        found.extend(check::one_writer_at_a_time(&log, objects, BreakRule::FenceFirst, &BTreeSet::new()));
    }
    found.extend(check::blocks_are_linearizable(&history));
    found.extend(check::snapshots_never_change(&history));
    found.extend(check::calls_ended_in_time(&history, bounds));
    found.extend(check::errors_have_a_cause(&history, &log, clients));
    if !left.objects.is_empty() {
        found.extend(check::maintenance_happened_once(&history, &log, &left.objects));
        found.extend(check::state_matches_the_calls(&history, &left.state));
        found.extend(check::parents_and_children_agree(&left.state));
        found.extend(check::nothing_left_over(&log, &left.rest));
    }
    violations.append(&mut lock(&world.state).host.broken);
    violations.extend(found.iter().map(ToString::to_string));
    let told = if tells { history.calls.iter().map(told).collect() } else { Vec::new() };
    (history.calls.len(), told)
}

fn told(call: &check::Call) -> String {
    let end = call.completed.as_ref().map_or_else(
        || "never ended".to_owned(),
        |(at, outcome)| format!("{} ms (event {}): {outcome:?}", at.time_ms, at.osd_sequence.unwrap_or(0)),
    );
    let invoked = &call.invoked;
    format!(
        "call {:>3} {:<8} {} {:?}, {} ms (event {}) to {end}",
        call.id,
        call.client,
        call.image,
        call.operation,
        invoked.time_ms,
        invoked.osd_sequence.unwrap_or(0)
    )
}
