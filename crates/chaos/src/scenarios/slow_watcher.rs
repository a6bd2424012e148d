//! A watcher that never acks: notifies cost their whole timeout, and everything goes on all the same.

use anyhow::{Result, ensure};
use check::{Operation, Outcome};
use harness::{check::Check, cluster::Preset};
use tokio::time::Instant;

use super::owner_lost::become_owner;
use crate::{
    calls,
    histogram::Histogram,
    options::Common,
    report::Report,
    run::{Place, Plan, Told, bar, counted, described, finish, setting},
    setup,
    silent::SilentWatcher,
};

/// Plays all rounds and judges.
pub async fn play(common: &Common, seed: u64, place: &Place) -> Result<Report> {
    let setting = setting(common, Preset::Ci, &[]);
    let plan = Plan { name: "slow-watcher", seed, what: described(common, &setting), fence_first: true };
    let stage = setup::set(place.path(), setting, "child-1").await?;
    let begin = stage.cluster.log.catch_up().await?;
    let watcher = SilentWatcher::start(&stage).await?;
    stage.broken("", "a client watches and never acks");
    let silent = watcher.gid();

    let mut hand_over =
        Histogram::new("a write that needs the lock of another client, with a silent watcher", "");
    let mut forwarded =
        Histogram::new("a snapshot whose making is forwarded to the owner, with a silent watcher", "");
    let progress = bar(common, common.rounds.into(), plan.name);
    let mut newest = begin;
    let mut part = (begin, begin);
    for round in 1..=common.rounds as usize {
        let (owner, next) =
            (&stage.seats[round % stage.seats.len()], &stage.seats[(round + 1) % stage.seats.len()]);
        become_owner(&stage, owner).await?;
        let began = Instant::now();
        let snap = stage.fresh_snapshot();
        let outcome = calls::unlimited(&stage, next, Operation::SnapCreate { snap }).await?;
        ensure!(matches!(outcome, Outcome::Ok { .. }), "the snapshot of round {round}: {outcome:?}");
        forwarded.add(began.elapsed());
        let began = Instant::now();
        become_owner(&stage, next).await?;
        hand_over.add(began.elapsed());
        let end = stage.cluster.log.catch_up().await?;
        part = (newest, end);
        newest = end;
        progress.inc(1);
    }
    let flatten = calls::unlimited(&stage, &stage.seats[0], Operation::Flatten).await?;
    progress.finish_and_clear();
    let fenced = stage.cluster.blocklist().await?;
    stage.cluster.log.catch_up().await?;
    let mut events = stage.cluster.log.after(begin);
    events.retain(|event| event.kind == "notify_done" && event.error == "ETIMEDOUT");
    let timed_out = events.len();
    watcher.leave().await;
    stage.mended("", "the silent watcher left");

    let statements = vec![
        Check {
            what: "notifies waited for the silent watcher until their timeout".to_owned(),
            passed: timed_out >= common.rounds as usize,
            found: format!("{timed_out} of them in {}", counted(common.rounds as usize, "round")),
        },
        Check {
            what: "a flatten ends although a watcher is silent".to_owned(),
            passed: matches!(flatten, Outcome::Ok { .. }),
            found: format!("{flatten:?}"),
        },
        Check {
            what: "nobody is fenced for being slow".to_owned(),
            passed: fenced.is_empty(),
            found: format!("blocklist {fenced:?}, silent watcher {silent}"),
        },
    ];
    let part_name = "the last round".to_owned();
    let measured = vec![forwarded, hand_over];
    let told = Told { measured, statements, part, part_name, ..Told::default() };
    Ok(finish(stage, &plan, told, place.path()).await?.0)
}
