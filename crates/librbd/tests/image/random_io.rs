//! I2, I4: I/O, flattens, snapshots, resizes and rollbacks of a clone beside each other at random, with ops that are late at the OSD at
//! random, judged as one register a block and as snapshots that never change. A seed says everything but the timing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use check::{Action, Effect, RegisterOp, Start, Verdict, linearize};
use errno::Errno;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use librbd::{CallOptions, CloneOptions, Config, Image, OpenOptions};
use rados::IoCtx;
use tokio::task::JoinSet;

use crate::support::*;

const BLOCK: u64 = 1024;
const BLOCKS_PER_OBJECT: u64 = OBJECT / BLOCK;
/// Of the parent. Of each six objects one is a hole, and one has half of its bytes.
const OBJECTS: u64 = 12;
const BLOCKS: u64 = OBJECTS * BLOCKS_PER_OBJECT;
/// The child is never larger.
const BLOCKS_MAX: u64 = BLOCKS + BLOCKS_PER_OBJECT;

const SEEDS: u64 = 24;
/// Stories that are played at once: they wait most of the time.
const AT_ONCE: usize = 6;
/// Steps of one who writes and reads.
const STEPS: u64 = 3;
/// How many write and read.
const WRITERS: u64 = 10;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Draws when the next step comes; nothing is waited for by it.
    async fn pause(&mut self, ms_max: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(ms_max))).await;
    }
}

/// A block full of one number.
fn filled(tag: u64, blocks: u64) -> Vec<u8> {
    tag.to_le_bytes().repeat((blocks * BLOCK / 8) as usize)
}

/// What fills each whole block; `u64::MAX - 1` for one that holds a mix.
fn tags(bytes: &[u8]) -> Vec<u64> {
    let tag = |block: &[u8]| {
        let mut words = block.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
        let first = words.next().unwrap();
        if words.all(|word| word == first) { first } else { u64::MAX - 1 }
    };
    bytes.chunks_exact(BLOCK as usize).map(tag).collect()
}

/// What was done to each block of HEAD.
#[derive(Default)]
struct Journal {
    moments: AtomicU64,
    calls: AtomicU64,
    blocks: Mutex<BTreeMap<u64, Vec<RegisterOp>>>,
}

impl Journal {
    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&self, blocks: impl Iterator<Item = (u64, Action)>, invoked: u64, effect: Effect) {
        let id = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut journal = self.blocks.lock().unwrap();
        for (block, action) in blocks {
            journal.entry(block).or_default().push(RegisterOp { id, invoked, effect, action });
        }
    }

    fn read(&self, start: u64, tags: &[u64], invoked: u64, end: u64) {
        let reads = tags.iter().zip(start..).map(|(tag, block)| (block, Action::Read(*tag)));
        self.record(reads, invoked, Effect::Happened(end));
    }

    /// A resize and a rollback begin anew when the lock changes hands: what was written in between goes again.
    fn overwritten(&self, tags: impl Iterator<Item = (u64, u64)> + Clone, invoked: u64, end: u64) {
        let again = tags.clone().map(|(block, tag)| (block, Action::Repeat(tag)));
        self.record(tags.map(|(block, tag)| (block, Action::Write(tag))), invoked, Effect::Happened(end));
        self.record(again, invoked, Effect::Perhaps(end));
    }

    /// The first block whose ops no order explains.
    fn complaint(&self, start: &[u64]) -> Option<String> {
        self.blocks.lock().unwrap().iter().find_map(|(block, ops)| {
            let start = start.get(*block as usize).copied().unwrap_or(0);
            let verdict = linearize(&Start::OneOf(BTreeSet::from([start])), ops);
            let is_explained = verdict == Verdict::Linearizable;
            (!is_explained)
                .then(|| format!("block {block}, which began with {start}: {verdict:?} of {ops:?}"))
        })
    }
}

/// A client that has the child open.
#[derive(Clone)]
struct Player {
    image: Image,
    io: IoCtx,
    journal: Arc<Journal>,
    /// A flatten has returned.
    is_flat: Arc<AtomicBool>,
}

impl Player {
    async fn blocks(self, mut random: Random, first_tag: u64, writes: bool) {
        for tag in (first_tag..).step_by(2).take(STEPS as usize) {
            let object = random.below(BLOCKS_MAX / BLOCKS_PER_OBJECT) * BLOCKS_PER_OBJECT;
            let small = (object + random.below(BLOCKS_PER_OBJECT), 1);
            let whole = (object, BLOCKS_PER_OBJECT);
            let two = (object + random.below(BLOCKS_PER_OBJECT), BLOCKS_PER_OBJECT);
            let what = if writes { random.below(16) } else { 15 };
            match what {
                // A small write needs the parent, if the object is missing; the rest of the life of the object does not.
                0..=7 => {
                    let life = async {
                        random.pause(5).await;
                        self.write(whole, tag + 1).await;
                        random.pause(100).await;
                        self.discard(whole).await;
                    };
                    tokio::join!(self.write(small, tag), life);
                    self.read(whole).await;
                }
                8..=9 => self.write(small, tag).await,
                10..=11 => self.write(two, tag).await,
                12 => self.discard(whole).await,
                13 => self.discard(two).await,
                _ => self.read((0, BLOCKS_MAX)).await,
            }
            random.pause(6).await;
        }
    }

    async fn write(&self, (start, count): (u64, u64), tag: u64) {
        let invoked = self.journal.now();
        let written = soon(self.image.write(start * BLOCK, filled(tag, count).into())).await;
        self.changed((start, count), tag, invoked, written);
    }

    async fn discard(&self, (start, count): (u64, u64)) {
        let invoked = self.journal.now();
        let discarded = soon(self.image.discard(start * BLOCK, count * BLOCK)).await;
        self.changed((start, count), 0, invoked, discarded);
    }

    /// EINVAL: it reached beyond the end.
    fn changed(&self, (start, count): (u64, u64), tag: u64, invoked: u64, result: Result<(), librbd::Error>) {
        let end = self.journal.now();
        let effect = match result {
            Ok(()) => Effect::Happened(end),
            Err(error) if error.errno() == Errno::EINVAL => Effect::Perhaps(end),
            Err(error) => panic!("{error:?}"),
        };
        self.journal.record((start..start + count).map(|block| (block, Action::Write(tag))), invoked, effect);
    }

    /// EINVAL: it begins beyond the end.
    async fn read(&self, (start, count): (u64, u64)) {
        let invoked = self.journal.now();
        match soon(self.image.read(start * BLOCK, count * BLOCK)).await {
            Ok(bytes) => self.journal.read(start, &tags(&bytes), invoked, self.journal.now()),
            Err(error) => assert_eq!(error.errno(), Errno::EINVAL, "{error:?}"),
        }
    }

    async fn flatten(self, mut random: Random) {
        random.pause(30).await;
        let was_flat = self.is_flat.load(Ordering::SeqCst);
        match soon(self.image.flatten(CallOptions::default())).await {
            Ok(()) => self.is_flat.store(true, Ordering::SeqCst),
            Err(error) => assert!(was_flat && error.errno() == Errno::EINVAL, "{error:?}"),
        }
    }

    /// Snapshots, resizes and rollbacks, one after the other; the snapshots that are left, with their content.
    async fn maintain(self, mut random: Random, steps: u64) -> BTreeMap<String, Vec<u64>> {
        let mut snapshots = BTreeMap::new();
        for step in 0..steps {
            random.pause(25).await;
            let last = snapshots.pop_last();
            match (random.below(6), last) {
                (0..=1, last) => {
                    snapshots.extend(last);
                    let name = format!("s{step}");
                    let content = self.snapshot(&name).await;
                    snapshots.insert(name, content);
                }
                (2, Some((name, content))) => {
                    self.roll_back(&name, &content).await;
                    snapshots.insert(name, content);
                }
                (3, Some((name, content))) => {
                    assert_eq!(self.content_of(&name).await, content, "snapshot {name} changed");
                    soon(self.image.snap_remove(&name, CallOptions::default())).await.unwrap();
                }
                (_, last) => {
                    snapshots.extend(last);
                    self.resize(BLOCKS_MAX - random.below(BLOCKS_MAX / 3)).await;
                }
            }
        }
        snapshots
    }

    /// Shows what HEAD held at one moment while it was made.
    async fn snapshot(&self, name: &str) -> Vec<u64> {
        let invoked = self.journal.now();
        soon(self.image.snap_create(name, CallOptions::default())).await.unwrap();
        let end = self.journal.now();
        let content = self.content_of(name).await;
        self.journal.read(0, &content, invoked, end);
        content
    }

    async fn content_of(&self, name: &str) -> Vec<u64> {
        let options = OpenOptions { read_only: true, snapshot: Some(name.to_owned()) };
        let image = soon(Image::open(&self.io, "child", options, Config::ci())).await.unwrap();
        let content = content(&image).await;
        soon(image.close()).await;
        tags(&content)
    }

    async fn roll_back(&self, name: &str, content: &[u64]) {
        let invoked = self.journal.now();
        soon(self.image.snap_rollback(name, CallOptions::default())).await.unwrap();
        let beyond = (content.len() as u64..BLOCKS_MAX).map(|block| (block, 0));
        let all = (0..).zip(content.iter().copied()).chain(beyond);
        self.journal.overwritten(all, invoked, self.journal.now());
    }

    async fn resize(&self, blocks: u64) {
        let invoked = self.journal.now();
        soon(self.image.resize(blocks * BLOCK, true, CallOptions::default())).await.unwrap();
        let beyond = (blocks..BLOCKS_MAX).map(|block| (block, 0));
        self.journal.overwritten(beyond, invoked, self.journal.now());
    }
}

/// Image "child", the clone of "parent", or of its clone "middle"; what its blocks hold.
async fn make_child(io: &IoCtx, has_middle: bool) -> Vec<u64> {
    let hole = BLOCKS_PER_OBJECT..2 * BLOCKS_PER_OBJECT + BLOCKS_PER_OBJECT / 2;
    let tag = |block: u64| if hole.contains(&(block % (6 * BLOCKS_PER_OBJECT))) { 0 } else { 1 + block };
    let mut tags: Vec<_> = (0..BLOCKS).map(tag).collect();
    create(io, "parent", OBJECTS).await;
    let parent = open(io, "parent").await;
    for (block, tag) in (0..).zip(&tags).filter(|(_, tag)| **tag != 0) {
        soon(parent.write(block * BLOCK, filled(*tag, 1).into())).await.unwrap();
    }
    soon(parent.snap_create("base", CallOptions::default())).await.unwrap();
    soon(parent.close()).await;
    let mut above = "parent";
    if has_middle {
        librbd::clone(io, "parent", "base", io, "middle", &CloneOptions::default()).await.unwrap();
        let middle = open(io, "middle").await;
        for block in [1, BLOCKS_PER_OBJECT] {
            tags[block as usize] = 100 + block;
            soon(middle.write(block * BLOCK, filled(100 + block, 1).into())).await.unwrap();
        }
        soon(middle.snap_create("base", CallOptions::default())).await.unwrap();
        soon(middle.close()).await;
        above = "middle";
    }
    librbd::clone(io, above, "base", io, "child", &CloneOptions::default()).await.unwrap();
    tags
}

/// One story; what is wrong with it.
async fn play(seed: u64) -> Vec<String> {
    let cluster = Cluster::start();
    let mut random = Random(seed);
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    let has_middle = random.below(3) == 0;
    let start = make_child(&io, has_middle).await;
    let config = Config { rbd_clone_copy_on_read: random.below(2) == 0, ..Config::ci() };
    let owner = open_with(&io, "child", config).await;
    let peer = open(&other, "child").await;
    soon(owner.snap_create("first", CallOptions::default())).await.unwrap();
    soon(owner.snap_remove("first", CallOptions::default())).await.unwrap();
    let (journal, is_flat) = (Arc::new(Journal::default()), Arc::default());
    let player = |image: &Image, io: &IoCtx| Player {
        image: image.clone(),
        io: io.clone(),
        journal: journal.clone(),
        is_flat: Arc::clone(&is_flat),
    };
    let (here, there) = (player(&owner, &io), player(&peer, &other));
    cluster.osd().delay_data(&mut || random.next()).await;

    let mut players = JoinSet::new();
    let hands_over = random.below(4) == 0;
    for number in 1..=WRITERS {
        let random = Random(random.next());
        players.spawn(here.clone().blocks(random, number * 100, true));
    }
    players.spawn(there.clone().blocks(Random(random.next()), 9000, hands_over));
    players.spawn(here.clone().flatten(Random(random.next())));
    players.spawn(there.clone().flatten(Random(random.next())));
    let steps = random.below(6);
    let snapshots = here.clone().maintain(Random(random.next()), steps).await;
    while let Some(ended) = players.join_next().await {
        ended.unwrap();
    }

    cluster.osd().mend().await;
    here.read((0, BLOCKS_MAX)).await;
    there.read((0, BLOCKS_MAX)).await;
    let mut complaints: Vec<_> = journal.complaint(&start).into_iter().collect();
    // Nothing of the child is left in its parent.
    let head = content(&owner).await;
    let above = if has_middle { "middle" } else { "parent" };
    let parent = open(&io, above).await;
    soon(parent.snap_remove("base", CallOptions::default())).await.unwrap();
    if content(&peer).await != head {
        complaints.push("HEAD is another without its parent".to_owned());
    }
    for (name, content) in snapshots {
        let found = there.content_of(&name).await;
        if found != content {
            complaints.push(format!("snapshot {name} held {content:?}, and holds {found:?}"));
        }
    }
    complaints
}

#[tokio::test]
async fn blocks_of_a_clone_are_registers_whatever_runs_beside() {
    let played = stream::iter(0..SEEDS).map(|seed| async move { (seed, play(seed).await) });
    let wrong = played.buffer_unordered(AT_ONCE).filter(|(_, complaints)| ready(!complaints.is_empty()));
    let wrong: BTreeMap<_, _> = wrong.collect().await;
    assert!(wrong.is_empty(), "{} of {SEEDS} seeds: {wrong:#?}", wrong.len());
}
