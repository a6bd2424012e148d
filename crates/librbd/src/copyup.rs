//! Copy-up: a clone's missing object is created with the parent's data, at most once per object at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1 as wire;
use rados::{IoCtx, ObjectOp};
use tokio::sync::watch;

use crate::error::{Error, IoError};
use crate::names;
use crate::object_io::{Detail, ReadOutcome, Window, parent_data};
use crate::state::ImageState;
use crate::striping::Extent;

/// How a copy-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copyup {
    /// The object exists: with the parent's data, or as somebody else made it in the meantime.
    Copied,
    /// The parent has only zeros: nothing was written.
    Hole,
    /// The parent has no part in this object.
    NoParent,
}

type Ended = watch::Receiver<Option<Result<Copyup, IoError>>>;

/// The copy-ups of one open image. Each is a task of the image: it ends also when the I/O that needed it went away.
#[derive(Debug)]
pub(crate) struct Copyups {
    window: Window,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By object number; a task enters itself here before it starts and leaves before it reports.
    running: BTreeMap<u64, Ended>,
    /// Size that the image is shrinking to: set by resize before it trims, cleared when the state has the new size.
    shrinking_to: Option<u64>,
    /// Nobody else changes the image: reads may start copy-ups, and the parent is attached as long as the state says so.
    is_sole_writer: bool,
    /// How many keep reads from starting copy-ups: see [`Paused`].
    pauses: usize,
    /// In states of a lower generation HEAD has another part in the parent.
    generation: u64,
}

/// Keeps reads from starting copy-ups.
#[derive(Debug)]
pub(crate) struct Paused(Arc<Copyups>);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.table().pauses -= 1;
    }
}

impl Copyups {
    pub(crate) fn new(window: Window) -> Arc<Self> {
        Arc::new(Self { window, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies an object up, or joins the copy-up of it that runs, and waits for its end. Superseded: HEAD has another part in the parent
    /// by now, so that the object may be missing because it was discarded since; nothing was written.
    pub(crate) async fn run(
        self: &Arc<Self>,
        io: &IoCtx,
        state: &Arc<ImageState>,
        object_no: u64,
    ) -> Result<Copyup, IoError> {
        loop {
            self.check_current(state)?;
            let ended = self.start(&mut self.table(), io, state, object_no);
            match wait(ended).await {
                // That of the I/O which was joined; the own state may be a newer one.
                Err(IoError::Superseded) => {}
                result => return result,
            }
        }
    }

    fn check_current(&self, state: &ImageState) -> Result<(), IoError> {
        if self.is_superseded(state) && !planted::is(planted::Mistake::CommitUnderIo) {
            return Err(IoError::Superseded);
        }
        Ok(())
    }

    /// Copy-on-read: begins a copy-up that nobody waits for, if reads may do so and the state is the current one.
    pub(crate) fn run_on_read(self: &Arc<Self>, io: &IoCtx, state: &Arc<ImageState>, object_no: u64) {
        let mut table = self.table();
        if table.is_sole_writer && table.pauses == 0 && state.generation >= table.generation {
            drop(self.start(&mut table, io, state, object_no));
        }
    }

    fn start(
        self: &Arc<Self>,
        table: &mut Table,
        io: &IoCtx,
        state: &Arc<ImageState>,
        object_no: u64,
    ) -> Ended {
        if let Some(ended) = table.running.get(&object_no) {
            return ended.clone();
        }
        let (report, ended) = watch::channel(None);
        table.running.insert(object_no, ended.clone());
        let part = part_of(state, object_no, table.shrinking_to);
        let (copyups, io, state) = (self.clone(), io.clone(), state.clone());
        let executor = io.rados().executor().clone();
        executor.spawn(async move {
            let entry = Entry { copyups: &copyups, object_no };
            let result = copyups.copy_up(&io, &state, object_no, part).await;
            drop(entry);
            report.send_replace(Some(result));
        });
        ended
    }

    /// Returns when no copy-up of this object runs that ran when it was called.
    pub(crate) async fn wait_for(&self, object_no: u64) {
        let running = self.table().running.get(&object_no).cloned();
        if let Some(ended) = running {
            drop(wait(ended).await);
        }
    }

    /// Returns when no copy-up runs that ran when it was called.
    pub(crate) async fn drain(&self) {
        let running: Vec<_> = self.table().running.values().cloned().collect();
        for ended in running {
            drop(wait(ended).await);
        }
    }

    /// Reads start no copy-ups until the result is dropped, and those that they started have ended when this returns.
    pub(crate) async fn paused(self: &Arc<Self>) -> Paused {
        self.table().pauses += 1;
        let paused = Paused(self.clone());
        self.drain().await;
        paused
    }

    pub(crate) fn set_sole_writer(&self, is_sole_writer: bool) {
        self.table().is_sole_writer = is_sole_writer;
    }

    pub(crate) fn is_sole_writer(&self) -> bool {
        self.table().is_sole_writer
    }

    pub(crate) fn set_shrinking_to(&self, size: Option<u64>) {
        self.table().shrinking_to = size;
    }

    pub(crate) fn supersede(&self, generation: u64) {
        let mut table = self.table();
        table.generation = table.generation.max(generation);
    }

    pub(crate) fn is_superseded(&self, state: &ImageState) -> bool {
        state.generation < self.table().generation
    }

    async fn copy_up(
        &self,
        io: &IoCtx,
        state: &ImageState,
        object_no: u64,
        part: u64,
    ) -> Result<Copyup, IoError> {
        if part == 0 {
            return Ok(Copyup::NoParent);
        }
        let whole = Extent { offset: 0, length: part };
        let data = parent_data(state, object_no, whole, Detail::Sparse, &self.window).await?;
        self.check_current(state)?;
        let mut extents: Vec<_> =
            data.into_iter().filter(|(_, data)| data.iter().any(|byte| *byte != 0)).collect();
        if extents.is_empty() {
            return Ok(Copyup::Hole);
        }
        for (offset, data) in &mut extents {
            let here = state.layout.objects(Extent { offset: *offset, length: data.len() as u64 });
            debug_assert!(
                here.len() == 1 && here[0].object_no == object_no,
                "parent data of one object stays in it"
            );
            *offset = here[0].offset;
        }
        extents.sort_by_key(|(offset, _)| *offset);
        let name = names::data(&state.object_prefix, object_no);
        tracing::trace!(object = name, "copying up");
        let created = create(io, &name, extents, &self.window).await;
        created.map_err(Error::osd(format!("copy up {name}")))?;
        Ok(Copyup::Copied)
    }
}

/// Of a copy-up in the table of those that run; leaves it with its task, also when that panics.
struct Entry<'a> {
    copyups: &'a Copyups,
    object_no: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.copyups.table().running.remove(&self.object_no);
    }
}

async fn wait(mut ended: Ended) -> Result<Copyup, IoError> {
    let result = ended.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
    // The reporting half is dropped early when its task panics, or when the runtime shuts down and nobody waits any more.
    result
        .unwrap_or_else(|| Err(Error::refused(Errno::EIO, "copy-up: its task ended without a result").into()))
}

/// Bytes at the object's start that the parent may have. While an image without snapshots shrinks, the smaller size counts,
/// so that trimmed data does not come back; with snapshots the object is copied as a whole, because trim leaves it in place
/// for them and cuts it afterwards.
fn part_of(state: &ImageState, object_no: u64, shrinking_to: Option<u64>) -> u64 {
    let bound = shrinking_to.filter(|_| state.snapshots.is_empty()).unwrap_or(u64::MAX);
    state.layout.object_bytes(object_no, state.head_overlap().min(bound))
}

/// Creates the object with an *empty* snap context, so that it looks as if it had existed before all snapshots: they see the
/// parent's data in it. The class writes nothing when the object exists, so newer data is never overwritten.
async fn create(
    io: &IoCtx,
    name: &str,
    extents: Vec<(u64, Bytes)>,
    window: &Window,
) -> Result<(), rados::Error> {
    let message = wire::SparseCopyup {
        extents: extents
            .iter()
            .map(|(offset, data)| wire::CopyupExtent { offset: *offset, data: data.clone() })
            .collect(),
    };
    let result = match &extents[..] {
        [(0, data)] => window.operate(io, name, plain(data.clone())).await,
        _ => match window.operate(io, name, ObjectOp::new().exec("rbd", "sparse_copyup", &message)).await {
            Err(error) if error.errno() == Errno::EOPNOTSUPP => {
                let end = extents.last().map_or(0, |(offset, data)| offset + data.len() as u64);
                let whole = ReadOutcome { extents, missing: Vec::new() }.assemble(0, end);
                window.operate(io, name, plain(whole)).await
            }
            result => result,
        },
    };
    result.map(drop)
}

fn plain(data: Bytes) -> ObjectOp {
    ObjectOp::new().exec("rbd", "copyup", &wire::Copyup { data })
}
