//! A client: a session, an open image, and what it does with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use check::{Operation, Outcome};
use clock::Clock;
use errno::Errno;
use futures_util::FutureExt;
use librbd::{CallOptions, CloneOptions, CreateOptions, Features, Image, OpenOptions, Protection};
use rados::{IoCtx, Rados};
use tasks::Tasks;

use crate::host::POOL;
use crate::plan::{BLOCK, ORDER, Step};
use crate::pool::{Life, lock};
use crate::transport::Way;
use crate::world::World;

/// Wait before a session or an image that could not be opened is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// Tries to open an image.
const TRIES_MAX: u32 = 100;

/// A place at the table: whoever has it goes on with what is left to do.
pub(crate) struct Seat {
    pub(crate) world: World,
    pub(crate) number: usize,
    pub(crate) name: String,
    /// First name of the image that it works on.
    pub(crate) image: String,
    /// Its id: it may be renamed.
    pub(crate) image_id: String,
    pub(crate) config: librbd::Config,
    /// Of the images that it makes.
    pub(crate) features: Features,
    pub(crate) steps: Mutex<VecDeque<Step>>,
    /// Everything is done.
    pub(crate) is_done: Mutex<bool>,
}

/// A session with the OSD.
pub(crate) async fn connect(world: &World, life: Life, name: &str) -> Result<IoCtx, rados::Error> {
    let clock = world.clock();
    let config = rados::Config {
        client_name: name.to_owned(),
        backoff_seed: life.0,
        clock: clock.clone(),
        machine: clock,
        executor: world.pool.executor(life),
        ..rados::Config::ci()
    };
    let rados = Rados::over(Arc::new(Way { world: world.clone(), life }), config).await?;
    world.recorder.instance(name, rados.gid());
    rados.io_ctx(POOL).await
}

/// The full name of an image, as histories have it.
pub(crate) fn spec(image: &str) -> String {
    format!("{POOL}/{image}")
}

/// The name in it.
fn name_of(spec: &str) -> &str {
    spec.split_once('/').map_or(spec, |(_, name)| name)
}

/// An open image of a session.
struct Open {
    io: IoCtx,
    image: Image,
    /// The same image once more, for who asks for it.
    beside: Option<Image>,
}

impl Open {
    async fn close(&self) {
        if let Some(image) = &self.beside {
            image.close().await;
        }
        self.image.close().await;
    }
}

impl Seat {
    /// Lives: does what is left to do, and leaves in order.
    pub(crate) async fn live(self: Arc<Self>, life: Life) {
        let tasks = Tasks::new(self.world.pool.executor(life));
        let mut open = self.open(life).await.ok();
        loop {
            let step = lock(&self.steps).pop_front();
            let Some(step) = step else { break };
            let is_usable = open.as_ref().is_some_and(|open| open.io.rados().ended().is_none());
            if !is_usable {
                self.reopen(life, &mut open).await;
            }
            if matches!(step, Step::Beside(_))
                && let Some(open) = &mut open
            {
                self.open_beside(open).await;
            }
            match (step, &open) {
                (Step::Pause(ms), _) => self.clock().sleep(Duration::from_millis(ms)).await,
                (Step::Call(operation), Some(open)) => self.call(&open.image, operation, None).await,
                (Step::Beside(operation), Some(open)) => {
                    if let Some(image) = &open.beside {
                        self.call(image, operation, None).await;
                    }
                }
                (Step::Patience(operation, ms), Some(open)) => {
                    self.call(&open.image, operation, Some(ms)).await;
                }
                (Step::Begin(operation), Some(open)) => {
                    let (seat, image) = (self.clone(), open.image.clone());
                    tasks.spawn(async move { seat.call(&image, operation, None).await });
                }
                (Step::Errand { image, operation, patience_ms }, Some(open)) => {
                    let doing = self.errand(&open.io, &image, operation.clone());
                    self.recorded(&image, operation, patience_ms, doing).await;
                }
                (_, None) => {}
            }
        }
        tasks.ended().await;
        if let Some(open) = open {
            open.close().await;
            open.io.rados().shutdown().await;
        }
        *lock(&self.is_done) = true;
    }

    fn clock(&self) -> Clock {
        self.world.clock()
    }

    async fn open(&self, life: Life) -> Result<Open, Errno> {
        let mut last = Errno::ETIMEDOUT;
        for _ in 0..TRIES_MAX {
            match self.try_to_open(life).await {
                Ok(open) => return Ok(open),
                Err(errno) => last = errno,
            }
            self.clock().sleep(AGAIN).await;
        }
        Err(last)
    }

    async fn try_to_open(&self, life: Life) -> Result<Open, Errno> {
        let io = connect(&self.world, life, &self.name).await.map_err(|error| error.errno())?;
        match self.open_at(&io, &self.image, OpenOptions::default()).await {
            Ok(image) => Ok(Open { io, image, beside: None }),
            Err(errno) => {
                io.rados().disconnect().await;
                Err(errno)
            }
        }
    }

    async fn open_at(&self, io: &IoCtx, image: &str, options: OpenOptions) -> Result<Image, Errno> {
        let name = self.newest_name(io, image).await?;
        Image::open(io, &name, options, self.config.clone()).await.map_err(|error| error.errno())
    }

    /// What the image is called, if it is the client's own.
    async fn newest_name(&self, io: &IoCtx, image: &str) -> Result<String, Errno> {
        if image != self.image {
            return Ok(image.to_owned());
        }
        let name = librbd::image_name(io, &self.image_id).await.map_err(|error| error.errno())?;
        name.ok_or(Errno::ENOENT)
    }

    /// Leaves it closed when it cannot be opened: the step is left out.
    async fn open_beside(&self, open: &mut Open) {
        if open.beside.is_none() {
            open.beside = self.open_at(&open.io, &self.image, OpenOptions::default()).await.ok();
        }
    }

    async fn reopen(&self, life: Life, open: &mut Option<Open>) {
        let id = self.invoke(&self.image, Operation::Reopen, None).expect("a history has it");
        if let Some(open) = open.take() {
            open.close().await;
            open.io.rados().disconnect().await;
        }
        let outcome = match self.open(life).await {
            Ok(opened) => {
                *open = Some(opened);
                Outcome::Ok { tags: Vec::new() }
            }
            Err(errno) => Outcome::Error { errno },
        };
        self.world.recorder.complete(self.world.now(), id, outcome);
    }

    fn invoke(&self, image: &str, operation: Operation, deadline_ms: Option<u64>) -> Option<u64> {
        let world = &self.world;
        world.recorder.invoke(world.now(), &self.name, &spec(image), operation, deadline_ms)
    }

    async fn call(&self, image: &Image, operation: Operation, patience_ms: Option<u64>) {
        let doing = perform(image, operation.clone());
        self.recorded(&self.image, operation, patience_ms, doing).await;
    }

    /// Does it, if a history can have it.
    async fn recorded(
        &self,
        image: &str,
        operation: Operation,
        patience_ms: Option<u64>,
        doing: impl Future<Output = Answer> + Send,
    ) {
        let Some(id) = self.invoke(image, operation, patience_ms) else { return };
        let calling = doing.boxed();
        let outcome = match patience_ms {
            None => calling.await,
            Some(ms) => self
                .clock()
                .timeout(Duration::from_millis(ms), calling)
                .await
                .unwrap_or(Err(Errno::ETIMEDOUT)),
        };
        self.world.recorder.complete(self.world.now(), id, outcome_of(outcome));
    }

    /// With an image that is not its own, or a snapshot.
    async fn errand(&self, io: &IoCtx, image: &str, operation: Operation) -> Answer {
        let errno = |error: librbd::Error| error.errno();
        let done = match operation {
            Operation::Create { size } => {
                let options = CreateOptions {
                    size,
                    order: u32::from(ORDER),
                    features: self.features,
                    stripe_unit: 0,
                    stripe_count: 0,
                };
                librbd::create(io, image, &options).await
            }
            Operation::Clone { parent, snap } => {
                let parent = self.newest_name(io, name_of(&parent)).await?;
                librbd::clone(io, &parent, &snap, io, image, &CloneOptions::default()).await
            }
            Operation::Remove => {
                librbd::remove(io, image, &self.config, CallOptions::default().progress).await
            }
            other => {
                let options = match &other {
                    Operation::Read { snap, .. } => OpenOptions { read_only: true, snapshot: snap.clone() },
                    _ => OpenOptions::default(),
                };
                let open = self.open_at(io, image, options).await?;
                let done = perform(&open, other).await;
                open.close().await;
                return done;
            }
        };
        done.map(|()| Vec::new()).map_err(errno)
    }
}

/// The tags that were read, or why not.
pub(crate) type Answer = Result<Vec<Option<u64>>, Errno>;

/// As the history has it.
pub(crate) fn outcome_of(answer: Answer) -> Outcome {
    match answer {
        Ok(tags) => Outcome::Ok { tags },
        Err(errno) => Outcome::Error { errno },
    }
}

/// Does what is asked through an open image; one that is to be read at a snapshot is open there.
pub(crate) async fn perform(image: &Image, operation: Operation) -> Answer {
    let options = CallOptions::default;
    let done = match operation {
        Operation::Read { offset, length, .. } => {
            let data = image.read(offset, length).await.map_err(|error| error.errno())?;
            return Ok(tags(&data));
        }
        Operation::Write { offset, length, tag } => image.write(offset, filled(tag, length)).await,
        Operation::Discard { offset, length } => image.discard(offset, length).await,
        Operation::Flush => image.flush().await,
        Operation::SnapCreate { snap } => image.snap_create(&snap, options()).await,
        Operation::SnapRemove { snap } => image.snap_remove(&snap, options()).await,
        Operation::SnapRename { snap, to } => image.snap_rename(&snap, &to).await,
        Operation::SnapPurge => return snap_purge(image).await.map(|()| Vec::new()),
        Operation::SnapProtect { snap } => image.snap_protect(&snap).await,
        Operation::SnapUnprotect { snap } => image.snap_unprotect(&snap).await,
        Operation::SnapRollback { snap } => image.snap_rollback(&snap, options()).await,
        Operation::Resize { size } => image.resize(size, true, options()).await,
        Operation::Flatten => image.flatten(options()).await,
        Operation::Rename { to } => image.rename(name_of(&to), options()).await,
        Operation::Acquire => image.acquire_lock().await,
        Operation::Release => image.release_lock().await,
        other => unreachable!("{other:?} is not done through an open image"),
    };
    done.map(|()| Vec::new()).map_err(|error| error.errno())
}

/// EBUSY when protected ones are left.
async fn snap_purge(image: &Image) -> Result<(), Errno> {
    let snapshots = image.snapshots().await.map_err(|error| error.errno())?;
    let (free, kept): (Vec<_>, Vec<_>) =
        snapshots.into_iter().partition(|snapshot| snapshot.protection == Protection::Unprotected);
    for snapshot in &free {
        let removal = image.snap_remove(&snapshot.name, CallOptions::default());
        removal.await.map_err(|error| error.errno())?;
    }
    if kept.is_empty() { Ok(()) } else { Err(Errno::EBUSY) }
}

/// Blocks full of a tag.
fn filled(tag: u64, length: u64) -> Bytes {
    tag.to_le_bytes().repeat(usize::try_from(length / 8).expect("an image here is small")).into()
}

/// What fills each whole block.
fn tags(bytes: &[u8]) -> Vec<Option<u64>> {
    let tag = |block: &[u8]| {
        let mut words =
            block.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        let first = words.next()?;
        words.all(|word| word == first).then_some(first)
    };
    bytes.chunks_exact(usize::try_from(BLOCK).expect("it is small")).map(tag).collect()
}
