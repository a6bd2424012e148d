//! `sim`: plays universes by their seeds.

#[cfg(feature = "planted")]
mod mistakes;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use sim::{Plan, Report, minimise, play, play_seeds};
use tikv_jemallocator::Jemalloc;

/// Universes are made of small pieces that come and go on all cores: half again as fast as with the system's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Plays universes: whole clients (librbd, rados) and the OSD under one seeded scheduler, and judges every run.
///
/// A failure is a number that replays it: the same seed is the same run, step by step, in every process.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, on all cores.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// All universes are small ones.
    #[arg(long)]
    small: bool,
    /// Plays a plan that was kept, instead of a seed's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "count", "small"])]
    replay: Option<PathBuf>,
    /// Prints the plan, as --replay reads it, and plays nothing.
    #[arg(long, conflicts_with = "count")]
    plan: bool,
    /// Stops at the first seed that fails.
    #[arg(long, requires = "count")]
    first: bool,
    /// Makes a plan that fails smaller and prints it, as --replay reads it.
    #[arg(long, conflicts_with_all = ["count", "plan"])]
    minimise: bool,
    /// Makes each mistake of crate planted on purpose and plays seeds until one fails. In builds for it only: scripts/sim-planted.
    #[cfg(feature = "planted")]
    #[arg(long, requires = "count", conflicts_with_all = ["plan", "minimise", "trace", "first"])]
    planted: bool,
    /// Tells at the end how often each row of the protocol's tables was reached, and fails if one never was. In builds for it only:
    /// scripts/sim-marks.
    #[cfg(feature = "marks")]
    #[arg(long, requires = "count", conflicts_with_all = ["plan", "minimise", "trace", "first"])]
    marks: bool,
    /// Prints every step, and every call with its answer.
    #[arg(long, conflicts_with = "count")]
    trace: bool,
}

impl Options {
    fn draw(&self) -> fn(u64) -> Plan {
        if self.small { Plan::draw_small } else { Plan::draw }
    }
}

/// What all universes of a run came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    failed: u64,
    calls: usize,
    steps: u64,
    time_ms: u64,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.failed += u64::from(!report.violations.is_empty());
        self.calls += report.calls;
        self.steps += report.steps;
        self.time_ms += report.time_ms;
    }
}

fn main() -> Result<ExitCode> {
    planted::plant_from_environment().map_err(anyhow::Error::msg)?;
    let options = Options::parse();
    let mut out = io::stdout().lock();
    match run(&options, &mut out) {
        // Whoever read it has seen enough.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        ended => ended,
    }
}

fn run(options: &Options, out: &mut impl Write) -> Result<ExitCode> {
    let Options { seed, count, .. } = options;
    if seed.checked_add(*count).is_none() {
        bail!("--seed {seed} --count {count}: seeds go up to {}", u64::MAX - 1);
    }
    #[cfg(feature = "planted")]
    if options.planted {
        let missed = mistakes::find(options.seed, options.count, out)?;
        return Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if options.count == 1 {
        let plan = match &options.replay {
            Some(file) => kept(file)?,
            None => options.draw()(options.seed),
        };
        if options.plan {
            write!(out, "{}", toml::to_string(&plan)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if options.minimise {
            return smaller(&plan, out);
        }
        return one(options, &plan, out);
    }
    let failed = many(options, out)?;
    #[cfg(feature = "marks")]
    let failed = failed + if options.marks { tell_marks(out)? } else { 0 };
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How often each row was reached, and what is wrong with it; how many are wrong.
#[cfg(feature = "marks")]
fn tell_marks(out: &mut impl Write) -> Result<u64> {
    let report = marks::Report::of(marks::hits);
    write!(out, "{report}")?;
    report.wrong().iter().try_for_each(|wrong| writeln!(out, "{wrong}"))?;
    let (marks, wrong) = (marks::Mark::ALL.len(), report.wrong().len());
    writeln!(out, "{marks} marks: {wrong} wrong")?;
    Ok(wrong as u64)
}

fn kept(file: &std::path::Path) -> Result<Plan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is no plan", file.display()))
}

fn one(options: &Options, plan: &Plan, out: &mut impl Write) -> Result<ExitCode> {
    let report = play(plan, options.trace);
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "trace hash: {:016x}", report.trace_hash)?;
    for violation in &report.violations {
        writeln!(out, "{violation}")?;
    }
    writeln!(
        out,
        "{} calls, {} steps, {} ms: {}",
        report.calls,
        report.steps,
        report.time_ms,
        verdict(&report)
    )?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Exit status 1 when there is nothing to make smaller.
fn smaller(plan: &Plan, out: &mut impl Write) -> Result<ExitCode> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} plans played")?);
    let smallest = minimise(plan, || bar.inc(1));
    bar.finish_and_clear();
    match smallest {
        Some(smallest) => {
            write!(out, "{}", toml::to_string(&smallest)?)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            eprintln!("sim: the plan breaks no rule: there is nothing to make smaller");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Plays all of them; how many have failed.
fn many(options: &Options, out: &mut impl Write) -> Result<u64> {
    let bar = ProgressBar::new(options.count);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left")?);
    let mut sum = Sum::default();
    let mut written = Ok(());
    play_seeds(options.seed..options.seed + options.count, options.draw(), |seed, report| {
        sum.add(report);
        bar.inc(1);
        if report.violations.is_empty() {
            return ControlFlow::Continue(());
        }
        written = bar.suspend(|| {
            let small = if options.small { " --small" } else { "" };
            writeln!(out, "seed {seed} fails; see it with: scripts/sim --seed {seed} --trace{small}")?;
            report.violations.iter().try_for_each(|violation| writeln!(out, "  {violation}"))
        });
        if options.first || written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    written?;
    bar.finish_and_clear();
    let Sum { seeds, failed, calls, steps, time_ms } = sum;
    let hours = time_ms as f64 / 3_600_000.0;
    writeln!(
        out,
        "{seeds} seeds, {calls} calls, {steps} steps, {hours:.2} simulated hours: {failed} failed"
    )?;
    Ok(failed)
}

fn verdict(report: &Report) -> &'static str {
    if report.violations.is_empty() { "PASS" } else { "FAIL" }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
