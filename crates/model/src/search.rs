//! Breadth first over all states: the first state that breaks a property is one of those that are reached in the fewest steps.

use std::time::Duration;

use crate::properties;
use crate::scenario::Scenario;
use crate::world::{Action, World};

/// What came of a search.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Steps to the deepest of them.
    pub depth: usize,
    /// No state was left out.
    pub is_exhaustive: bool,
    /// How long it took.
    pub time: Duration,
    /// The shortest way to a broken property.
    pub broken: Option<Broken>,
}

/// A counterexample.
#[derive(Debug)]
pub struct Broken {
    /// Name of the property.
    pub property: &'static str,
    /// What breaks it.
    pub why: String,
    /// From the first state.
    pub actions: Vec<Action>,
}

/// How far to search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Steps from the first state.
    pub depth: Option<usize>,
    /// Different states.
    pub states: Option<usize>,
}

/// Which state leads to which.
#[derive(Default)]
struct Ways {
    /// (to, from), in 32 bits each: so many states fit nowhere.
    steps: Vec<(u32, u32)>,
    /// States in which no call is under way.
    ends: Vec<usize>,
}

impl Ways {
    fn add(&mut self, from: usize, to: usize) {
        self.steps.push((to as u32, from as u32));
    }

    /// The first state that does not lead to an end.
    fn first_without_end(&mut self, states: usize) -> Option<usize> {
        self.steps.sort_unstable();
        let mut leads = vec![false; states];
        let mut open = std::mem::take(&mut self.ends);
        while let Some(state) = open.pop() {
            if !std::mem::replace(&mut leads[state], true) {
                let first = self.steps.partition_point(|(to, _)| (*to as usize) < state);
                let steps = self.steps[first..].iter().take_while(|(to, _)| *to as usize == state);
                open.extend(steps.map(|(_, from)| *from as usize));
            }
        }
        leads.iter().position(|leads| !leads)
    }
}

/// How a state was reached first.
#[derive(Clone, Copy)]
struct Reached {
    from: usize,
    by: Action,
}

/// States by their fingerprints: never iterated.
#[allow(clippy::disallowed_types, reason = "its order shows nowhere, and there are millions")]
type Known = std::collections::HashMap<u128, usize>;

/// For people: how long a search takes decides nothing.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a duration for people")]
fn clock() -> impl Fn() -> Duration {
    let started = std::time::Instant::now();
    move || started.elapsed()
}

/// Searches until a property is broken, all states are known, or a limit is reached. Fails if the OSD refuses to make the image.
pub fn search(scenario: &Scenario, limits: Limits) -> anyhow::Result<Found> {
    let elapsed = clock();
    let first = World::new(scenario)?;
    let mut known = Known::from([(first.fingerprint(), 0)]);
    let mut ways = Ways::default();
    // The first state is number 0, and the one that is reached as `reached[n]` number n + 1.
    let mut reached: Vec<Reached> = Vec::new();
    let mut frontier = vec![(0, first)];
    let (mut depth, mut is_exhaustive) = (0, true);
    let mut broken = None;
    'search: loop {
        let mut next = Vec::new();
        for (number, world) in frontier {
            let actions = world.actions();
            let mut properties = properties::ALL.iter();
            broken = properties.find_map(|property| {
                let why = property.broken_by(scenario, &world, &actions)?;
                Some(Broken { property: property.name, why, actions: way_to(&reached, number) })
            });
            if broken.is_some() {
                break 'search;
            }
            if properties::is_at_rest(&world) {
                ways.ends.push(number);
            }
            if limits.depth.is_some_and(|max| depth >= max)
                || limits.states.is_some_and(|max| known.len() >= max)
            {
                is_exhaustive &= actions.is_empty();
                continue;
            }
            for action in actions {
                let world = world.next(scenario, action);
                let to = *known.entry(world.fingerprint()).or_insert_with(|| {
                    reached.push(Reached { from: number, by: action });
                    next.push((reached.len(), world));
                    reached.len()
                });
                // That a fault may help is no way out.
                if !action.is_fault() {
                    ways.add(number, to);
                }
            }
        }
        if next.is_empty() {
            break;
        }

        frontier = next;
        depth += 1;
    }
    is_exhaustive &= broken.is_none();
    if is_exhaustive && let Some(stuck) = ways.first_without_end(known.len()) {
        let why = "no way leads to the end of all calls".to_owned();
        broken = Some(Broken { property: "no-deadlock", why, actions: way_to(&reached, stuck) });
    }
    Ok(Found { states: known.len(), depth, is_exhaustive, time: elapsed(), broken })
}

fn way_to(reached: &[Reached], mut number: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    while number > 0 {
        let Reached { from, by } = reached[number - 1];
        actions.push(by);
        number = from;
    }
    actions.reverse();
    actions
}
