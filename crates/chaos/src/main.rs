//! Breaks running clients on purpose and judges what came of it.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use chaos::{
    evidence::{Evidence, Verdict},
    options::{Command, Common, Format, Options, Random},
    report::{Report, judged},
    run::Place,
    scenarios::{owner_lost, random, regressions, slow_watcher, two_owners},
};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    // `check` starts nothing: a signal ends it as it ends every program.
    let starts_programs = !matches!(options.command, Command::Check { .. });
    // Whoever wins: leaving the select drops the stage, and with it every process that it started.
    let outcome = tokio::select! {
        biased;
        name = interrupted(), if starts_programs => Err(anyhow::anyhow!("interrupted by {}", name.unwrap_or("nothing: no signals here"))),
        outcome = Box::pin(run(&options.command)) => outcome,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: FAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything passed.
async fn run(command: &Command) -> Result<bool> {
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
            let mut passed = true;
            for regression in regressions::List::read(options.file.as_deref())?.regressions {
                eprintln!("seed {} guards: {}", regression.seed, regression.guards);
                let random = regression.options(&options.common)?;
                passed &= one(&random.common, async |seed, place| random::round(&random, seed, place).await)
                    .await?;
            }
            Ok(passed)
        }
        Command::Check { directory, format } => check(&Evidence::read(directory)?.judge()?, *format),
    }
}

/// One run: its report is printed, and its files stay when it failed.
async fn one(common: &Common, play: impl AsyncFnOnce(u64, &Place) -> Result<Report>) -> Result<bool> {
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    eprintln!("chaos: seed {seed}");
    let mut place = Place::make(common.keep.as_deref())?;
    let report = match play(seed, &place).await {
        Ok(report) => report,
        Err(error) => {
            place.stay();
            return Err(error.context(format!("seed {seed}")));
        }
    };
    match common.format {
        Format::Plain => print!("{}", report.text(common.timeline)),
        Format::Json => println!("{}", report.json()?),
    }
    if common.keep.is_some() || !report.passed() {
        place.stay();
    }
    Ok(report.passed())
}

/// Rounds of consecutive seeds; the first one that fails ends it.
async fn many(options: &Random) -> Result<bool> {
    let common = &options.common;
    let first = common.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    let until = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let rounds = if until.is_some() { u32::MAX } else { common.rounds };
    for seed in (0..rounds).map(|round| first.wrapping_add(round.into())) {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let keep = common.keep.as_ref().map(|keep| keep.join(seed.to_string()));
        if let Some(keep) = &common.keep {
            std::fs::create_dir_all(keep).with_context(|| format!("--keep {}", keep.display()))?;
        }
        let common = Common { seed: Some(seed), keep, ..common.clone() };
        if !one(&common, async |seed, place| random::round(options, seed, place).await).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check(verdicts: &[Verdict], format: Format) -> Result<bool> {
    match format {
        Format::Plain => {
            let mut text = String::new();
            verdicts.iter().for_each(|verdict| judged(&mut text, verdict));
            print!("{text}");
        }
        Format::Json => println!("{}", serde_json::to_string(verdicts)?),
    }
    Ok(verdicts.iter().all(Verdict::passed))
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
