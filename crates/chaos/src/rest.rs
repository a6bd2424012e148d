//! Brings a stage to rest, and gathers what is there then.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use check::{
    AtRest, FinalImage, FinalParent, FinalSnapshot, FinalState, HeaderRecord, ImageObjects, Lock, Opened,
    Operation, Outcome, Watch, nothing_left_over,
};
use harness::osd::{POOL, header_of, spec};
use serde::Deserialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::{calls, evidence::log_of, recorder::BLOCK_BYTES, seat::Seat, stage::Stage};

/// How often it is looked whether anything is left over.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Every client works again: it is asked to write until it does, within the bound of one call. Fenced ones open their image anew. Those
/// that do not work after all.
pub async fn recover(stage: &Stage) -> Result<Vec<String>> {
    let deadline = Instant::now() + stage.constants.call_max();
    let mut broken = Vec::new();
    for seat in &stage.seats {
        let mut tries = looks();
        loop {
            tries.tick().await;
            let (gid, tag) = (seat.gid(), stage.recorder.fresh_tag());
            let outcome =
                calls::io(stage, seat, Operation::Write { offset: 0, length: BLOCK_BYTES, tag }).await?;
            match outcome {
                Outcome::Ok { .. } => break,
                _ if Instant::now() > deadline => {
                    broken.push(format!("{}: {outcome:?}", seat.name()));
                    break;
                }
                _ if calls::needs_reopen(&outcome) => calls::revive(stage, seat, gid).await?,
                _ => {}
            }
        }
    }
    Ok(broken)
}

/// The same; an error if somebody does not.
pub async fn recovered(stage: &Stage) -> Result<()> {
    let broken = recover(stage).await?;
    ensure!(broken.is_empty(), "does not work any more: {}", broken.join("; "));
    Ok(())
}

fn looks() -> Interval {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Every image and every snapshot is read once more, the open one through each client. What could not be read.
pub async fn read_everything(stage: &Stage, state: &FinalState) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    let mut judge = |what: String, outcome: Outcome| {
        if !matches!(outcome, Outcome::Ok { .. }) {
            failed.push(format!("{what}: {outcome:?}"));
        }
    };
    for seat in &stage.seats {
        let length = state.images[&seat.image()].size;
        let outcome = calls::io(stage, seat, Operation::Read { offset: 0, length, snap: None }).await?;
        judge(format!("{} through {}", seat.image(), seat.name()), outcome);
    }
    for image in stage.images() {
        // One whose making failed may be missing.
        let Some(found) = state.images.get(&spec(&image)) else { continue };
        if stage.seats.iter().all(|seat| seat.image_name() != image) {
            judge(spec(&image), calls::export(stage, &image, None, found.size).await?);
        }
        for FinalSnapshot { name, .. } in &found.snapshots {
            // Its size is that of its time.
            let longest = stage.setting.shape.size_max();
            judge(
                format!("{}@{name}", spec(&image)),
                calls::export(stage, &image, Some(name), longest).await?,
            );
        }
    }
    Ok(failed)
}

/// Waits until nothing is left over that nobody explains, and gathers what is there. What remains after the bound is found by the
/// checker.
pub async fn settle(stage: &Stage, images: &BTreeMap<String, ImageObjects>) -> Result<AtRest> {
    let deadline = Instant::now() + stage.constants.rest_max();
    let mut looks = looks();
    loop {
        looks.tick().await;
        let rest = at_rest(stage, images).await?;
        stage.cluster.log.catch_up().await?;
        let left = nothing_left_over(&log_of(&stage.cluster.log)?, &rest);
        if left.is_empty() || Instant::now() > deadline {
            return Ok(rest);
        }
        // Whoever takes the lock throws away the records of requesters that have gone, and finishes the removals of snapshots.
        if let Some(seat) = stage.seats.last() {
            take_and_give_back(stage, seat).await?;
        }
    }
}

async fn take_and_give_back(stage: &Stage, seat: &Seat) -> Result<()> {
    for operation in [Operation::Release, Operation::Acquire, Operation::Release] {
        calls::io(stage, seat, operation).await?;
    }
    Ok(())
}

async fn at_rest(stage: &Stage, images: &BTreeMap<String, ImageObjects>) -> Result<AtRest> {
    let cluster = &stage.cluster;
    let mut rest = AtRest { blocklist: cluster.blocklist().await?, ..AtRest::default() };
    rest.opened =
        stage.seats.iter().map(|seat| Opened { gid: seat.gid(), header: stage.header.clone() }).collect();
    rest.sessions = cluster.sessions().await?.iter().map(|session| session.gid).collect();
    for objects in images.values() {
        let object = &objects.header;
        for watcher in cluster.watchers(object).await? {
            rest.watches.push(Watch { object: object.clone(), gid: watcher.gid, cookie: watcher.cookie });
        }
        for locker in cluster.lock(object).await?.lockers {
            rest.locks.push(Lock { object: object.clone(), gid: locker.gid, cookie: locker.cookie });
        }
        rest.done_records.extend(records(stage, object, "done_").await?);
        rest.low_records.extend(records(stage, object, "low_").await?);
        rest.reclaim_records.extend(records(stage, object, "reclaim_").await?);
    }
    Ok(rest)
}

/// The records of a header whose keys start with `prefix`.
async fn records(stage: &Stage, header: &str, prefix: &str) -> Result<Vec<HeaderRecord>> {
    let keys = stage.cluster.header_keys(header, prefix).await?;
    Ok(keys.into_iter().map(|key| HeaderRecord { object: header.to_owned(), key }).collect())
}

/// `rbd-client info --format json`.
#[derive(Deserialize)]
struct Info {
    id: String,
    size: u64,
    block_name_prefix: String,
    parent: Option<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    pool: String,
    image: String,
    snapshot: String,
    /// `None`: only snapshots need the parent.
    overlap: Option<u64>,
}

/// `rbd-client snap ls --format json`.
#[derive(Deserialize)]
struct Snapshot {
    name: String,
}

/// `rbd-client children --format json`.
#[derive(Deserialize)]
struct Child {
    pool: String,
    image: String,
}

/// What there is of every image of the history. An image whose making failed may be missing.
pub async fn gather(stage: &Stage) -> Result<(FinalState, BTreeMap<String, ImageObjects>)> {
    let (mut state, mut images) = (FinalState::default(), BTreeMap::new());
    let existing: Vec<String> = json(stage, &["ls"]).await?;
    for image in stage.images().iter().filter(|image| existing.contains(image)) {
        let name = spec(image);
        let info: Info = json(stage, &["info", &name]).await?;
        let mut snapshots = Vec::new();
        for Snapshot { name: snapshot } in json::<Vec<Snapshot>>(stage, &["snap", "ls", &name]).await? {
            let children: Vec<Child> = json(stage, &["children", &format!("{name}@{snapshot}")]).await?;
            let children = children.iter().map(|child| format!("{}/{}", child.pool, child.image)).collect();
            snapshots.push(FinalSnapshot { name: snapshot, children });
        }
        let parent = info.parent.map(|parent| FinalParent {
            image: format!("{}/{}", parent.pool, parent.image),
            snap: parent.snapshot,
            head: parent.overlap.is_some(),
        });
        state.images.insert(name.clone(), FinalImage { size: info.size, snapshots, parent });
        let objects = ImageObjects {
            pool: POOL.to_owned(),
            header: header_of(&info.id),
            object_prefix: info.block_name_prefix,
        };
        images.insert(name, objects);
    }
    Ok((state, images))
}

async fn json<T: for<'a> Deserialize<'a>>(stage: &Stage, verb: &[&str]) -> Result<T> {
    let arguments = [verb, &["--format", "json"]].concat();
    let text = stage.cluster.rbd_ok(&arguments).await?;
    serde_json::from_str(&text).with_context(|| format!("rbd-client {}: {text}", arguments.join(" ")))
}
