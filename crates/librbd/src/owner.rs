//! The owner task of an open image: the only place that changes its lock and its watcher.
//!
//! Events come from callers, from the watch, from timers and from the ends of effects. Each is applied at once to the
//! machines of `rbd-protocol`; their effects are performed by tasks of their own ([`effects`]) and come back as events. The
//! task awaits nothing but its mailbox, its watch and its timer, so it can never wait for itself.

mod announcements;
mod close;
mod effects;
mod forwarded;
mod panicked;
mod running;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clock::Clock;
use errno::Errno;
use futures_util::FutureExt;
use rados::{Ack, Watch, WatchEvent};
use rbd_protocol::lock::{self, ExclusiveLock, Purpose, State};
use rbd_protocol::watcher::{self, ImageWatcher};
use rbd_protocol::{ClientId, Ended, Message, Millis, OpOutcome, OpResult, Request, RequestId, Token};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::event::ImageEvent;
use crate::features::Features;
use crate::gate::Reason;
use crate::header::Header;
use crate::opened::{Held, OpenImage};
use crate::wire;
use announcements::Announcements;
pub(crate) use effects::notify;
use running::Operations;
pub(crate) use running::Running;

/// What an owner task is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A write waits at the gate for the lock.
    WriteWaiting,
    /// A caller wants something of the lock.
    Lock { ask: Ask, done: oneshot::Sender<Answer> },
    /// An operation wants to run. `None`: this client may not run it (any more).
    Admit { attempt: u32, cancelled: CancellationToken, done: oneshot::Sender<Option<Running>> },
    /// An admitted operation has ended.
    OperationEnded(Token),
    /// Forward this to the owner; what comes of it goes to `to`.
    Forward { token: Token, request: Request, to: mpsc::UnboundedSender<Forwarded> },
    /// The end of an acquire, and what came with the lock.
    AcquireEnded { outcome: rbd_protocol::acquire::Outcome, acquired: Option<Acquired> },
    /// The end of another effect of the lock.
    ToLock(lock::Event),
    /// The end of an effect of the watcher, or a caller's word to it.
    ToWatcher(watcher::Event),
    /// The end of a refresh for a forwarded request.
    RefreshEnded { id: RequestId, result: Ended },
    /// The image is closed, or its last handle was dropped (then nobody waits).
    Close { done: oneshot::Sender<()> },
    /// Everything that closing waits for has ended.
    Stop,
    /// A task whose end the machines wait for has panicked.
    Panicked(Panic),
}

/// What a task panicked with.
type Panic = Box<dyn Any + Send>;

/// What the op vector that takes the lock reads beside.
#[derive(Clone, Debug)]
pub(crate) struct Acquired {
    pub(crate) header: Header,
    /// Former owners left records behind that the new one looks at.
    pub(crate) has_leftovers: bool,
}

/// What a caller wants of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Take it if it is free.
    Try,
    /// Take it, ask its owner for it, wait.
    Acquire(Purpose),
    /// Give it away.
    Release,
}

/// How that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) result: OpResult,
    pub(crate) is_owner: bool,
}

/// What comes of a forwarded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// The owner accepted it.
    Placed(ClientId),
    /// Further than before.
    Progress { offset: u64, total: u64 },
    /// The attempt has ended; the last one.
    Ended(OpOutcome),
}

/// What is still to be done for the event at hand, in order.
#[derive(Debug)]
enum Work {
    LockEvent(lock::Event),
    LockEffect(lock::Effect),
    WatcherEvent(watcher::Event),
    WatcherEffect(watcher::Effect),
}

struct Owner {
    image: Arc<OpenImage>,
    /// `None`: the image has no exclusive lock, or is open read-only.
    lock: Option<ExclusiveLock>,
    watcher: ImageWatcher,
    /// Time 0 of the machines.
    epoch: Instant,
    work: VecDeque<Work>,
    tokens: u64,
    /// Who waits for the lock.
    callers: BTreeMap<Token, oneshot::Sender<Answer>>,
    /// Acquires on behalf of writes that wait at the gate: of all up to that number.
    write_acquires: BTreeMap<Token, u64>,
    /// Read with the lock, until it is put in place.
    acquired: Option<Acquired>,
    acks: BTreeMap<Token, Ack>,
    forwards: BTreeMap<Token, mpsc::UnboundedSender<Forwarded>>,
    operations: Operations,
    announcements: Announcements,
    closing: Option<close::Closing>,
}

/// Starts the owner task of an image that is watched and has a state.
pub(crate) fn spawn(image: Arc<OpenImage>, mut watch: Watch, mut mailbox: mpsc::UnboundedReceiver<Event>) {
    let executor = image.tasks.executor().clone();
    let mut owner = Owner::new(image);
    executor.spawn(async move {
        // What is left of the owner is only asked what it may hold.
        let run = AssertUnwindSafe(owner.run(&mut watch, &mut mailbox)).catch_unwind().await;
        match run.and_then(|ended| ended) {
            Ok(()) => owner.stop(watch).await,
            Err(panic) => owner.give_everything_back(panic, watch, mailbox).await,
        }
    });
}

impl Owner {
    fn new(image: Arc<OpenImage>) -> Self {
        let has_lock = image.state().features.contains(Features::EXCLUSIVE_LOCK) && !image.read_only;
        let lock = has_lock.then(|| ExclusiveLock::new(lock_config(&image)));
        let watcher = ImageWatcher::new(watcher_config(&image));
        let handle = image.watch_handle.load(Ordering::Relaxed);
        image.data.set_sole_writer(!has_lock && !image.read_only);
        let epoch = image.clock().now();
        let mut owner = Self {
            image,
            lock,
            watcher,
            epoch,
            work: VecDeque::new(),
            tokens: 0,
            callers: BTreeMap::new(),
            write_acquires: BTreeMap::new(),
            acquired: None,
            acks: BTreeMap::new(),
            forwards: BTreeMap::new(),
            operations: Operations::default(),
            announcements: Announcements::new(),
            closing: None,
        };
        owner.work.push_back(Work::LockEvent(lock::Event::Init));
        owner.work.push_back(Work::WatcherEvent(watcher::Event::Registered { handle }));
        owner.work.push_back(Work::LockEvent(lock::Event::WatchRegistered { handle }));
        owner.settle();
        owner
    }

    /// Until the image is closed. The error: a task has panicked.
    async fn run(
        &mut self,
        watch: &mut Watch,
        mailbox: &mut mpsc::UnboundedReceiver<Event>,
    ) -> Result<(), Panic> {
        let mut is_lost = false;
        let clock = self.image.clock().clone();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                Some(event) = mailbox.recv() => match event {
                    Event::Stop => return Ok(()),
                    Event::Panicked(panic) => return Err(panic),
                    event => self.apply(event),
                },
                event = watch.next(), if !is_lost => {
                    is_lost = matches!(event, WatchEvent::Lost(_));
                    self.watched(event, watch.handle());
                }
                () = sleep_until(&clock, deadline) => self.time_has_come(),
            }
            self.settle();
        }
    }

    /// The last step.
    async fn stop(mut self, watch: Watch) {
        self.image.watch_handle.store(0, Ordering::Relaxed);
        if let Err(error) = watch.unwatch().await {
            tracing::debug!(image = self.image.name, %error, "the watch was gone before the image was closed");
        }
        self.closing.take().into_iter().for_each(close::Closing::done);
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::WriteWaiting | Event::Stop | Event::Panicked(_) => {}
            Event::Lock { ask, done } => self.ask_lock(ask, done),
            Event::Admit { attempt, cancelled, done } => self.admit(attempt, cancelled, done),
            Event::OperationEnded(operation) => {
                self.operations.ended(operation);
                self.queue_lock(lock::Event::OperationEnded { operation });
            }
            Event::Forward { token, request, to } => {
                self.forwards.insert(token, to);
                self.queue_watcher(watcher::Event::SendRequest { token, request });
            }
            Event::AcquireEnded { outcome, acquired } => {
                self.acquired = acquired;
                self.queue_lock(lock::Event::AcquireEnded(outcome));
            }
            Event::ToLock(event) => self.queue_lock(event),
            Event::ToWatcher(event) => {
                if let watcher::Event::Forget { token } = &event {
                    self.forwards.remove(token);
                }
                self.queue_watcher(event);
            }
            Event::RefreshEnded { id, result } => {
                let ownership = self.ownership();
                self.queue_watcher(watcher::Event::RefreshDone { id, result, ownership });
            }
            Event::Close { done } => self.close(done),
        }
    }

    fn ask_lock(&mut self, ask: Ask, done: oneshot::Sender<Answer>) {
        if self.lock.is_none() {
            let _gone = done.send(Answer { result: Ok(()), is_owner: false });
            return;
        }
        let token = self.next_token();
        self.callers.insert(token, done);
        self.queue_lock(match ask {
            Ask::Try => lock::Event::TryAcquire { token },
            Ask::Acquire(purpose) => lock::Event::Acquire { token, purpose },
            Ask::Release => lock::Event::Release { token },
        });
    }

    /// Ownership is looked at here, and again by every commit.
    fn admit(&mut self, attempt: u32, cancelled: CancellationToken, done: oneshot::Sender<Option<Running>>) {
        let may_run = match &self.lock {
            Some(lock) => lock.may_accept_requests(),
            None => self.closing.is_none(),
        };
        if !may_run {
            let _gone = done.send(None);
            return;
        }
        let operation = self.next_token();
        self.operations.started(operation, cancelled.clone());
        self.queue_lock(lock::Event::OperationStarted { operation, attempt });
        // A caller that went away ends the operation here, by dropping it.
        let _gone = done.send(Some(Running::new(self.image.clone(), operation, cancelled)));
    }

    fn watched(&mut self, event: WatchEvent, handle: u64) {
        match event {
            WatchEvent::Notify(notification) => {
                let ack = self.next_token();
                self.acks.insert(ack, notification.ack);
                let message = wire::decode_message(notification.payload);
                let (notifier, ownership) = (notification.notifier_gid, self.ownership());
                if let Message::AsyncComplete { id, result: Ok(()) } = &message {
                    self.image.requests.done(*id);
                }
                if notifier == self.image.gid() {
                    self.announcements.heard(&message);
                }
                self.queue_watcher(watcher::Event::Received { message, notifier, ack, ownership });
            }
            WatchEvent::Interrupted => {
                self.queue_watcher(watcher::Event::Interrupted);
                self.queue_lock(lock::Event::WatchUnregistered);
                self.report_watch("interrupted", handle, None);
            }
            WatchEvent::Resumed => {
                // A notify that timed out meanwhile does not come again: it may have been a HeaderUpdate.
                self.image.mark_stale();
                self.queue_lock(lock::Event::WatchRegistered { handle });
                self.report_watch("resumed", handle, None);
            }
            WatchEvent::Reregistered { new, .. } => {
                self.image.watch_handle.store(new, Ordering::Relaxed);
                self.queue_watcher(watcher::Event::Registered { handle: new });
                self.queue_lock(lock::Event::WatchRegistered { handle: new });
                self.report_watch("reregistered", new, None);
            }
            WatchEvent::Lost(cause) => self.die(cause.errno(), &cause.to_string()),
        }
    }

    /// The watch is lost for good: the image is dead until it is opened again.
    fn die(&mut self, errno: Errno, cause: &str) {
        self.end(errno, cause);
        self.queue_watcher(watcher::Event::Dead(errno));
        self.queue_lock(lock::Event::Dead(errno));
        self.report_watch("lost", 0, Some(errno));
    }

    /// No call is served from here on, and those that wait get an answer.
    fn end(&self, errno: Errno, cause: &str) {
        let text =
            format!("image {} can no longer be used and must be opened again: {cause}", self.image.name);
        let error = Error::refused(errno, text);
        self.image.end(error.clone());
        self.image.gate.fail(&error);
        self.operations.cancel_all();
    }

    fn report_watch(&self, state: &'static str, handle: u64, error: Option<Errno>) {
        self.image.report(ImageEvent::WatchState { state, handle, error });
    }

    fn time_has_come(&mut self) {
        self.queue_lock(lock::Event::Timer);
        self.queue_watcher(watcher::Event::Timer);
    }

    /// Applies what is queued until nothing is left, and lets the outside see the outcome.
    fn settle(&mut self) {
        loop {
            while let Some(work) = self.work.pop_front() {
                let now = self.now();
                match work {
                    Work::LockEvent(event) => {
                        let effects = self.lock.as_mut().map_or_else(Vec::new, |lock| lock.step(now, event));
                        self.work_first(effects.into_iter().map(Work::LockEffect));
                    }
                    Work::WatcherEvent(event) => {
                        let effects = self.watcher.step(now, event);
                        self.work_first(effects.into_iter().map(Work::WatcherEffect));
                    }
                    Work::LockEffect(effect) => self.perform_lock(effect),
                    Work::WatcherEffect(effect) => self.perform_watcher(effect),
                }
            }
            self.show_lock();
            if !self.takes_lock_for_writes() {
                return;
            }
        }
    }

    /// Puts work before all other work, in its order.
    fn work_first(&mut self, work: impl DoubleEndedIterator<Item = Work>) {
        work.rev().for_each(|work| self.work.push_front(work));
    }

    /// Asks for the lock when writes wait for it for which nobody has asked: what those before are answered is not for them.
    /// Also finds those that came while it was released.
    fn takes_lock_for_writes(&mut self) -> bool {
        let gate = &self.image.gate;
        let newest = gate.newest_waiting().filter(|_| gate.is_closed_by(Reason::NotOwner));
        let asked_for = self.write_acquires.values().max().copied().unwrap_or(0);
        let Some(newest) = newest.filter(|newest| *newest > asked_for) else { return false };
        let token = self.next_token();
        self.write_acquires.insert(token, newest);
        self.queue_lock(lock::Event::Acquire { token, purpose: Purpose::Io });
        true
    }

    fn show_lock(&mut self) {
        let Some(lock) = &self.lock else { return };
        let held = match (lock.state(), lock.held_handle()) {
            (State::Reacquiring, _) => Held::Changing,
            (_, Some(handle)) => Held::Under(rbd_protocol::locker::encode_cookie(handle)),
            (_, None) => Held::No,
        };
        self.image.held.send_if_modified(|shown| std::mem::replace(shown, held.clone()) != held);
    }

    fn ownership(&self) -> lock::Ownership {
        self.lock.as_ref().map_or(lock::Ownership::NotOwner, ExclusiveLock::ownership)
    }

    fn queue_lock(&mut self, event: lock::Event) {
        self.work.push_back(Work::LockEvent(event));
    }

    fn queue_watcher(&mut self, event: watcher::Event) {
        self.work.push_back(Work::WatcherEvent(event));
    }

    fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn now(&self) -> Millis {
        millis(self.image.clock().now() - self.epoch)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let lock = self.lock.as_ref().and_then(ExclusiveLock::next_deadline);
        let deadline = [lock, self.watcher.next_deadline()].into_iter().flatten().min()?;
        // A deadline further away than the clock reaches is never.
        self.epoch.checked_add(Duration::from_millis(deadline.0))
    }
}

async fn sleep_until(clock: &Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Whole milliseconds, as the machines count.
pub(crate) fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn lock_config(image: &OpenImage) -> lock::Config {
    let config = &image.config;
    lock::Config {
        gid: image.gid(),
        automatic_until_manual_request: config.rbd_auto_exclusive_lock_until_manual_request,
        blocklist_on_break_lock: config.rbd_blocklist_on_break_lock,
        retry_delay: millis(config.retry_delay),
        client_notify_timeout: millis(config.client_notify_timeout),
        lock_hold_max: millis(config.rbd_lock_hold_max),
        seed: seed(image),
    }
}

fn watcher_config(image: &OpenImage) -> watcher::Config {
    let config = &image.config;
    watcher::Config {
        gid: image.gid(),
        open: image.open_number,
        request_timed_out: millis(config.rbd_request_timed_out_seconds),
        completed_request_ttl: millis(config.completed_request_ttl),
        retry_delay: millis(config.retry_delay),
        seed: seed(image),
    }
}

/// Of jitter: differs between the clients of an image, and is the same in a repeated run.
pub(crate) fn seed(image: &OpenImage) -> u64 {
    image.gid() << 16 ^ image.open_number
}
