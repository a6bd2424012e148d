//! Fencing is switched off on purpose: a write of the former owner lands after its lock was broken. Ceph ends with two owners here,
//! and so do we; the checker must catch it. Not with a librbd: a former owner's late AcquiredLock silences it (docs/hazards.md, 12).

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use check::{At, Operation, Outcome, Rule, Violation};
use harness::{check::Check, cluster::Preset};
use tokio::time::Instant;

use super::owner_lost::become_owner;
use crate::{
    calls,
    evidence::Evidence,
    histogram::Histogram,
    nemesis::Fault,
    options::Common,
    recorder::BLOCK_BYTES,
    report::Report,
    rest,
    run::{Place, Plan, Told, alone, bar, counted, described, finish, setting},
    seat::Seat,
    setup,
    stage::Stage,
    strike,
};

const NO_FENCING: [&str; 2] = ["--rbd-blocklist-on-break-lock", "false"];

/// Plays all rounds; what the checker must find is a statement of the report, and no violation of it.
pub async fn play(common: &Common, seed: u64, place: &Place) -> Result<Report> {
    let setting = setting(common, Preset::Ci, &NO_FENCING);
    let what = format!("{}, no fencing", described(common, &setting));
    let plan = Plan { name: "two-owners", seed, what, fence_first: false };
    let stage = Arc::new(setup::set(place.path(), setting, "child-1").await?);
    let mut measured =
        Histogram::new("from cutting the owner off to another client's next acknowledged write", "");
    let progress = bar(common, common.rounds.into(), plan.name);
    let mut parts = Vec::new();
    for round in 1..=common.rounds as usize {
        let owner = stage.seats[round % stage.seats.len()].clone();
        let next = stage.seats[(round + 1) % stage.seats.len()].clone();
        become_owner(&stage, &owner).await?;
        let begin = stage.cluster.log.catch_up().await?;
        strike::link(&stage, &owner, Fault::Cut).await?;
        let began = Instant::now();
        // On its way to the OSD when the lock is broken, and nothing keeps it from landing afterwards.
        let late = tokio::spawn(write(stage.clone(), owner.clone()));
        become_owner(&stage, &next).await?;
        measured.add(began.elapsed());
        strike::heal(&stage, &owner).await?;
        late.await??;
        rest::recovered(&stage).await?;
        parts.push((begin, stage.cluster.log.catch_up().await?));
        progress.inc(1);
    }
    progress.finish_and_clear();
    let part = parts.last().copied().context("there was no round")?;
    let told =
        Told { measured: vec![measured], part, part_name: "the last round".to_owned(), ..Told::default() };
    let (mut report, evidence) = finish(alone(stage)?, &plan, told, place.path()).await?;
    expect_the_second_owner(&mut report, &evidence, &parts)?;
    Ok(report)
}

async fn write(stage: Arc<Stage>, seat: Arc<Seat>) -> Result<Outcome> {
    let tag = stage.recorder.fresh_tag();
    calls::io(&stage, &seat, Operation::Write { offset: BLOCK_BYTES, length: BLOCK_BYTES, tag }).await
}

/// The one kind of violation that switching fencing off must cause is taken out of the verdict and asked for instead.
fn expect_the_second_owner(report: &mut Report, evidence: &Evidence, rounds: &[(u64, u64)]) -> Result<()> {
    let verdict = report.verdicts.first_mut();
    ensure!(
        verdict.as_ref().is_some_and(|verdict| verdict.invariant == "I1"),
        "the first verdict is about writers"
    );
    let Some(verdict) = verdict else { return Ok(()) };
    let is_asked_for = |found: &Violation| found.rule == Rule::WriteAfterLoss;
    let (caught, other): (Vec<_>, Vec<_>) = evidence.writers().into_iter().partition(is_asked_for);
    verdict.check = "one writer at a time, but for those writes";
    verdict.violations = other.iter().map(ToString::to_string).collect();
    let in_round = |&&(begin, end): &&(u64, u64)| {
        let within = |at: &At| matches!(at, At::Event(event) if (begin + 1..=end).contains(event));
        caught.iter().any(|found| found.at.iter().any(within))
    };
    let rounds_caught = rounds.iter().filter(in_round).count();
    let first = caught.first().map_or("none".to_owned(), ToString::to_string);
    report.statements.push(Check {
        what: "the checker catches a write of a former owner in every round".to_owned(),
        passed: rounds_caught == rounds.len(),
        found: format!(
            "in {rounds_caught} of {}, {}; the first: {first}",
            counted(rounds.len(), "round"),
            counted(caught.len(), "write")
        ),
    });
    Ok(())
}
