//! One OSD, a clone of a filled image, its clients, and the book that everything is taken down in.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use check::Operation;
use errno::Errno;
use fastrand::Rng;
use harness::{
    call::Failure,
    cluster::{Cluster, Preset},
    osd::{header_of, without_pool},
    timeline::{Cast, Line},
};

use proto::osd::v1::{AddRuleRequest, FaultRule, RemoveRuleRequest};

use crate::{
    client::Kind,
    constants::Constants,
    operator::{self, Operators},
    recorder::Recorder,
    seat::Seat,
    setup::OBJECT_BYTES,
    troubles::Troubles,
    workload::{Shape, draw_size},
};

/// Who breaks things, in timelines.
pub const CHAOS: &str = "chaos";
/// How a stage is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Constants of all programs.
    pub preset: Preset,
    /// How many clients there are.
    pub clients: usize,
    /// How many of them, the last ones, are Ceph's own librbd.
    pub librbd: usize,
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
    /// Instances of those that left their seats.
    left: BTreeMap<String, BTreeSet<u64>>,
    /// Object that carries lock and watches of the image that the clients have open.
    pub header: String,
    image_id: String,
    /// Its size when it was opened.
    size: u64,
    /// Names that were given out.
    images_named: AtomicU64,
    /// Every image of the history, without its pool.
    images: Mutex<BTreeSet<String>>,
    /// What was done to the system, by the OSD's clock.
    marks: Mutex<Vec<Line>>,
    /// The same, as far as calls are held up by it.
    pub troubles: Troubles,
    snapshots: Mutex<Snapshots>,
    /// Verbs under way.
    pub operators: Operators,
    /// Snapshots that images of the family were cloned from.
    family: Mutex<Vec<Source>>,
}

/// A snapshot that was cloned.
#[derive(Clone, Debug)]
struct Source {
    image: String,
    snap: String,
    /// It is not to go.
    is_kept: bool,
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
    /// An OSD at work, and nothing else yet. Everything is written to `directory`.
    pub async fn start(directory: &Path, setting: Setting) -> Result<Self> {
        let constants = Constants::of(setting.preset);
        let constants = if setting.librbd > 0 { constants.with_librbd() } else { constants };
        let session_timeout = format!("{}ms", constants.session_timeout.as_millis());
        let events = directory.join("events.jsonl");
        let events = events.to_str().context("the directory's name is not UTF-8")?;
        let ceph_conf = ceph_conf(directory);
        let ceph_conf = ceph_conf.to_str().context("the directory's name is not UTF-8")?;
        let mut options =
            vec!["--osd-client-session-timeout", &session_timeout, "--events", events, "--enable-faults"];
        if setting.librbd > 0 {
            options.extend(["--ceph", "127.0.0.1:0", "--ceph-conf", ceph_conf]);
        }
        Ok(Self {
            cluster: Cluster::start_in(directory, setting.preset, &options, &[]).await?,
            constants,
            setting,
            recorder: Recorder::create(&directory.join("history.jsonl"))?,
            seats: Vec::new(),
            left: BTreeMap::new(),
            header: String::new(),
            image_id: String::new(),
            size: 0,
            images_named: AtomicU64::new(0),
            images: Mutex::default(),
            marks: Mutex::default(),
            troubles: Troubles::default(),
            snapshots: Mutex::default(),
            operators: Operators::default(),
            family: Mutex::default(),
        })
    }

    /// Ends the clients in an orderly way and seats others on `image`.
    pub async fn seat_on(&mut self, image: &str) -> Result<()> {
        self.leave().await?;
        for number in 1..=self.setting.clients {
            let name = client_name(number);
            let seat = Seat::take(&self.cluster, &name, image, self.kind(number)).await?;
            self.seats.push(Arc::new(seat));
        }
        let entries = self.cluster.entries().await?;
        let entry = entries.into_iter().find(|entry| entry.name == image);
        self.image_id = entry.with_context(|| format!("the directory has no image {image}"))?.id;
        self.header = header_of(&self.image_id);
        self.size = self.cluster.image(&self.image_id).await?.context("its header")?.size;
        *self.lock_snapshots() = Snapshots::default();
        Ok(())
    }

    fn kind(&self, number: usize) -> Kind {
        let Setting { clients, librbd, client_options, preset, .. } = &self.setting;
        if number + librbd <= *clients {
            return Kind::Grpc(client_options.clone());
        }
        Kind::Librbd(ceph_conf(self.cluster.directory()), librbd_settings(*preset, client_options))
    }

    /// Whether both kinds of clients have the image open.
    pub fn is_across(&self) -> bool {
        self.setting.librbd > 0
    }

    /// A size that the image is to have; the one that it has when librbd may be asked for it. librbd takes objects of a clone away before
    /// the header has the smaller overlap: when it dies in between, the parent's data shows again. And it keeps no record of a request: what
    /// it was asked for before it lost the lock, and somebody else has done meanwhile, it does once more when it has the lock again.
    pub fn draw_size(&self, rng: &mut Rng) -> u64 {
        if self.is_across() { self.size } else { draw_size(rng, &self.setting.shape, OBJECT_BYTES) }
    }

    /// Names of the clients that are Ceph's own librbd.
    pub fn librbd(&self) -> BTreeSet<String> {
        let numbers = self.setting.clients - self.setting.librbd + 1..=self.setting.clients;
        numbers.map(client_name).collect()
    }

    /// An image of the history is about to be made.
    pub fn image_made(&self, image: &str) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(image.to_owned());
    }

    /// An image may be called by another name from here on.
    pub fn named_by(&self, operation: &Operation) {
        if let Operation::Rename { to } = operation {
            self.image_made(without_pool(to));
        }
    }

    /// A name that no image had.
    pub fn fresh_image_name(&self) -> String {
        let given = self.images_named.fetch_add(1, Ordering::Relaxed);
        format!("renamed-{}", given + 1)
    }

    /// What the image that the clients have open is called, as the directory has it.
    pub async fn image_name(&self) -> Result<String> {
        let entries = self.cluster.entries().await?;
        let entry = entries.into_iter().find(|entry| entry.id == self.image_id);
        Ok(entry.context("the directory has lost the image that is open")?.name)
    }

    /// Every image of the history, without its pool.
    pub fn images(&self) -> Vec<String> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes down that `whom` is broken from here on; empty: something else is.
    pub fn broken(&self, whom: &str, what: &str) {
        self.troubles.begin(whom, false, self.constants.call_max(), self.recorder.now_ms());
        self.mark(whom, what);
    }

    /// Takes down that ops are refused or late from here on; calls may take so much longer for it.
    pub fn hampered(&self, what: &str, costs: Duration) {
        self.troubles.begin("", false, costs, self.recorder.now_ms());
        self.mark("", what);
    }

    /// Takes down that the process of `whom` is killed.
    pub fn killed(&self, whom: &str, what: &str) {
        self.troubles.begin(whom, true, self.constants.call_max(), self.recorder.now_ms());
        self.mark(whom, what);
    }

    /// Takes down that it is whole again.
    pub fn mended(&self, whom: &str, what: &str) {
        self.troubles.end(whom, self.recorder.now_ms());
        self.mark(whom, what);
    }

    /// Waits for the answer to a call of `client`; `None` when it is overdue.
    pub async fn unless_overdue<T>(&self, client: &str, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.troubles.overdue(client, self.constants.call_max()) => None,
        }
    }

    fn mark(&self, whom: &str, what: &str) {
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

    /// Every instance of every client that had an image of this run open.
    pub fn instances(&self) -> BTreeMap<String, BTreeSet<u64>> {
        let mut instances = self.left.clone();
        for event in self.cluster.log.after(0).iter().filter(|event| event.kind == "session_started") {
            if let Some(client) = operator::client_of(&event.detail) {
                instances.entry(client).or_default().insert(event.gid);
            }
        }
        self.seats.iter().for_each(|seat| note(&mut instances, seat));
        instances
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

    /// An image was cloned from this snapshot; nobody is to remove one that is kept.
    pub fn cloned_from(&self, image: &str, snap: &str, is_kept: bool) {
        self.lock_family().push(Source { image: image.to_owned(), snap: snap.to_owned(), is_kept });
    }

    /// Such a snapshot has gone.
    pub fn uncloned(&self, image: &str, snap: &str) {
        self.lock_family().retain(|source| (source.image.as_str(), source.snap.as_str()) != (image, snap));
    }

    /// Snapshots that images of the family were cloned from: image and name.
    pub fn family(&self) -> Vec<(String, String)> {
        self.lock_family().iter().map(|source| (source.image.clone(), source.snap.clone())).collect()
    }

    /// Those that somebody may try to remove.
    pub fn family_to_remove(&self) -> Vec<(String, String)> {
        let family = self.lock_family();
        let removable = family.iter().filter(|source| !source.is_kept);
        removable.map(|source| (source.image.clone(), source.snap.clone())).collect()
    }

    fn lock_family(&self) -> std::sync::MutexGuard<'_, Vec<Source>> {
        self.family.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a fault rule at the OSD; its number.
    pub async fn add_rule(&self, rule: FaultRule) -> Result<u64> {
        let request = AddRuleRequest { rule: Some(rule) };
        Ok(self.cluster.faults().add_rule(request).await.context("setting a fault rule")?.into_inner().id)
    }

    /// Takes one away; what it held goes on. Nothing happens to one that has been taken away.
    pub async fn remove_rule(&self, id: u64) -> Result<()> {
        match self.cluster.faults().remove_rule(RemoveRuleRequest { id }).await {
            Err(status) if Failure::from(status.clone()).is(Errno::ENOENT) => Ok(()),
            removed => removed.map(drop).context("taking a fault rule away"),
        }
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

    /// Somebody tries to remove them all.
    pub fn forget_snapshots(&self) {
        self.lock_snapshots().known.clear();
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

    /// Ends the clients in an orderly way.
    pub async fn leave(&mut self) -> Result<()> {
        for seat in self.seats.drain(..) {
            seat.close().await?;
            note(&mut self.left, &seat);
        }
        Ok(())
    }

    /// Ends clients and OSD in an orderly way.
    pub async fn close(mut self, bound: Duration) -> Result<()> {
        self.leave().await?;
        self.cluster.process.terminate()?;
        let status = self.cluster.process.ended(bound).await?;
        ensure!(status.success(), "osd-sim ended with {status}: {}", self.cluster.process.said());
        Ok(())
    }
}

fn client_name(number: usize) -> String {
    format!("client {number}")
}

/// What leads Ceph's clients to the cluster.
fn ceph_conf(directory: &Path) -> PathBuf {
    directory.join("ceph.conf")
}

/// The same that an rbd-client is told, which has Ceph's names; and what makes librbd's answers judgeable.
fn librbd_settings(preset: Preset, client_options: &[String]) -> Vec<(String, String)> {
    let seconds = Constants::of(preset).request_timeout.as_secs();
    let fixed = [
        ("rbd_request_timed_out_seconds", seconds.to_string()),
        // An acknowledged write has landed, and a discard leaves zeros.
        ("rbd_cache", "false".to_owned()),
        ("rbd_skip_partial_discard", "false".to_owned()),
    ];
    let (pairs, _) = client_options.as_chunks::<2>();
    let told = pairs
        .iter()
        .map(|[option, value]| (option.trim_start_matches("--").replace('-', "_"), value.clone()));
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(told).collect()
}

fn note(instances: &mut BTreeMap<String, BTreeSet<u64>>, seat: &Seat) {
    instances.entry(seat.name().to_owned()).or_default().extend(seat.gids());
}
