//! One OSD, a clone of a filled image, its clients, and the book that everything is taken down in.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use check::{Operation, Outcome};
use errno::Errno;
use harness::{
    cluster::{Cluster, Preset},
    osd::{header_of, spec},
    program::Output,
    timeline::{Cast, Line},
};

use crate::{
    calls,
    constants::Constants,
    recorder::{BLOCK_BYTES, Recorder},
    seat::Seat,
    workload::Shape,
};

/// Size of the objects of every image here.
pub const OBJECT_BYTES: u64 = 16 << 10;
/// Who works on images without being one of the clients: verbs of `rbd-client`, each a process of its own.
pub const OPERATOR: &str = "operator";
/// Who breaks things, in timelines.
pub const CHAOS: &str = "chaos";
/// The image that is cloned.
const BASE: &str = "base";
/// How many stretches of the base are filled, each by one write; one stretch more stays a hole.
const STRETCHES: u64 = 15;

/// How a stage is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Constants of all programs.
    pub preset: Preset,
    /// How many clients there are.
    pub clients: usize,
    /// Further options of every client.
    pub client_options: Vec<String>,
    /// The image's shape.
    pub shape: Shape,
}

/// Everything that a run needs.
pub struct Stage {
    /// The OSD.
    pub cluster: Cluster,
    /// Its constants.
    pub constants: Constants,
    /// What was asked for.
    pub setting: Setting,
    /// The history.
    pub recorder: Recorder,
    /// The clients.
    pub seats: Vec<Arc<Seat>>,
    /// Object that carries lock and watches of the image that the clients have open.
    pub header: String,
    image_id: String,
    /// Every image of the history, without its pool.
    images: Mutex<BTreeSet<String>>,
    /// What was done to the system, by the OSD's clock.
    marks: Mutex<Vec<Line>>,
    snapshots: Mutex<Snapshots>,
}

/// Names of the clone's snapshots.
#[derive(Debug, Default)]
struct Snapshots {
    /// Names that were given out; none is used again.
    given: u64,
    /// Those that exist as far as is known here.
    known: Vec<String>,
}

impl Stage {
    /// Fills a base image, clones it as `clone`, and starts the clients on the clone. Everything is written to `directory`.
    pub async fn set(directory: &Path, setting: Setting, clone: &str) -> Result<Self> {
        let constants = Constants::of(setting.preset);
        let session_timeout = format!("{}ms", constants.session_timeout.as_millis());
        let events = directory.join("events.jsonl");
        let events = events.to_str().context("the directory's name is not UTF-8")?;
        let options = ["--osd-client-session-timeout", &session_timeout, "--events", events];
        let cluster = Cluster::start_in(directory, setting.preset, &options, &[]).await?;
        let recorder = Recorder::create(&directory.join("history.jsonl"))?;
        let mut stage = Self {
            cluster,
            constants,
            setting,
            recorder,
            seats: Vec::new(),
            header: String::new(),
            image_id: String::new(),
            images: Mutex::default(),
            marks: Mutex::default(),
            snapshots: Mutex::default(),
        };
        stage.make_base().await.context("making the base image")?;
        stage.open_clone(clone).await?;
        Ok(stage)
    }

    async fn make_base(&self) -> Result<()> {
        let size = self.setting.shape.size();
        let (bytes, object) = (format!("{size}B"), OBJECT_BYTES.to_string());
        let create = ["create", "--size", &bytes, "--object-size", &object, &spec(BASE)];
        self.must(BASE, Operation::Create { size }, &create).await?;
        let filler = Seat::take(&self.cluster, OPERATOR, BASE, &[]).await?;
        let length = self.setting.shape.blocks / (STRETCHES + 1) * BLOCK_BYTES;
        for stretch in 0..STRETCHES {
            let write = Operation::Write { offset: stretch * length, length, tag: self.recorder.fresh_tag() };
            let outcome = calls::io(self, &filler, write).await?;
            ensure!(matches!(outcome, Outcome::Ok { .. }), "filling it: {outcome:?}");
        }
        filler.close().await
    }

    /// Clones the base under a new name and seats fresh clients on it.
    pub async fn open_clone(&mut self, clone: &str) -> Result<()> {
        let (snap, base) = (format!("of-{clone}"), spec(BASE));
        let parent = format!("{base}@{snap}");
        self.must(BASE, Operation::SnapCreate { snap: snap.clone() }, &["snap", "create", &parent]).await?;
        self.cluster.rbd_ok(&["snap", "protect", &parent]).await?;
        let object = OBJECT_BYTES.to_string();
        let verb = ["clone", "--object-size", &object, &parent, &spec(clone)];
        self.must(clone, Operation::Clone { parent: base, snap }, &verb).await?;
        for seat in self.seats.drain(..) {
            seat.close().await?;
        }
        for number in 1..=self.setting.clients {
            let name = format!("client {number}");
            let seat = Seat::take(&self.cluster, &name, clone, &self.setting.client_options).await?;
            self.seats.push(Arc::new(seat));
        }
        self.image_id = self.seats[0].remote().await.info().await?.id;
        self.header = header_of(&self.image_id);
        *self.lock_snapshots() = Snapshots::default();
        Ok(())
    }

    /// Runs a verb of `rbd-client` as a call of the history.
    pub async fn verb(&self, image: &str, operation: Operation, arguments: &[&str]) -> Result<Outcome> {
        if matches!(operation, Operation::Create { .. } | Operation::Clone { .. }) {
            self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(image.to_owned());
        }
        let id = self.recorder.invoke(OPERATOR, &spec(image), operation, Some(self.cluster.log.last()))?;
        let output = self.cluster.rbd(arguments).await?;
        let outcome = match output.status {
            0 => Outcome::Ok { tags: Vec::new() },
            _ => refused(arguments, &output)?,
        };
        self.recorder.complete(id, outcome.clone(), Some(self.cluster.log.catch_up().await?))?;
        Ok(outcome)
    }

    async fn must(&self, image: &str, operation: Operation, arguments: &[&str]) -> Result<()> {
        let outcome = self.verb(image, operation, arguments).await?;
        ensure!(matches!(outcome, Outcome::Ok { .. }), "rbd-client {}: {outcome:?}", arguments.join(" "));
        Ok(())
    }

    /// Every image of the history, without its pool.
    pub fn images(&self) -> Vec<String> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes down that something was done to `whom`.
    pub fn mark(&self, whom: &str, what: &str) {
        let line = Line {
            time_ms: self.cluster.log.osd_now_ms(),
            who: CHAOS.to_owned(),
            whom: whom.to_owned(),
            what: what.to_owned(),
        };
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// What was done since `begin_ms`, in order.
    pub fn marks_since(&self, begin_ms: u64) -> Vec<Line> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        marks.retain(|mark| mark.time_ms >= begin_ms);
        marks.sort_by_key(|mark| mark.time_ms);
        marks
    }

    /// Who is who on the image that is open.
    pub fn cast(&self) -> Cast {
        let mut cast = Cast::new(&self.image_id);
        for seat in &self.seats {
            for gid in seat.gids() {
                cast.name(gid, seat.name());
            }
        }
        cast
    }

    /// The seat of the lock's owner, as the OSD knows it.
    pub async fn owner(&self) -> Result<Option<Arc<Seat>>> {
        let lockers = self.cluster.lock(&self.header).await?.lockers;
        let owner = lockers.first().map(|locker| locker.gid);
        Ok(self.seats.iter().find(|seat| Some(seat.gid()) == owner).cloned())
    }

    /// A name that no snapshot of the image had.
    pub fn fresh_snapshot(&self) -> String {
        let mut snapshots = self.lock_snapshots();
        snapshots.given += 1;
        format!("s{}", snapshots.given)
    }

    /// A snapshot was taken.
    pub fn snapshot_made(&self, name: &str) {
        self.lock_snapshots().known.push(name.to_owned());
    }

    /// Somebody tries to remove it: nobody else does.
    pub fn take_snapshot(&self, draw: impl FnOnce(usize) -> usize) -> Option<String> {
        let mut snapshots = self.lock_snapshots();
        let count = snapshots.known.len();
        (count > 0).then(|| snapshots.known.swap_remove(draw(count)))
    }

    /// One of the snapshots.
    pub fn some_snapshot(&self, draw: impl FnOnce(usize) -> usize) -> Option<String> {
        let snapshots = self.lock_snapshots();
        let count = snapshots.known.len();
        (count > 0).then(|| snapshots.known[draw(count)].clone())
    }

    fn lock_snapshots(&self) -> std::sync::MutexGuard<'_, Snapshots> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends clients and OSD in an orderly way.
    pub async fn close(mut self, bound: Duration) -> Result<()> {
        for seat in self.seats.drain(..) {
            seat.close().await?;
        }
        self.cluster.process.terminate()?;
        let status = self.cluster.process.ended(bound).await?;
        ensure!(status.success(), "osd-sim ended with {status}: {}", self.cluster.process.said());
        Ok(())
    }
}

/// How a verb failed, by the errno that it names; an error of its own if it names none.
pub(crate) fn refused(arguments: &[&str], output: &Output) -> Result<Outcome> {
    match errno_in(&output.stderr) {
        Some(errno) => Ok(Outcome::Error { errno }),
        None => bail!("rbd-client {}: {}", arguments.join(" "), output.stderr.trim()),
    }
}

/// The first errno that a message names.
fn errno_in(message: &str) -> Option<Errno> {
    message.split([':', ' ', '\n', ';', ',']).find_map(|word| Errno::from_name(word.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_of_a_verb_is_the_one_that_it_names() {
        let message =
            "rbd-client: snap rm rbd/x@s: EBUSY: snapshot s is protected\nrbd-client: what next: EINVAL";
        assert_eq!(errno_in(message), Some(Errno::EBUSY));
        assert_eq!(errno_in("killed"), None);
    }
}
