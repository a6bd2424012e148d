//! What the parts of one open image share: its state, the gate, and the way to its owner task.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use clock::Clock;
use errno::Errno;
use rados::IoCtx;
use rbd_protocol::{ClientId, Token};
use tasks::Tasks;
use tokio::sync::{broadcast, mpsc, watch};

use crate::config::Config;
use crate::copyup::Paused;
use crate::data::DataIo;
use crate::error::{Error, IoError, Result};
use crate::event::ImageEvent;
use crate::features::Features;
use crate::gate::{Arrival, Closed, Gate, Permit, Reason};
use crate::header::{Header, load_state, read_header};
use crate::operations::queue::Queues;
use crate::owner;
use crate::requests::Requests;
use crate::state::ImageState;
use crate::timestamps::Timestamps;

/// One open image. The public handles, the owner task, I/O and operations hold it together.
#[derive(Debug)]
pub(crate) struct OpenImage {
    pub(crate) io: IoCtx,
    pub(crate) name: String,
    pub(crate) id: String,
    /// Name of the header object.
    pub(crate) header: String,
    pub(crate) config: Config,
    pub(crate) read_only: bool,
    /// Counts the image opens of this session: tells two opens of one image apart.
    pub(crate) open_number: u64,
    pub(crate) gate: Gate,
    pub(crate) data: DataIo,
    pub(crate) requests: Requests,
    /// Operations of one type run one after the other.
    pub(crate) queues: Queues,
    pub(crate) events: broadcast::Sender<ImageEvent>,
    /// Everything that goes on for the image beside its callers and its owner task. Closing waits for their end.
    pub(crate) tasks: Tasks,
    /// The exclusive lock as this client holds it; written by the owner task alone.
    pub(crate) held: watch::Sender<Held>,
    /// Of the watch now; 0 = none. Written by the owner task alone.
    pub(crate) watch_handle: AtomicU64,
    /// The snapshot that reads see; 0 = HEAD.
    snapshot: AtomicU64,
    /// While a resize shrinks the image: the size to be. I/O beyond it is refused.
    shrinking: AtomicU64,
    tokens: AtomicU64,
    /// Operations that have left a record.
    recorded: AtomicU64,
    owner: mpsc::UnboundedSender<owner::Event>,
    state: Mutex<Arc<ImageState>>,
    timestamps: Timestamps,
    /// Serialises the making of states.
    installing: tokio::sync::Mutex<()>,
    staleness: Staleness,
    /// Why no call is served any more; set once.
    ended: OnceLock<Error>,
}

/// The exclusive lock as this client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Not held.
    No,
    /// Held; its cookie is being changed.
    Changing,
    /// Held under this cookie.
    Under(String),
}

/// Header updates heard of, and how many of them the state in place has seen.
#[derive(Debug, Default)]
struct Staleness {
    updates: AtomicU64,
    seen: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

/// What an open image is made from.
pub(crate) struct Parts {
    pub(crate) io: IoCtx,
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) read_only: bool,
    pub(crate) snapshot: Option<u64>,
    pub(crate) watch_handle: u64,
    pub(crate) state: Arc<ImageState>,
    pub(crate) timestamps: Timestamps,
    pub(crate) owner: mpsc::UnboundedSender<owner::Event>,
}

/// EROFS for a change of an image with features that this client does not maintain: what they keep of its data would be wrong.
pub(crate) fn check_maintained(image: &str, features: Features) -> Result<()> {
    let unmaintained = features.unmaintained();
    if unmaintained.is_empty() {
        return Ok(());
    }
    let which = unmaintained.join(", ");
    let text = format!("image {image} can only be read: this client does not maintain its features {which}");
    Err(Error::refused(Errno::EROFS, text))
}

/// Events that a slow reader of [`crate::Image::events`] may be behind.
const EVENTS_KEPT: usize = 1024;

impl OpenImage {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { io, name, config, read_only, snapshot, watch_handle, state, timestamps, owner } = parts;
        let open_number = io.rados().next_open_number();
        Self {
            header: crate::names::header(&state.id),
            id: state.id.clone(),
            data: DataIo::new(io.clone(), &config),
            requests: Requests::new(io.rados().gid(), open_number),
            gate: Gate::new(),
            queues: Queues::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            tasks: Tasks::new(io.rados().executor().clone()),
            held: watch::Sender::new(Held::No),
            watch_handle: AtomicU64::new(watch_handle),
            snapshot: AtomicU64::new(snapshot.unwrap_or(0)),
            shrinking: AtomicU64::new(u64::MAX),
            tokens: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            state: Mutex::new(state),
            timestamps,
            installing: tokio::sync::Mutex::default(),
            staleness: Staleness::default(),
            ended: OnceLock::new(),
            io,
            name,
            config,
            read_only,
            open_number,
            owner,
        }
    }

    /// This client instance.
    pub(crate) fn gid(&self) -> u64 {
        self.io.rados().gid()
    }

    /// What its timers go by: the session's.
    pub(crate) fn clock(&self) -> &Clock {
        self.io.rados().clock()
    }

    /// This client as announcements name it.
    pub(crate) fn client(&self) -> ClientId {
        ClientId { gid: self.gid(), handle: self.watch_handle.load(Ordering::Relaxed) }
    }

    /// Hands an event to the owner task; never waits. An image whose task has ended ignores it.
    pub(crate) fn tell(&self, event: owner::Event) {
        let _ended = self.owner.send(event);
    }

    /// Tells those who listen.
    pub(crate) fn report(&self, event: ImageEvent) {
        let _nobody_listens = self.events.send(event);
    }

    /// The state in place.
    pub(crate) fn state(&self) -> Arc<ImageState> {
        self.lock_state().clone()
    }

    fn lock_state(&self) -> MutexGuard<'_, Arc<ImageState>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot that reads see; `None` = HEAD.
    pub(crate) fn snapshot(&self) -> Option<u64> {
        Some(self.snapshot.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// Reads see this snapshot from here on.
    pub(crate) fn set_snapshot(&self, id: Option<u64>) {
        self.snapshot.store(id.unwrap_or(0), Ordering::Release);
    }

    /// Whether writes and operations need the exclusive lock, also those that began before the image was set to a snapshot.
    pub(crate) fn uses_lock(&self) -> bool {
        self.state().features.contains(Features::EXCLUSIVE_LOCK) && !self.read_only
    }

    /// Whether it is open for writing and not at a snapshot.
    pub(crate) fn is_writable(&self) -> bool {
        !self.read_only && self.snapshot().is_none()
    }

    /// EROFS unless the image is open for writing; EBLOCKLISTED, ENOENT or ESHUTDOWN when it has ended.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_alive()?;
        if self.read_only {
            return Err(Error::refused(Errno::EROFS, format!("image {} is open read-only", self.name)));
        }
        if self.snapshot().is_some() {
            return Err(Error::refused(Errno::EROFS, format!("image {} is open at a snapshot", self.name)));
        }
        self.check_maintained()
    }

    /// EROFS if the image has features that this client does not maintain; the error names them.
    pub(crate) fn check_maintained(&self) -> Result<()> {
        check_maintained(&self.name, self.state().features)
    }

    /// EBLOCKLISTED, ENOENT or ESHUTDOWN when the image has ended.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.ended.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// No call is served from here on; only the first reason counts.
    pub(crate) fn end(&self, why: Error) {
        let _earlier_reason = self.ended.set(why);
    }

    /// A permit for one op that writes; the first one that waits makes the owner task take the lock.
    pub(crate) async fn enter(&self) -> Result<Permit> {
        self.enter_by(self.gate.arrive()?).await
    }

    /// A permit for a step of an operation, however many writes wait: such steps are few.
    pub(crate) async fn enter_for_operation(&self) -> Result<Permit> {
        self.enter_by(self.gate.arrive_beyond_limit()?).await
    }

    async fn enter_by(&self, arrival: Arrival) -> Result<Permit> {
        match arrival {
            Arrival::Inside(permit) => Ok(permit),
            Arrival::Waiting(waiting) => {
                if self.gate.is_closed_by(Reason::NotOwner) {
                    self.tell(owner::Event::WriteWaiting);
                }
                waiting.admitted().await
            }
        }
    }

    /// When this returns, nothing that changes data objects is under way, and until the result is dropped nothing of that kind begins
    /// but what its holder does: the gate is closed for `reason` and drained, and so are copy-ups that reads began. Whoever commits what I/O
    /// goes by (its size, its snapshots, its parent) holds it from before the commit until the state is in place: no I/O spans two.
    pub(crate) async fn quiet(&self, reason: Reason) -> Quiet {
        let gate = self.gate.closed_and_drained(reason).await;
        Quiet { _copyups: self.data.pause_copyups().await, _gate: gate }
    }

    /// Refuses I/O beyond `size`, and keeps copy-ups from bringing trimmed data back, until the result is dropped.
    pub(crate) fn shrinking_to(&self, size: u64) -> Shrinking<'_> {
        self.shrinking.store(size, Ordering::Release);
        self.data.set_shrinking_to(Some(size));
        Shrinking { image: self }
    }

    /// EINVAL for a change that reaches beyond the size to which the image is being shrunk.
    pub(crate) fn check_within(&self, offset: u64, length: u64) -> Result<()> {
        let end = self.shrinking.load(Ordering::Acquire);
        if offset.checked_add(length).is_some_and(|wanted| wanted <= end) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{length} bytes at {offset}: image {} is being shrunk to {end} bytes",
            self.name
        )))
    }

    /// Names a caller of the owner task.
    pub(crate) fn next_token(&self) -> Token {
        Token(self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// An operation that leaves a record has ended; how many have.
    pub(crate) fn count_recorded(&self) -> u64 {
        self.recorded.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A header update was heard of: the state in place may be out of date.
    pub(crate) fn mark_stale(&self) {
        self.staleness.updates.fetch_add(1, Ordering::AcqRel);
    }

    /// Reads the header when an update was heard of since it was read. Calls share one run; an update that arrives while it
    /// runs causes one more.
    pub(crate) async fn refresh_if_stale(&self) -> Result<()> {
        let Staleness { updates, seen, turn } = &self.staleness;
        let wanted = updates.load(Ordering::Acquire);
        if seen.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let _turn = turn.lock().await;
        if seen.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let covered = updates.load(Ordering::Acquire);
        let header = read_header(&self.io, &self.id).await?;
        self.install(header).await?;
        seen.fetch_max(covered, Ordering::AcqRel);
        Ok(())
    }

    /// Reads the header in any case.
    pub(crate) async fn refresh(&self) -> Result<()> {
        self.mark_stale();
        self.refresh_if_stale().await
    }

    /// Puts the state of a header in place, unless the one in place was read later or says the same. I/O under way is superseded only
    /// by a state in which HEAD has another part in the parent.
    pub(crate) async fn install(&self, header: Header) -> Result<()> {
        self.timestamps.heard(self.clock().now(), &header);
        let _turn = self.installing.lock().await;
        let previous = self.state();
        if header.version < previous.header_version {
            return Ok(());
        }
        let state = load_state(&self.io, &self.id, header, Some(&previous)).await?;
        if state.header_version == previous.header_version && state.has_same_parent(&previous) {
            return Ok(());
        }
        let mut place = self.lock_state();
        if !state.has_same_head_parent(&previous) {
            self.data.supersede(state.generation);
        }
        *place = state;
        Ok(())
    }

    /// Puts the state of a header in place that was read by an op vector which has changed it. That has happened whatever
    /// becomes of the state, which needs the parent's header too: the next I/O reads the header before it starts, and copy-ups
    /// under the state in place stand back.
    pub(crate) async fn install_or_mark_stale(&self, header: Header) {
        let version = header.version;
        if let Err(error) = self.install(header).await {
            tracing::warn!(image = self.name, %error, "the state after a change of the header could not be loaded");
            self.mark_stale();
            let _turn = self.installing.lock().await;
            // Unless somebody else has read that header meanwhile: no newer state than his would follow.
            if self.state().header_version < version {
                self.data.supersede(self.state().generation + 1);
            }
        }
    }

    /// A user has read the image.
    pub(crate) fn was_read(&self) {
        if self.check_maintained().is_err() {
            return;
        }
        self.timestamps.access.touch(&self.io, &self.header, self.config.rbd_atime_update_interval);
    }

    /// A user has written to the image. To be said while the permit lasts: not behind the end of the lock.
    pub(crate) fn was_written(&self) {
        self.timestamps.modify.touch(&self.io, &self.header, self.config.rbd_mtime_update_interval);
    }

    /// Runs I/O on the current state, again on a newer one when it turns out to be out of date. Superseded I/O has its newer
    /// state in place already, or is to read the header that was marked stale; only I/O that lost its parent has to look for one.
    pub(crate) async fn on_state<T, F, Fut>(&self, io: F) -> Result<T>
    where
        F: Fn(Arc<ImageState>) -> Fut,
        Fut: Future<Output = Result<T, IoError>>,
    {
        loop {
            self.refresh_if_stale().await?;
            let used = self.state();
            let error = match io(used.clone()).await {
                Ok(done) => return Ok(done),
                Err(IoError::Failed(error)) => return Err(error),
                Err(error) => error,
            };
            match error {
                IoError::Superseded => self.refresh_if_stale().await?,
                _ => self.refresh().await?,
            }
            if !error.redo_on(&used, &self.state()) {
                return Err(error.into());
            }
        }
    }
}

/// An image that is at rest for a commit.
#[derive(Debug)]
pub(crate) struct Quiet {
    _copyups: Paused,
    _gate: Closed,
}

/// An image that is being shrunk.
#[derive(Debug)]
pub(crate) struct Shrinking<'a> {
    image: &'a OpenImage,
}

impl Drop for Shrinking<'_> {
    fn drop(&mut self) {
        self.image.shrinking.store(u64::MAX, Ordering::Release);
        self.image.data.set_shrinking_to(None);
    }
}

#[cfg(test)]
mod tests;
