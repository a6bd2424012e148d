//! Brings a stage to rest, and gathers what is there then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, ensure};
use check::{
    AtRest, Entry, FinalImage, FinalParent, FinalSnapshot, FinalState, HeaderRecord, ImageObjects, Lock,
    Opened, Operation, Outcome, Watch, nothing_left_over,
};
use harness::osd::{POOL, header_of, spec};
use proto::cls::rbd::v1::{DirectoryEntry, Header, Protection, SnapshotNamespace};
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
    let open = if stage.seats.is_empty() { String::new() } else { stage.image_name().await? };
    for seat in &stage.seats {
        let length = state.images[&spec(&open)].size;
        let outcome = calls::io(stage, seat, Operation::Read { offset: 0, length, snap: None }).await?;
        judge(format!("{} through {}", seat.image(), seat.name()), outcome);
    }
    for image in stage.images() {
        // One whose making failed may be missing.
        let Some(found) = state.images.get(&spec(&image)) else { continue };
        if image != open {
            judge(spec(&image), calls::export(stage, &image, None, found.size).await?);
        }
        for FinalSnapshot { name, .. } in found.snapshots.iter().filter(|snapshot| !snapshot.in_trash) {
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
pub async fn settle(stage: &Stage) -> Result<(Gathered, AtRest)> {
    let deadline = Instant::now() + stage.constants.rest_max();
    let mut looks = looks();
    loop {
        looks.tick().await;
        let gathered = gather(stage).await?;
        let rest = at_rest(stage, &gathered).await?;
        stage.cluster.log.catch_up().await?;
        let left = nothing_left_over(&log_of(&stage.cluster.log)?, &rest);
        if left.is_empty() || Instant::now() > deadline {
            return Ok((gathered, rest));
        }
        // Whoever takes the lock throws away the records of requesters that have gone, and finishes the removals of snapshots; librbd does
        // not.
        if let Some(seat) = stage.seats.iter().rfind(|seat| !seat.is_librbd()) {
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

/// Every instance of a librbd.
fn librbd(stage: &Stage) -> BTreeSet<u64> {
    let (names, instances) = (stage.librbd(), stage.instances());
    instances.into_iter().filter(|(name, _)| names.contains(name)).flat_map(|(_, gids)| gids).collect()
}

/// librbd takes a clone out of its parent's list before the clone's header lets the parent go, and a flatten that is interrupted in between
/// leaves a clone that can be read only as long as somebody else keeps its parent. Another flatten ends that.
pub async fn finish_flattens(stage: &Stage) -> Result<()> {
    let image = stage.image_name().await?;
    let state = gather(stage).await?.state;
    let is_half = state.images[&spec(&image)].parent.as_ref().is_some_and(|parent| {
        let snapshots = state.images.get(&parent.image).map_or(&[][..], |of| &of.snapshots);
        let mut children =
            snapshots.iter().filter(|snap| snap.name == parent.snap).flat_map(|snap| &snap.children);
        parent.head && !children.any(|child| *child == spec(&image))
    });
    if is_half {
        let verb = ["flatten", "--no-progress", &spec(&image)];
        calls::verb(stage, &image, Operation::Flatten, &verb).await?;
    }
    Ok(())
}

async fn at_rest(stage: &Stage, gathered: &Gathered) -> Result<AtRest> {
    let cluster = &stage.cluster;
    let mut rest = AtRest {
        blocklist: cluster.blocklist().await?,
        objects: cluster.objects().await?,
        directory: gathered.directory.clone(),
        snap_ids: gathered.snap_ids.clone(),
        librbd: librbd(stage),
        ..AtRest::default()
    };
    rest.opened =
        stage.seats.iter().map(|seat| Opened { gid: seat.gid(), header: stage.header.clone() }).collect();
    rest.sessions = cluster.sessions().await?.iter().map(|session| session.gid).collect();
    for objects in gathered.images.values() {
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

/// What there is of every image, as the OSD has it.
pub struct Gathered {
    /// By name.
    pub state: FinalState,
    /// Their objects.
    pub images: BTreeMap<String, ImageObjects>,
    /// Ids of all snapshots.
    snap_ids: Vec<u64>,
    /// The directory.
    directory: Vec<Entry>,
    /// Images in the directory that have no header.
    incomplete: Vec<String>,
}

/// Looks at the directory and at every header.
pub async fn gather(stage: &Stage) -> Result<Gathered> {
    let cluster = &stage.cluster;
    let entries = cluster.entries().await?;
    let mut headers: BTreeMap<String, Header> = BTreeMap::new();
    for entry in &entries {
        if let Some(header) = cluster.image(&entry.id).await? {
            headers.insert(entry.id.clone(), header);
        }
    }
    // What has no name is called by its id.
    let name_of = |id: &str| {
        let entry = entries.iter().find(|entry| entry.id == id);
        spec(entry.map_or(id, |entry| &entry.name))
    };
    let mut gathered = Gathered {
        state: FinalState::default(),
        images: BTreeMap::new(),
        snap_ids: Vec::new(),
        directory: entries
            .iter()
            .map(|entry| Entry { name: entry.name.clone(), id: entry.id.clone() })
            .collect(),
        incomplete: Vec::new(),
    };
    for DirectoryEntry { name, id } in &entries {
        let Some(header) = headers.get(id) else {
            gathered.incomplete.push(name.clone());
            continue;
        };
        let mut snapshots = Vec::new();
        for snapshot in &header.snapshots {
            let children = cluster.clones(id, snapshot.id).await?;
            snapshots.push(FinalSnapshot {
                name: snapshot.name.clone(),
                protected: snapshot.protection() != Protection::Unprotected,
                in_trash: snapshot.namespace() == SnapshotNamespace::Trash,
                children: children.iter().map(|child| name_of(&child.image_id)).collect(),
            });
            gathered.snap_ids.push(snapshot.id);
        }
        let parent = header.parent.as_ref().map(|parent| {
            let of = parent.spec.clone().unwrap_or_default();
            let known = headers.get(&of.image_id).map_or(&[][..], |header| &header.snapshots);
            let snap = known.iter().find(|snapshot| snapshot.id == of.snap_id);
            FinalParent {
                image: name_of(&of.image_id),
                snap: snap.map_or_else(|| format!("snapshot id {}", of.snap_id), |snap| snap.name.clone()),
                head: parent.head_overlap.is_some(),
            }
        });
        gathered.state.images.insert(spec(name), FinalImage { size: header.size, snapshots, parent });
        let objects = ImageObjects {
            pool: POOL.to_owned(),
            header: header_of(id),
            object_prefix: header.object_prefix.clone(),
        };
        gathered.images.insert(spec(name), objects);
    }
    Ok(gathered)
}

/// Takes away every image whose making nobody finished, and every snapshot that no clone needs, clones before their parents. What could
/// not be taken away.
pub async fn clear(stage: &Stage) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for image in gather(stage).await?.incomplete {
        remove(stage, &image, &mut failed).await?;
    }
    loop {
        let state = gather(stage).await?.state;
        let mut is_changed = false;
        for (image, found) in &state.images {
            let is_unused = |snapshot: &&FinalSnapshot| snapshot.children.is_empty() && !snapshot.in_trash;
            let unused = found.snapshots.iter().filter(is_unused);
            for FinalSnapshot { name, protected, .. } in unused {
                let image = image.strip_prefix("rbd/").unwrap_or(image);
                is_changed |= remove_snapshot(stage, image, name, *protected, &mut failed).await?;
            }
        }
        if !is_changed {
            return Ok(failed);
        }
    }
}

/// Whether it has gone.
async fn remove_snapshot(
    stage: &Stage,
    image: &str,
    snap: &str,
    is_protected: bool,
    failed: &mut Vec<String>,
) -> Result<bool> {
    let (source, of) = (format!("{}@{snap}", spec(image)), || snap.to_owned());
    let mut outcome = Outcome::Ok { tags: Vec::new() };
    if is_protected {
        let verb = ["snap", "unprotect", &source];
        outcome = calls::verb(stage, image, Operation::SnapUnprotect { snap: of() }, &verb).await?;
    }
    if matches!(outcome, Outcome::Ok { .. }) {
        let verb = ["snap", "rm", "--no-progress", &source];
        outcome = calls::verb(stage, image, Operation::SnapRemove { snap: of() }, &verb).await?;
    }
    let has_gone = matches!(outcome, Outcome::Ok { .. });
    let what = format!("{source}: {outcome:?}");
    if !has_gone && !failed.contains(&what) {
        failed.push(what);
    }
    Ok(has_gone)
}

async fn remove(stage: &Stage, image: &str, failed: &mut Vec<String>) -> Result<bool> {
    let verb = ["rm", "--no-progress", &spec(image)];
    let outcome = calls::verb(stage, image, Operation::Remove, &verb).await?;
    let has_gone = matches!(outcome, Outcome::Ok { .. });
    if !has_gone {
        failed.push(format!("{}: {outcome:?}", spec(image)));
    }
    Ok(has_gone)
}

/// When everybody has left: every image can be removed, clones before their parents, and then nothing is there any more. What is, or
/// could not be removed.
pub async fn remove_everything(stage: &Stage) -> Result<Vec<String>> {
    let mut failed = clear(stage).await?;
    while failed.is_empty() {
        let state = gather(stage).await?.state;
        let is_leaf =
            |found: &FinalImage| found.snapshots.iter().all(|snapshot| snapshot.children.is_empty());
        let leaves: Vec<&String> =
            state.images.iter().filter(|(_, found)| is_leaf(found)).map(|(image, _)| image).collect();
        if leaves.is_empty() {
            failed.extend(state.images.keys().map(|image| format!("{image} is not the parent of a leaf")));
            break;
        }
        for image in leaves {
            remove(stage, image.strip_prefix("rbd/").unwrap_or(image), &mut failed).await?;
        }
        failed.extend(clear(stage).await?);
    }
    let objects = stage.cluster.objects().await?;
    failed.extend(objects.into_iter().filter(|object| object != "rbd_directory"));
    Ok(failed)
}
