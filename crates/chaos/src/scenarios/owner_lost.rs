//! The lock owner is killed, frozen or cut off; somebody else takes over; it comes back.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use check::{Operation, Outcome};
use fastrand::Rng;
use harness::{check::Check, cluster::Preset, remote::no_limits, story::Story};
use indicatif::ProgressBar;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    calls,
    histogram::Histogram,
    nemesis::Fault,
    options::{Lost, Measure},
    recorder::BLOCK_BYTES,
    report::Report,
    rest,
    run::{Place, Plan, Told, alone, bar, counted, described, finish, setting},
    seat::Seat,
    setup,
    stage::Stage,
    strike,
    worker::Worker,
};

/// Streams of writes that the owner has under way when it is lost.
const STREAMS: usize = 4;
/// Acknowledged writes before it is lost.
const WRITES_BEFORE: usize = 16;
/// How far a flatten is when its owner is lost.
const FLATTEN_PERCENT: u64 = 25;
/// Objects one by one: a flatten that can be interrupted.
const ONE_AT_A_TIME: [&str; 2] = ["--rbd-concurrent-management-ops", "1"];

/// What befalls the owner, by round.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Name of the command.
    pub name: &'static str,
    /// One after the other.
    pub faults: &'static [Fault],
    /// Constants if none are asked for.
    pub preset: Preset,
    /// What the time to the next write should be.
    pub goal: &'static str,
    /// Whether each round also has a cut that is over before anybody is given up.
    pub cuts_short: bool,
}

/// `chaos kill-owner`.
pub const KILL: Way = Way {
    name: "kill-owner",
    faults: &[Fault::Kill],
    preset: Preset::Default,
    goal: "goal with the default constants: a median below 1 s; Ceph takes 30.6 s to 30.9 s",
    cuts_short: false,
};
/// `chaos freeze-owner`.
pub const FREEZE: Way = Way {
    name: "freeze-owner",
    faults: &[Fault::Freeze],
    preset: Preset::Ci,
    goal: "goal: the watch timeout (ci: 3 s, ceph: 30 s) plus 1 s; Ceph takes 29 s",
    cuts_short: false,
};
/// `chaos partition`.
pub const PARTITION: Way = Way {
    name: "partition",
    faults: &[Fault::Cut, Fault::Mute, Fault::Deaf],
    preset: Preset::Ci,
    goal: "goal: the watch timeout (ci: 3 s) plus 1 s; a deaf owner closes its connections by itself after 1.5 s",
    cuts_short: true,
};

/// Plays all rounds and judges.
pub async fn play(way: Way, options: &Lost, seed: u64, place: &Place) -> Result<Report> {
    let common = &options.common;
    let setting = setting(common, way.preset, &ONE_AT_A_TIME);
    let plan = Plan { name: way.name, seed, what: described(common, &setting), fence_first: true };
    let progress = bar(common, common.rounds.into(), way.name);
    let stage = setup::set(place.path(), setting, "child-1").await?;
    let mut rounds = Rounds {
        stage: Some(Arc::new(stage)),
        rng: Rng::with_seed(seed),
        way,
        measure: options.measure,
        measured: way.faults.iter().map(|fault| way.histogram(*fault, options.measure)).collect(),
        unordered: Vec::new(),
        fenced: Vec::new(),
        parts: Vec::new(),
    };
    rounds.play(common.rounds, &progress).await?;
    progress.finish_and_clear();
    let told = rounds.told();
    let stage = alone(rounds.stage.take().context("the stage stands")?)?;
    Ok(finish(stage, &plan, told, place.path()).await?.0)
}

impl Way {
    fn histogram(&self, fault: Fault, measure: Measure) -> Histogram {
        let what = match fault {
            Fault::Kill => "SIGKILL of the owner",
            Fault::Freeze => "SIGSTOP of the owner",
            Fault::Mute => "the owner turning mute",
            Fault::Deaf => "the owner turning deaf",
            _ => "cutting the owner off",
        };
        match measure {
            Measure::Write => {
                Histogram::new(&format!("from {what} to another client's next acknowledged write"), self.goal)
            }
            Measure::Flatten => Histogram::new(
                &format!("from {what} to the end of the flatten that was forwarded to it"),
                "a requester starts over after rbd_request_timed_out_seconds without progress (ci: 3 s, ceph: 30 s); Ceph takes 30.5 s",
            ),
        }
    }
}

struct Rounds {
    stage: Option<Arc<Stage>>,
    rng: Rng,
    way: Way,
    measure: Measure,
    /// One for each fault.
    measured: Vec<Histogram>,
    /// Rounds in which the lock did not change hands as it should.
    unordered: Vec<String>,
    /// Short cuts after which somebody was fenced.
    fenced: Vec<String>,
    /// Part of the log and time of each round.
    parts: Vec<((u64, u64), Duration)>,
}

impl Rounds {
    async fn play(&mut self, rounds: u32, progress: &ProgressBar) -> Result<()> {
        for round in 1..=rounds {
            self.round(round).await.with_context(|| format!("round {round}"))?;
            progress.inc(1);
        }
        Ok(())
    }

    async fn round(&mut self, round: u32) -> Result<()> {
        if self.measure == Measure::Flatten && round > 1 {
            let mut stage = alone(self.stage.take().context("the stage stands")?)?;
            setup::open_clone(&mut stage, setup::BASE, &format!("child-{round}")).await?;
            self.stage = Some(Arc::new(stage));
        }
        let stage = self.stage.clone().context("the stage stands")?;
        let index = (round as usize - 1) % self.way.faults.len();
        let owner = stage.seats[round as usize % stage.seats.len()].clone();
        let next = stage.seats[(round as usize + 1) % stage.seats.len()].clone();
        become_owner(&stage, &owner).await?;
        let begin = stage.cluster.log.catch_up().await?;
        let (old, new) = (owner.gid(), next.gid());
        let lost = LostOwner { stage: &stage, owner: &owner, next: &next, fault: self.way.faults[index] };
        let took = match self.measure {
            Measure::Write => lost.until_a_write(&mut self.rng).await?,
            Measure::Flatten => lost.until_the_flatten_ends().await?,
        };
        self.measured[index].add(took);
        let end = stage.cluster.log.catch_up().await?;
        self.parts.push(((begin, end), took));
        let story = Story::since(&stage.cluster.log, begin, &stage.header).await?;
        if let Some(found) = disorder(&story, old, new) {
            self.unordered.push(format!("round {round}: {found}"));
        }
        if self.way.cuts_short {
            self.short_cut(round, &stage, &owner).await?;
        }
        Ok(())
    }

    /// A cut that is over before the owner's watch expires: it goes on as if nothing had been.
    async fn short_cut(&mut self, round: u32, stage: &Arc<Stage>, owner: &Arc<Seat>) -> Result<()> {
        become_owner(stage, owner).await?;
        let begin = stage.cluster.log.catch_up().await?;
        strike::link(stage, owner, Fault::Cut).await?;
        let (stage_too, owner_too) = (stage.clone(), owner.clone());
        let write = tokio::spawn(async move { become_owner(&stage_too, &owner_too).await });
        tokio::time::sleep(stage.constants.watch_timeout / 4).await;
        strike::heal(stage, owner).await?;
        write.await??;
        stage.cluster.log.catch_up().await?;
        let story = Story::since(&stage.cluster.log, begin, &stage.header).await?;
        let events =
            story.events().iter().filter(|event| event.kind == "blocklisted" || event.kind == "lock_broken");
        self.fenced
            .extend(events.map(|event| format!("round {round}: {} of client {}", event.kind, event.gid)));
        Ok(())
    }

    fn told(&mut self) -> Told {
        let slowest = (1..).zip(&self.parts).max_by_key(|(_, (_, took))| *took);
        let (round, part) = slowest.map_or((0, (0, 0)), |(round, (part, _))| (round, *part));
        let found = match self.unordered.as_slice() {
            [] => format!("in each of {}", counted(self.parts.len(), "round")),
            some => some.join("; "),
        };
        let mut statements = vec![Check {
            what: "watch expired, blocklisted, lock broken, lock taken: in this order".to_owned(),
            passed: self.unordered.is_empty(),
            found,
        }];
        if self.way.cuts_short {
            statements.push(Check {
                what: "an owner that is cut off for a quarter of the watch timeout keeps its lock".to_owned(),
                passed: self.fenced.is_empty(),
                found: if self.fenced.is_empty() {
                    "in each round".to_owned()
                } else {
                    self.fenced.join("; ")
                },
            });
        }
        Told {
            measured: std::mem::take(&mut self.measured),
            statements,
            part,
            part_name: format!("round {round}, the slowest"),
            ..Told::default()
        }
    }
}

/// What the log says against a fenced take-over from `old` by `new`.
fn disorder(story: &Story, old: u64, new: u64) -> Option<String> {
    let steps = ["watch_expired", "blocklisted", "lock_broken"].map(|kind| (kind, story.first(kind, old)));
    let taken = ("lock", story.first("lock", new));
    let mut before = 0;
    for (kind, event) in steps.into_iter().chain([taken]) {
        match event.map(|event| event.sequence) {
            Some(sequence) if sequence > before => before = sequence,
            Some(sequence) => return Some(format!("{kind} came too early, as event {sequence}")),
            None => return Some(format!("no {kind}")),
        }
    }
    None
}

/// Writes until it is the owner: another client may just have the lock.
pub(super) async fn become_owner(stage: &Stage, seat: &Seat) -> Result<()> {
    let tag = stage.recorder.fresh_tag();
    let outcome = calls::io(stage, seat, Operation::Write { offset: 0, length: BLOCK_BYTES, tag }).await?;
    ensure!(matches!(outcome, Outcome::Ok { .. }), "the write of {}: {outcome:?}", seat.name());
    Ok(())
}

struct LostOwner<'a> {
    stage: &'a Arc<Stage>,
    owner: &'a Arc<Seat>,
    next: &'a Arc<Seat>,
    fault: Fault,
}

impl LostOwner<'_> {
    /// With writes under way.
    async fn until_a_write(&self, rng: &mut Rng) -> Result<Duration> {
        let (stage, stop) = (self.stage, CancellationToken::new());
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let worker = Worker {
                stage: stage.clone(),
                seat: self.owner.clone(),
                rng: rng.fork(),
                stop: stop.clone(),
            };
            streams.spawn(worker.io(0));
        }
        // The streams' progress shows in the log: it needs no look at the clock.
        let begin = stage.cluster.log.last();
        let gid = self.owner.gid();
        let mut seen = 0;
        stage
            .cluster
            .log
            .wait_for(begin, stage.constants.call_max(), "the owner's writes", |event| {
                seen += usize::from(event.gid == gid && event.kind == "applied");
                seen >= WRITES_BEFORE
            })
            .await?;
        self.lose().await?;
        let lost = Instant::now();
        become_owner(stage, self.next).await?;
        let took = lost.elapsed();
        self.bring_back().await?;
        stop.cancel();
        while let Some(stream) = streams.join_next().await {
            stream??;
        }
        rest::recovered(stage).await?;
        Ok(took)
    }

    /// In the middle of a flatten that was forwarded to it.
    async fn until_the_flatten_ends(&self) -> Result<Duration> {
        let stage = self.stage;
        let (began, begins) = tokio::sync::oneshot::channel();
        let flattening = calls::maintenance(stage, self.next, Operation::Flatten, no_limits(), |call| {
            let _ = began.send(call.clone());
        });
        let losing = async {
            let call = begins.await.context("the flatten did not begin")?;
            call.progress_beyond(FLATTEN_PERCENT, stage.constants.call_max()).await?;
            self.lose().await?;
            anyhow::Ok(Instant::now())
        };
        let (outcome, lost) = tokio::try_join!(flattening, losing)?;
        let took = lost.elapsed();
        ensure!(matches!(outcome, Outcome::Ok { .. }), "the flatten: {outcome:?}");
        self.bring_back().await?;
        rest::recovered(stage).await?;
        Ok(took)
    }

    async fn lose(&self) -> Result<()> {
        match self.fault {
            Fault::Kill => strike::kill(self.stage, self.owner).await,
            Fault::Freeze => strike::freeze(self.stage, self.owner).await,
            fault => strike::link(self.stage, self.owner, fault).await,
        }
    }

    async fn bring_back(&self) -> Result<()> {
        match self.fault {
            Fault::Kill => strike::replace(self.stage, self.owner).await,
            Fault::Freeze => strike::wake(self.stage, self.owner).await,
            _ => strike::heal(self.stage, self.owner).await,
        }
    }
}
