//! `model`: searches all states and prints what it found.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use model::report::{Row, table};
use model::scenario::{self, Scenario};
use model::search::{Limits, search};

#[cfg(feature = "planted")]
mod planting;

/// Searches every state that a few clients and one OSD can come to, made of the machines as they ship. Exit status 1 when a property
/// is broken.
#[derive(Parser)]
#[command(name = "model")]
struct Options {
    /// How many clients.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    clients: u8,
    /// At most so many steps from the first state.
    #[arg(long)]
    depth: Option<usize>,
    /// At most so many states in each scenario.
    #[arg(long)]
    states: Option<usize>,
    /// Break locks without fencing their owners: two owners are to be found.
    #[arg(long)]
    no_blocklist: bool,
    /// Only this scenario; may be given again.
    #[arg(long)]
    scenario: Vec<String>,
    /// Also scenarios that take minutes.
    #[arg(long)]
    long: bool,
    /// How to print.
    #[arg(long, default_value = "plain")]
    format: Format,
    /// Make each mistake of the table in docs/model.md, one after the other, and say by which property it is found. Exit status 1 when one
    /// is not.
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Plain,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    planted::plant_from_environment().map_err(anyhow::Error::msg)?;
    let scenarios = chosen(&options)?;
    let limits = Limits { depth: options.depth, states: options.states };
    #[cfg(feature = "planted")]
    if options.planted {
        return planting::find_all(&scenarios, limits);
    }
    let mut rows = Vec::new();
    for scenario in &scenarios {
        rows.push(Row::new(scenario, &search(scenario, limits)?)?);
    }
    match options.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
        Format::Plain => print(&rows),
    }
    let is_broken = rows.iter().any(|row| !row.way.is_empty());
    Ok(if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An unknown name is an error that lists the known ones.
fn chosen(options: &Options) -> anyhow::Result<Vec<Scenario>> {
    let mut all = scenario::all(options.clients.into());
    let known: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    if let Some(unknown) = options.scenario.iter().find(|name| !known.contains(&name.as_str())) {
        anyhow::bail!("there is no scenario {unknown:?}: {}", known.join(", "));
    }
    all.retain(|scenario| match options.scenario.is_empty() {
        true => options.long || !scenario.is_long,
        false => options.scenario.iter().any(|name| name == scenario.name),
    });
    all.iter_mut().for_each(|scenario| scenario.blocklist = !options.no_blocklist);
    Ok(all)
}

fn print(rows: &[Row]) {
    println!("{}", table(rows));
    for row in rows.iter().filter(|row| !row.way.is_empty()) {
        println!("\n{}: {}\n{}", row.scenario, row.result, table(&row.way));
    }
}
