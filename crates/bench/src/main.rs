//! Measures, prints the table: `scripts/bench`.

use std::{process::ExitCode, time::Duration};

use bench::{
    figures::{Figure, Scale},
    report,
};
use clap::{Parser, ValueEnum};

/// Measures osd-sim and rbd-client as processes, with Ceph's constants, and prints each figure beside Ceph's and beside what
/// the machine itself needs in the same run.
///
/// Compare ratios of one run: on a machine that is busy with something else every figure is worse, the limits too.
#[derive(Parser, Debug)]
#[command(name = "bench", version, after_help = EXAMPLES)]
struct Options {
    /// What to measure; everything unless named.
    #[arg(value_enum)]
    figures: Vec<Figure>,

    /// Calls of each latency.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    rounds: u32,

    /// Seconds for which each rate is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Size in MiB of the image that is flattened.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(4..=16384))]
    flatten_mib: u64,

    /// How the figures are printed.
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
}

const EXAMPLES: &str = "Examples:
  scripts/bench                                all figures, about two minutes
  scripts/bench hand-over --rounds 2000        one figure, with more calls
  scripts/bench random-read random-write --seconds 20
  scripts/bench --format json > figures.json   latencies in ms with all percentiles";

/// What the output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table, for people.
    Plain,
    /// One JSON document, for programs.
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let scale = Scale {
        rounds: options.rounds as usize,
        seconds: Duration::from_secs(options.seconds),
        flatten_mib: options.flatten_mib,
    };
    let plain = options.format == Format::Plain;
    if plain {
        print!("{}", report::head());
    }
    let mut rows = Vec::new();
    for figure in Figure::value_variants().iter().filter(|figure| wants(options, **figure)) {
        let measured = Box::pin(figure.measure(&scale)).await?;
        if plain {
            measured.iter().for_each(|row| print!("{}", report::line(row)));
        }
        rows.extend(measured);
    }
    if plain {
        print!("\n{}", report::legend(&rows));
    } else {
        println!("{}", report::json(&rows));
    }
    Ok(())
}

fn wants(options: &Options, figure: Figure) -> bool {
    options.figures.is_empty() || options.figures.contains(&figure)
}
