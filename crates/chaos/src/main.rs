//! Breaks running clients on purpose and judges what came of it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use chaos::{
    evidence::{Evidence, Verdict},
    options::{Command, Common, Format, Options, Output, Random},
    report::{Outcome, Report, judged},
    run::{Place, panics},
    scenarios::{owner_lost, random, regressions, slow_watcher, two_owners},
};
use clap::{CommandFactory as _, Parser, error::ErrorKind};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(wrong) = options.check() {
        Options::command().error(ErrorKind::ValueValidation, wrong).exit();
    }
    // `check` starts nothing: a signal ends it as it ends every program.
    let starts_programs = !matches!(options.command, Command::Check { .. });
    // Whoever wins: leaving the select drops the stage, and with it every process that it started.
    let outcome = tokio::select! {
        biased;
        name = interrupted(), if starts_programs => Err(anyhow::anyhow!("interrupted by {}", name.unwrap_or("nothing: no signals here"))),
        outcome = Box::pin(run(&options.command)) => outcome,
    };
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.status()),
        Err(error) => {
            eprintln!("chaos: FAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What everything comes to.
async fn run(command: &Command) -> Result<Outcome> {
    match command {
        Command::KillOwner(lost) => {
            one(&lost.common, async |seed, place| owner_lost::play(owner_lost::KILL, lost, seed, place).await)
                .await
        }
        Command::FreezeOwner(lost) => {
            one(&lost.common, async |seed, place| {
                owner_lost::play(owner_lost::FREEZE, lost, seed, place).await
            })
            .await
        }
        Command::Partition(lost) => {
            one(&lost.common, async |seed, place| {
                owner_lost::play(owner_lost::PARTITION, lost, seed, place).await
            })
            .await
        }
        Command::SlowWatcher(common) => {
            one(common, async |seed, place| slow_watcher::play(common, seed, place).await).await
        }
        Command::TwoOwners(common) => {
            one(common, async |seed, place| two_owners::play(common, seed, place).await).await
        }
        Command::Random(options) => many(options).await,
        Command::Regressions(options) => {
            let list = regressions::List::read(options.file.as_deref())?.regressions;
            let regressions: Vec<_> =
                list.iter().map(|regression| regression.options(&options.output)).collect::<Result<_>>()?;
            let shelf = options.output.keep.as_deref().map(shelf).transpose()?;
            let mut worst = Outcome::Passed;
            for (number, (regression, random)) in (1..).zip(list.iter().zip(regressions)) {
                eprintln!("seed {} guards: {}", regression.seed, regression.guards);
                let keep = shelf.map(|shelf| shelf.join(format!("{number}-seed-{}", regression.seed)));
                worst = worst.max(round(&random, regression.seed, keep).await?);
            }
            Ok(worst)
        }
        Command::Check { directory, format } => {
            let judged = Evidence::read(directory)?.judge();
            check(&judged.with_context(|| directory.display().to_string())?, *format)
        }
    }
}

/// One run: its report is printed, and its files stay when it failed.
async fn one(common: &Common, play: impl AsyncFnOnce(u64, &Place) -> Result<Report>) -> Result<Outcome> {
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    eprintln!("chaos: seed {seed}");
    let mut place = Place::make(common.output.keep.as_deref())?;
    let report = match play(seed, &place).await {
        Ok(report) => report,
        Err(error) => {
            place.stay();
            // Logs that cannot be read do not hide what went wrong.
            let panics = panics(place.path()).unwrap_or_default();
            let told = panics.iter().fold(String::new(), |told, panic| told + ": " + panic);
            return Err(error.context(format!("seed {seed}{told}")));
        }
    };
    if common.output.keep.is_some() || report.outcome() != Outcome::Passed {
        place.stay();
    }
    match common.output.format {
        Format::Plain => print(&report.text(common.output.timeline))?,
        Format::Json => print(&format!("{}\n", report.json()?))?,
    }
    Ok(report.outcome())
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing the outcome")
}

/// A new directory for the directories of several rounds.
fn shelf(keep: &Path) -> Result<&Path> {
    std::fs::create_dir(keep)
        .with_context(|| format!("--keep {}: a directory that does not exist yet", keep.display()))?;
    Ok(keep)
}

/// One round of `random`, kept there.
async fn round(random: &Random, seed: u64, keep: Option<PathBuf>) -> Result<Outcome> {
    let output = Output { keep, ..random.common.output.clone() };
    let common = Common { seed: Some(seed), output, ..random.common.clone() };
    one(&common, async |seed, place| random::round(random, seed, place).await).await
}

/// Rounds of consecutive seeds; the first one that does not pass ends it.
async fn many(options: &Random) -> Result<Outcome> {
    let common = &options.common;
    let first = common.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let until = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let shelf = common.output.keep.as_deref().map(shelf).transpose()?;
    let rounds = if until.is_some() { u32::MAX } else { common.rounds };
    for seed in (0..rounds).map(|round| first.wrapping_add(round.into())) {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let keep = shelf.map(|shelf| shelf.join(seed.to_string()));
        let outcome = round(options, seed, keep).await?;
        if outcome != Outcome::Passed {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Passed)
}

fn check(verdicts: &[Verdict], format: Format) -> Result<Outcome> {
    match format {
        Format::Plain => {
            let mut text = String::new();
            verdicts.iter().for_each(|verdict| judged(&mut text, verdict));
            print(&text)?;
        }
        Format::Json => print(&format!("{}\n", serde_json::to_string(verdicts)?))?,
    }
    let passed = verdicts.iter().all(Verdict::passed);
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

async fn interrupted() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hangup.recv() => "SIGHUP",
    })
}
