//! Mistakes on purpose: each is to be found.

use std::process::ExitCode;

use model::report::{Line, table};
use model::scenario::Scenario;
use model::search::{Found, Limits, search};
use planted::{Mistake, plant};

/// What became of one mistake.
struct Row {
    mistake: &'static str,
    scenario: String,
    property: String,
    states: usize,
    steps: usize,
}

impl Line for Row {
    const COLUMNS: &'static [&'static str] = &["mistake", "found by", "in scenario", "states", "steps"];

    fn cells(&self) -> Vec<String> {
        let found = if self.property.is_empty() { "not found" } else { &self.property };
        let (states, steps) = (self.states.to_string(), self.steps.to_string());
        vec![self.mistake.to_owned(), found.to_owned(), self.scenario.clone(), states, steps]
    }
}

/// Makes each mistake and searches until a property is broken.
pub(crate) fn find_all(scenarios: &[Scenario], limits: Limits) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for &mistake in model::mistakes() {
        plant(Some(mistake));
        let row = find(mistake, scenarios, limits);
        plant(None);
        rows.push(row?);
    }
    let is_missed = rows.iter().any(|row| row.property.is_empty());
    println!("{}", table(&rows));
    Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn find(mistake: Mistake, scenarios: &[Scenario], limits: Limits) -> anyhow::Result<Row> {
    let mut searched = 0;
    for scenario in scenarios {
        let Found { states, broken, .. } = search(scenario, limits)?;
        searched += states;
        if let Some(broken) = broken {
            return Ok(Row {
                mistake: mistake.name(),
                scenario: scenario.name.to_owned(),
                property: broken.property.to_owned(),
                states: searched,
                steps: broken.actions.len(),
            });
        }
    }
    let (scenario, property) = (String::new(), String::new());
    Ok(Row { mistake: mistake.name(), scenario, property, states: searched, steps: 0 })
}
