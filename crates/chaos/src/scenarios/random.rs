//! A seeded workload under a seeded schedule of faults.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use check::{Call, Operation, Outcome};
use fastrand::Rng;
use harness::{check::Check, cluster::Preset};
use indicatif::ProgressBar;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    errands::Errands,
    evidence::log_of,
    herald::Herald,
    histogram::Histogram,
    nemesis::{Fault, Nemesis, Role},
    options::{Common, Random},
    ran,
    report::Report,
    rest,
    run::{Place, Plan, Told, alone, bar, beside, finish, setting},
    setup,
    stage::{Setting, Stage},
    strike::{Strike, Striker},
    worker::Worker,
};

/// Objects at once: flattens last long enough to be interrupted.
const FEW_AT_A_TIME: [&str; 2] = ["--rbd-concurrent-management-ops", "2"];
/// Streams of reads and writes of each client.
const STREAMS: usize = 2;
/// Longest pause in such a stream; each has its own.
const PAUSE_MAX_MS: u64 = 40;
/// Between two faults.
const GAP_MS: std::ops::Range<u64> = 100..1_500;
/// How long somebody is waited for who plays the role that is to be struck: a requester is one for moments only.
const PATIENCE: Duration = Duration::from_secs(3);
/// The work goes on unbroken for so long before it ends.
const CALM: Duration = Duration::from_millis(500);
/// How often the clients are given a new clone of what they had: each can be flattened once.
const SCENES: u32 = 2;
/// Streams of verbs beside the clients.
const OPERATORS: usize = 2;
/// How often it is looked whether enough has run.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// One entry of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// From the begin of the round.
    pub at: Duration,
    /// What.
    pub nemesis: Nemesis,
    /// For how long.
    pub lasts: Duration,
    /// What it leaves open is drawn from this.
    pub luck: u64,
}

/// What happens in `chaos` of time: drawn from the seed. Faults last up to one and a half watch timeouts: some are over before anybody
/// is given up, some are not.
pub fn schedule(rng: &mut Rng, nemeses: &[Nemesis], chaos: Duration, watch_timeout: Duration) -> Vec<Due> {
    let lasts_max = u64::try_from(watch_timeout.as_millis()).unwrap_or(u64::MAX) * 3 / 2;
    let mut at = Duration::ZERO;
    let mut due = Vec::new();
    loop {
        at += Duration::from_millis(rng.u64(GAP_MS));
        if due.is_empty() {
            at = at.min(chaos / 2);
        }
        if at >= chaos || nemeses.is_empty() {
            return due;
        }
        let nemesis = nemeses[rng.usize(0..nemeses.len())].clone();
        let lasts = Duration::from_millis(rng.u64(100..lasts_max));
        due.push(Due { at, nemesis, lasts, luck: rng.u64(..) });
    }
}

/// Plays one round of this seed and judges.
pub async fn round(options: &Random, seed: u64, place: &Place) -> Result<Report> {
    let common = &options.common;
    let nemeses = if options.nemesis.is_empty() { Nemesis::all() } else { options.nemesis.clone() };
    let librbd = usize::from(options.librbd);
    let setting = Setting { librbd, ..setting(common, Preset::Ci, &FEW_AT_A_TIME) };
    let mut rng = Rng::with_seed(seed);
    let (mut stage, parent) = setup::set_family(place.path(), setting, &mut rng).await?;
    let mut parent = parent.to_owned();
    let begin = stage.cluster.log.catch_up().await?;
    let (mut struck, mut stuck) = (Vec::new(), 0);
    for number in 1..=SCENES {
        let clone = format!("child-{number}");
        setup::open_clone(&mut stage, &parent, &clone).await?;
        let plan = schedule(&mut rng, &nemeses, options.chaos / SCENES, stage.constants.watch_timeout);
        let is_last = number == SCENES;
        let scene = Scene { number, plan, is_last };
        let ended = play(stage, common, scene, &mut rng, struck).await?;
        (stage, struck) = (ended.stage, ended.struck);
        stuck += ended.stuck;
        parent = stage.image_name().await?;
    }
    let events = stage.cluster.log.catch_up().await?;
    let shown = vec![
        Check {
            what: "something was broken".to_owned(),
            passed: struck.iter().any(|struck| matches!(struck.strike, Strike::Done { .. })),
            found: words(&struck),
        },
        ran::enough(&stage.recorder.succeeded(), &log_of(&stage.cluster.log)?),
    ];
    let mut notes = Vec::new();
    if stage.is_across() {
        notes.push(format!(
            "librbd that did nothing any more by itself and was replaced (docs/hazards.md, 10): {stuck}"
        ));
    }
    let told = Told {
        measured: vec![times_to_the_next_write(&stage, &struck)?],
        statements: Vec::new(),
        shown,
        notes,
        part: (begin, events),
        part_name: "the round, in brief".to_owned(),
        is_brief: true,
    };
    let plan = Plan { name: "random", seed, what: described(options), fence_first: true };
    Ok(finish(stage, &plan, told, place.path()).await?.0)
}

/// A part of a round, on one image.
struct Scene {
    number: u32,
    plan: Vec<Due>,
    is_last: bool,
}

/// How it ended.
struct Ended {
    stage: Stage,
    struck: Vec<Struck>,
    /// How many librbd clients were replaced because they did nothing any more.
    stuck: usize,
}

/// The clients work on one image while the schedule is carried out. In the end everybody works again; the last one ends when enough
/// has run, or could have.
async fn play(
    stage: Stage,
    common: &Common,
    Scene { number, plan, is_last }: Scene,
    rng: &mut Rng,
    mut struck: Vec<Struck>,
) -> Result<Ended> {
    let stage = Arc::new(stage);
    let striker = Arc::new(Striker::new(stage.clone()));
    let stop = CancellationToken::new();
    let mut workers = set_to_work(&stage, number, rng, &stop);
    let progress = bar(common, plan.len() as u64, "random: faults");
    let mut herald = Herald::start(stage.clone()).await?;
    let playing = async {
        struck.extend(unleash(&striker, plan, &mut workers, &progress).await?);
        progress.finish_and_clear();
        sleep(CALM).await;
        let deadline = Instant::now() + stage.constants.call_max();
        while is_last && Instant::now() < deadline && !ran::lacking(&stage.recorder.succeeded()).is_empty() {
            sleep(LOOK_INTERVAL).await;
        }
        stop.cancel();
        join(&mut workers).await?;
        rest::recovered(&stage).await
    };
    tokio::select! {
        biased;
        played = playing => played?,
        failed = striker.replace_stuck() => failed?,
        failed = herald.run() => failed?,
    }
    herald.leave().await?;
    if stage.is_across() {
        rest::finish_flattens(&stage).await?;
    }
    let stuck = striker.stuck();
    drop(striker);
    Ok(Ended { stage: alone(stage)?, struck, stuck })
}

fn described(Random { common, librbd, chaos, .. }: &Random) -> String {
    let (clients, across) = (common.clients, beside(usize::from(*librbd)));
    format!("{clients} clients{across}, {} of faults", humantime::format_duration(*chaos))
}

fn set_to_work(
    stage: &Arc<Stage>,
    scene: u32,
    rng: &mut Rng,
    stop: &CancellationToken,
) -> JoinSet<Result<()>> {
    let mut workers = JoinSet::new();
    for seat in &stage.seats {
        let mut worker =
            || Worker { stage: stage.clone(), seat: seat.clone(), rng: rng.fork(), stop: stop.clone() };
        for _ in 0..STREAMS {
            let mut worker = worker();
            let pause = worker.rng.u64(1..PAUSE_MAX_MS);
            workers.spawn(worker.io(pause));
        }
        workers.spawn(worker().chores());
    }
    for operator in 1..=OPERATORS {
        let names = format!("{scene}-{operator}");
        workers.spawn(Errands::new(stage.clone(), names, rng.fork(), stop.clone()).run());
    }
    workers
}

/// A fault that was carried out, or missed.
struct Struck {
    nemesis: Nemesis,
    strike: Strike,
}

/// Carries out the schedule. A worker that fails ends it.
async fn unleash(
    striker: &Arc<Striker>,
    plan: Vec<Due>,
    workers: &mut JoinSet<Result<()>>,
    progress: &ProgressBar,
) -> Result<Vec<Struck>> {
    let began = Instant::now();
    let struck: Arc<Mutex<Vec<Struck>>> = Arc::default();
    let mut strikes = JoinSet::new();
    for due in plan {
        let (striker, struck) = (striker.clone(), struck.clone());
        strikes.spawn(async move {
            tokio::time::sleep_until(began + due.at).await;
            let mut rng = Rng::with_seed(due.luck);
            let strike = striker.strike(&due.nemesis, &mut rng, PATIENCE, due.lasts).await;
            let strike = strike.with_context(|| format!("nemesis {}", due.nemesis))?;
            let record = Struck { nemesis: due.nemesis, strike };
            struck.lock().unwrap_or_else(PoisonError::into_inner).push(record);
            anyhow::Ok(())
        });
    }
    loop {
        tokio::select! {
            biased;
            Some(ended) = workers.join_next() => ended??,
            strike = strikes.join_next() => match strike {
                Some(strike) => {
                    strike??;
                    progress.inc(1);
                }
                None => break,
            },
        }
    }
    let mut struck = std::mem::take(&mut *struck.lock().unwrap_or_else(PoisonError::into_inner));
    struck.sort_by_key(|struck| struck.strike);
    Ok(struck)
}

async fn join(workers: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// From each fault of an owner to the next write that any client has acknowledged after it.
fn times_to_the_next_write(stage: &Stage, struck: &[Struck]) -> Result<Histogram> {
    let mut histogram = Histogram::new(
        "from a fault of the lock owner to the first acknowledged write that was made after it",
        "",
    );
    let history = stage.recorder.history()?;
    for Struck { strike, .. } in struck.iter().filter(|struck| takes_the_owner_away(&struck.nemesis)) {
        let Strike::Done { at_ms } = *strike else { continue };
        let answered = |call: &Call| match (&call.operation, &call.completed) {
            (Operation::Write { .. }, Some((at, Outcome::Ok { .. }))) if call.invoked.time_ms > at_ms => {
                Some(at.time_ms - at_ms)
            }
            _ => None,
        };
        if let Some(time) = history.calls.iter().filter_map(answered).min() {
            histogram.add(Duration::from_millis(time));
        }
    }
    Ok(histogram)
}

fn takes_the_owner_away(nemesis: &Nemesis) -> bool {
    matches!(
        nemesis,
        Nemesis::Client(Fault::Kill | Fault::Freeze | Fault::Cut | Fault::Mute | Fault::Deaf, Role::Owner)
    )
}

fn words(struck: &[Struck]) -> String {
    let words = struck.iter().map(|strike| match strike.strike {
        Strike::Done { .. } => strike.nemesis.to_string(),
        Strike::Missed => format!("({}: nobody)", strike.nemesis),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, nemeses: &[Nemesis]) -> Vec<Due> {
        schedule(&mut Rng::with_seed(seed), nemeses, Duration::from_secs(60), Duration::from_secs(3))
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule() {
        let all = Nemesis::all();
        assert_eq!(drawn(5, &all), drawn(5, &all));
        assert_ne!(drawn(5, &all), drawn(6, &all));
    }

    #[test]
    fn the_shortest_schedule_has_a_fault() {
        for seed in 0..100 {
            let mut rng = Rng::with_seed(seed);
            let (shortest, watch_timeout) = (Duration::from_secs(1), Duration::from_secs(3));
            assert!(!schedule(&mut rng, &Nemesis::all(), shortest, watch_timeout).is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn a_schedule_has_short_faults_and_long_ones_of_the_chosen_kinds() {
        let only = [Nemesis::SilentWatcher];
        let due = drawn(1, &only);
        assert!(due.iter().all(|due| due.nemesis == only[0] && due.at < Duration::from_secs(60)));
        assert!(due.iter().any(|due| due.lasts < Duration::from_secs(3)));
        assert!(due.iter().any(|due| due.lasts > Duration::from_secs(3)));
        assert_eq!(drawn(1, &[]), []);
    }
}
