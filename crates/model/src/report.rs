//! What a search found, as tables and as JSON.

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::Style;

use crate::scenario::Scenario;
use crate::search::Found;
use crate::world::World;

/// One search.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Of the scenario.
    pub scenario: String,
    /// How many.
    pub clients: usize,
    /// `rbd_blocklist_on_break_lock`.
    pub blocklist: bool,
    /// Different ones.
    pub states: usize,
    /// Steps to the deepest.
    pub depth: usize,
    /// No state was left out.
    pub exhaustive: bool,
    /// Time that it took.
    pub seconds: f64,
    /// "all properties hold", or the one that is broken, and how.
    pub result: String,
    /// The way to a broken property.
    pub way: Vec<Step>,
}

/// One step of a counterexample.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// From 1.
    pub step: usize,
    /// What happens.
    pub action: String,
    /// The locks of all clients behind it, as they see them.
    pub locks: String,
}

/// What is printed as a line of a table.
pub trait Line {
    /// Names of the columns.
    const COLUMNS: &'static [&'static str];
    /// One text for each.
    fn cells(&self) -> Vec<String>;
}

impl Line for Row {
    const COLUMNS: &'static [&'static str] =
        &["scenario", "clients", "blocklist", "states", "depth", "all", "seconds", "result"];

    fn cells(&self) -> Vec<String> {
        let Self { scenario, clients, blocklist, states, depth, exhaustive, seconds, result, .. } = self;
        let [blocklist, all] =
            [if *blocklist { "on" } else { "off" }, if *exhaustive { "yes" } else { "no" }];
        vec![
            scenario.clone(),
            clients.to_string(),
            blocklist.to_owned(),
            states.to_string(),
            depth.to_string(),
            all.to_owned(),
            format!("{seconds:.1}"),
            result.clone(),
        ]
    }
}

impl Line for Step {
    const COLUMNS: &'static [&'static str] = &["step", "what happens", "locks"];

    fn cells(&self) -> Vec<String> {
        vec![self.step.to_string(), self.action.clone(), self.locks.clone()]
    }
}

impl Row {
    /// Of a search. Fails if the OSD refuses to make the image.
    pub fn new(scenario: &Scenario, found: &Found) -> anyhow::Result<Self> {
        let result = match &found.broken {
            Some(broken) => format!("{}: {}", broken.property, broken.why),
            None => "all properties hold".to_owned(),
        };
        Ok(Self {
            scenario: scenario.name.to_owned(),
            clients: scenario.deeds.len(),
            blocklist: scenario.blocklist,
            states: found.states,
            depth: found.depth,
            exhaustive: found.is_exhaustive,
            seconds: found.time.as_secs_f64(),
            result,
            way: way(scenario, found)?,
        })
    }
}

fn way(scenario: &Scenario, found: &Found) -> anyhow::Result<Vec<Step>> {
    let mut world = World::new(scenario)?;
    let mut steps = Vec::new();
    for (number, action) in found.broken.iter().flat_map(|broken| &broken.actions).enumerate() {
        let action_text = world.describe(*action);
        world = world.next(scenario, *action);
        let locks: Vec<&str> = world.clients.iter().map(|it| it.lock_state().name()).collect();
        steps.push(Step { step: number + 1, action: action_text, locks: locks.join(" ") });
    }
    Ok(steps)
}

/// Lines under the names of their columns.
pub fn table<L: Line>(lines: &[L]) -> String {
    let mut builder = Builder::default();
    builder.push_record(L::COLUMNS.iter().copied());
    lines.iter().for_each(|line| builder.push_record(line.cells()));
    builder.build().with(Style::psql()).to_string()
}
