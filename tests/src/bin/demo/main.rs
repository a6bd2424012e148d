//! The demo: real programs, a real file system, five scenes of clients that race for one lock, and a verdict that is
//! computed from the OSD's event log and from the bytes.

mod acts;
mod options;
mod set;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use options::{Format, Options};
use stage::Stage;
use system_tests::play::report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let interrupted = interrupted();
    // Whoever wins: leaving the select drops the stage, and with it every process that it started.
    let outcome = tokio::select! {
        biased;
        name = interrupted => Err(anyhow::anyhow!("interrupted by {}", name.unwrap_or("nothing: no signals here"))),
        outcome = Box::pin(play(&options)) => outcome,
    };
    match outcome {
        Ok(report) => {
            if options.format == Format::Json {
                println!("{}", report.json());
            } else {
                print!("{}", report.summary());
            }
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("demo: FAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(options: &Options) -> Result<Report> {
    let stage = Stage::build(options).await?;
    let mut report = Report::new(stage.description());
    stage.say(&format!("rbd-sim demo: {}\n", stage.description()));
    for scene in options.scenes() {
        let played = Box::pin(acts::play(&stage, scene, options.breaks(scene))).await;
        stage.say(&played.text());
        report.scenes.push(played);
    }
    stage.close().await?;
    Ok(report)
}

async fn interrupted() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
