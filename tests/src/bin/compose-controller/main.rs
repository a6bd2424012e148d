//! The controller of the compose demo: makes the image, drives the clients in their containers through gRPC, and judges what
//! came of it by the OSD's event log and by the bytes. What only the host can do it asks of `scripts/compose-demo`.

mod acts;
mod clone;
mod fleet;
mod host;
mod options;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use harness::{osd::Osd, verbs::Verbs};
use system_tests::play::report::Report;
use tempfile::TempDir;

use options::{Command, Options, Play};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match Box::pin(run(&options)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compose-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything passed.
async fn run(options: &Options) -> Result<bool> {
    let directory = TempDir::with_prefix("compose-controller-")?;
    let osd = Osd::connect(&options.osd).await?;
    let verbs = Verbs::at(osd, &["--preset", "ci"], directory.path());
    match &options.command {
        Command::Prepare { image } => clone::prepare(&verbs, image).await.map(|()| true),
        Command::Play(play) => Box::pin(play_scenes(&verbs, play)).await,
    }
}

async fn play_scenes(verbs: &Verbs, play: &Play) -> Result<bool> {
    let stage = format!("one osd-sim, three rbd-client, a container each; {}", clone::description());
    println!("rbd-sim compose demo: {stage}");
    let base = clone::write_base(verbs.directory())?;
    let mut report = Report::new(stage);
    for scene in play.scenes() {
        let played = Box::pin(acts::play(verbs, &base, scene, play.breaks(scene))).await;
        print!("{}", played.text());
        report.scenes.push(played);
    }
    print!("{}", report.summary());
    Ok(report.passed())
}
