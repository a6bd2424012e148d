//! A client: the machines of `rbd-protocol` as they ship, and in place of librbd's tasks the least that performs their effects in
//! the same order. Everything that the client knows at once is applied at once; what takes time is a question to the OSD.

mod acquiring;
mod calls;
mod effects;
mod io;
mod run;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use errno::Errno;
use rbd_protocol::lock::{self, ExclusiveLock, Purpose};
use rbd_protocol::watcher::{self, ImageWatcher};
use rbd_protocol::{Message, Millis, OpResult, Payload, RequestId, Token};

use crate::ask::{Answer, Ask};
use crate::scenario::{Deed, Scenario};
use crate::shared::{HasNotifies, hash_name, hash_notify};
use acquiring::Acquiring;
pub use calls::{Call, Phase, ends_the_wait, request_id};
use io::Io;
use run::{Origin, Run};

/// Every delay is 1 ms: the search decides which timer comes first.
const DELAY: Millis = Millis(1);
/// Longer than a delay, so that the timers of one client come in their usual order.
const LONG_DELAY: Millis = Millis(2);
/// Longer than all others.
const REQUEST_TIMED_OUT: Millis = Millis(3);

/// What a client knows and does.
#[derive(Clone, Debug, Hash)]
pub struct Client {
    /// Its instance.
    pub gid: u64,
    /// It has not crashed.
    pub is_alive: bool,
    /// Its watch is lost for good.
    pub dead: Option<Errno>,
    /// Its watch stream at the OSD; `None` = its connections are gone.
    pub stream: Option<u64>,
    /// Of its newest watch.
    pub cookie: u64,
    /// A watch is to be had again.
    pub rewatch: Option<Rewatch>,
    /// Questions that have no answer yet, in the order in which they were asked.
    pub asked: Vec<Asked>,
    /// Those of them that are on their way to the OSD.
    pub flying: Vec<AskId>,
    /// Answers on their way to the client.
    pub answers: Vec<(AskId, Answer)>,
    /// What is on its way down the watch stream.
    pub heard: VecDeque<Heard>,
    /// Its notifies that wait at the OSD, and the questions that they are.
    pub notifying: BTreeMap<NotifyId, AskId>,
    /// Acks that the OSD is to have before anything else happens.
    pub acks_out: Vec<(NotifyId, u64, Payload)>,
    /// What its user wants of it.
    pub calls: Vec<Call>,
    /// Why writes wait.
    pub gate: Gate,
    pub(crate) lock: ExclusiveLock,
    watcher: ImageWatcher,
    work: VecDeque<Work>,
    numbers: Count,
    tokens: Count,
    /// Notifies to be acked: the number of each, and the cookie under which it came.
    acks: BTreeMap<Token, (NotifyId, u64)>,
    /// Announcements; the first is on its way, or waits for its acks.
    announcing: VecDeque<(Token, Message)>,
    acquiring: Option<Acquiring>,
    acquired: Option<bool>,
    /// Acquires for writes that wait at the gate: of all up to that number.
    write_acquires: BTreeMap<Token, u64>,
    waiters: u64,
    is_releasing: bool,
    image: Image,
    ios: BTreeMap<AskId, Io>,
    /// Copy-ups by object, with the I/O that waits for each.
    copyups: BTreeMap<u64, Vec<AskId>>,
    run: Option<Run>,
    to_run: VecDeque<Origin>,
}

/// Why block I/O waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    /// This client does not own the lock.
    pub not_owner: bool,
    /// An operation is about to commit.
    pub commit: bool,
}

/// A question that waits for its answer.
#[derive(Clone, Debug, Hash)]
pub struct Asked {
    /// Which.
    pub id: AskId,
    /// What it says.
    pub ask: Ask,
    /// The OSD has carried it out.
    pub is_applied: bool,
    then: Then,
}

/// How a watch is to be had again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rewatch {
    /// The same one, on another stream.
    Reconnect,
    /// Under the newest cookie.
    Register,
}

/// The number of a question, which is also its tid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

impl Hash for AskId {
    fn hash<H: Hasher>(&self, into: &mut H) {
        hash_name(self.0, into);
    }
}

/// The number of a notify at the OSD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotifyId(pub u64);

impl Hash for NotifyId {
    fn hash<H: Hasher>(&self, into: &mut H) {
        hash_notify(self.0, into);
    }
}

/// The next number. How many there were is no state.
#[derive(Clone, Copy, Debug, Default)]
struct Count(u64);

impl Hash for Count {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What comes down a watch stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are those of osd.proto")]
pub enum Heard {
    /// A notify.
    Notification { notify_id: NotifyId, cookie: u64, notifier: u64, message: Message },
    /// The answer to [`Rewatch`].
    Watched { error: Option<Errno> },
    /// The watch is gone.
    Disconnected,
    /// The stream is gone.
    Cut(Errno),
}

/// What is done with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Acquire,
    GiveBack(rbd_protocol::acquire::Outcome),
    CookieSet,
    Unlocked { is_newest: bool },
    RequestLock(Token),
    Notified(Token),
    Refreshed(RequestId),
    Io(AskId),
    CopiedUp(u64),
    Run,
    Call(usize),
    Nothing,
}

/// The image as this client knows it.
#[derive(Clone, Copy, Debug, Hash)]
struct Image {
    has_parent: bool,
    /// Changes with the parent.
    generation: u32,
    is_stale: bool,
}

#[derive(Clone, Debug, Hash)]
enum Work {
    LockEvent(lock::Event),
    LockEffect(lock::Effect),
    WatcherEvent(watcher::Event),
    WatcherEffect(watcher::Effect),
}

impl Client {
    /// That has just opened the image: watched under `cookie` on this stream.
    pub fn new(scenario: &Scenario, index: usize, (gid, stream): (u64, u64), cookie: u64) -> Self {
        let lock = ExclusiveLock::new(lock::Config {
            gid,
            automatic_until_manual_request: true,
            blocklist_on_break_lock: scenario.blocklist,
            retry_delay: DELAY,
            client_notify_timeout: LONG_DELAY,
            lock_hold_max: DELAY,
            seed: 0,
        });
        let watcher = ImageWatcher::new(watcher::Config {
            gid,
            open: 1,
            request_timed_out: REQUEST_TIMED_OUT,
            completed_request_ttl: Millis(u64::MAX),
            retry_delay: DELAY,
            seed: 0,
        });
        let deeds = scenario.deeds.get(index).map_or(&[][..], |deeds| deeds);
        let mut client = Self {
            gid,
            is_alive: true,
            dead: None,
            stream: Some(stream),
            cookie,
            rewatch: None,
            asked: Vec::new(),
            flying: Vec::new(),
            answers: Vec::new(),
            heard: VecDeque::new(),
            notifying: BTreeMap::new(),
            acks_out: Vec::new(),
            calls: deeds.iter().map(|deed| Call::new(*deed)).collect(),
            gate: Gate::default(),
            lock,
            watcher,
            work: VecDeque::new(),
            numbers: Count::default(),
            tokens: Count::default(),
            acks: BTreeMap::new(),
            announcing: VecDeque::new(),
            acquiring: None,
            acquired: None,
            write_acquires: BTreeMap::new(),
            waiters: 0,
            is_releasing: false,
            image: Image { has_parent: true, generation: 0, is_stale: false },
            ios: BTreeMap::new(),
            copyups: BTreeMap::new(),
            run: None,
            to_run: VecDeque::new(),
        };
        client.queue_lock(lock::Event::Init);
        client.queue_watcher(watcher::Event::Registered { handle: cookie });
        client.queue_lock(lock::Event::WatchRegistered { handle: cookie });
        client.settle(scenario);
        client
    }

    /// What the lock's state is called.
    pub fn lock_state(&self) -> lock::State {
        self.lock.state()
    }

    /// It would write if its user wanted it to.
    pub fn lets_writes_through(&self) -> bool {
        self.is_alive && self.dead.is_none() && self.lock.is_owner() && !self.gate.not_owner
    }

    /// The lowest question without an answer: all below are answered.
    pub fn watermark(&self) -> u64 {
        self.asked.first().map_or(self.numbers.0 + 1, |asked| asked.id.0)
    }

    /// A timer is armed that may go off before it is too late for this search.
    pub fn has_timer(&self) -> bool {
        self.next_deadline().is_some()
    }

    fn next_deadline(&self) -> Option<Millis> {
        let deadlines = [self.lock.next_deadline(), self.watcher.next_deadline()];
        deadlines.into_iter().flatten().filter(|deadline| deadline.0 < u64::MAX).min()
    }

    /// The user makes a call.
    pub fn start(&mut self, scenario: &Scenario, call: usize) {
        self.begin_call(call);
        self.settle(scenario);
    }

    /// Time passes to the next timer.
    pub fn time_passes(&mut self, scenario: &Scenario) {
        let Some(now) = self.next_deadline() else { return };
        let effects = self.lock.step(now, lock::Event::Timer);
        self.work.extend(effects.into_iter().map(Work::LockEffect));
        self.lock.move_origin(now);
        let effects = self.watcher.step(now, watcher::Event::Timer);
        self.work.extend(effects.into_iter().map(Work::WatcherEffect));
        self.watcher.move_origin(now);
        self.settle(scenario);
    }

    /// An answer arrives.
    pub fn answered(&mut self, scenario: &Scenario, id: AskId, answer: Answer) {
        let Some(position) = self.asked.iter().position(|asked| asked.id == id) else { return };
        let Asked { ask, then, .. } = self.asked.remove(position);
        self.then(&then, &ask, answer);
        self.settle(scenario);
    }

    /// Something arrives on the watch stream.
    pub fn hears(&mut self, scenario: &Scenario, heard: Heard) {
        match heard {
            Heard::Notification { notify_id, cookie, notifier, message } => {
                let ack = self.next_token();
                self.acks.insert(ack, (notify_id, cookie));
                if let Message::AsyncComplete { id, result: Ok(()) } = &message {
                    self.request_is_done(*id);
                }
                if notifier == self.gid {
                    self.announcement_heard(&message);
                }
                let ownership = self.lock.ownership();
                self.queue_watcher(watcher::Event::Received { message, notifier, ack, ownership });
            }
            Heard::Watched { error: Some(Errno::EBLOCKLISTED) } | Heard::Cut(Errno::EBLOCKLISTED) => {
                self.die(Errno::EBLOCKLISTED);
            }
            Heard::Watched { error: None } => match self.rewatch.take() {
                Some(Rewatch::Register) => {
                    let handle = self.cookie;
                    self.queue_watcher(watcher::Event::Registered { handle });
                    self.queue_lock(lock::Event::WatchRegistered { handle });
                }
                Some(Rewatch::Reconnect) => {
                    self.image.is_stale = true;
                    self.queue_lock(lock::Event::WatchRegistered { handle: self.cookie });
                }
                None => {}
            },
            Heard::Watched { error: Some(_) } => self.register_anew(),
            Heard::Disconnected => {
                self.interrupted();
                self.register_anew();
            }
            Heard::Cut(_) => self.interrupted(),
        }
        self.settle(scenario);
    }

    /// The connections are gone: what was on its way is lost, both ways.
    pub fn cut(&mut self, scenario: &Scenario) {
        self.stream = None;
        self.flying.clear();
        self.answers.clear();
        self.heard.clear();
        self.acks.clear();
        // A call that is no op vector is not sent again.
        let lost = self.asked.iter().filter(|asked| matches!(asked.ask, Ask::Notify(_)));
        let lost: Vec<AskId> = lost.map(|asked| asked.id).collect();
        self.notifying.clear();
        self.interrupted();
        for id in lost {
            self.answered(scenario, id, Answer::Failed(Errno::ETIMEDOUT, None));
        }
        self.settle(scenario);
    }

    /// They are there again: what has no answer is sent again, in its order.
    pub fn reconnect(&mut self, stream: u64) {
        self.stream = Some(stream);
        self.flying = self.asked.iter().map(|asked| asked.id).collect();
        self.rewatch = Some(self.rewatch.unwrap_or(Rewatch::Reconnect));
    }

    /// Nothing of it goes on; what is on its way to the OSD is on its way. Calls that have ended have ended.
    pub fn crash(&mut self, scenario: &Scenario) {
        let mut dead = Self::new(scenario, usize::MAX, (self.gid, 0), 0);
        let Self { asked, flying, calls, .. } = std::mem::replace(self, dead.clone());
        dead.is_alive = false;
        dead.stream = None;
        dead.asked = asked.into_iter().filter(|asked| flying.contains(&asked.id)).collect();
        dead.asked.iter_mut().for_each(|asked| asked.then = Then::Nothing);
        dead.flying = flying;
        dead.calls = calls.into_iter().map(Call::of_dead).collect();
        *self = dead;
    }

    /// Whether a notify is on its way to this client, or waits here for its ack.
    pub fn has_notify(&self, notify_id: NotifyId) -> bool {
        let is_it =
            |heard: &Heard| matches!(heard, Heard::Notification { notify_id: id, .. } if *id == notify_id);
        // A watch that is being had again is sent it again.
        let will_get_it = self.is_alive && (self.stream.is_none() || self.rewatch.is_some());
        will_get_it || self.heard.iter().any(is_it) || self.acks.values().any(|(id, _)| *id == notify_id)
    }

    /// Acks wait to be sent.
    pub fn has_acks(&self) -> bool {
        !self.acks_out.is_empty()
    }

    /// The answer decides nothing by itself: it is the first of two, or nobody waits for it.
    pub fn takes_at_once(&self, id: AskId) -> bool {
        let asked = self.asked.iter().find(|asked| asked.id == id);
        asked.is_some_and(|asked| match &asked.ask {
            Ask::Locker => self.acquiring.as_ref().is_some_and(Acquiring::expects_two),
            Ask::Notify(Message::AcquiredLock(_) | Message::ReleasedLock(_)) => true,
            _ => false,
        })
    }

    /// Nothing is ahead of it, and it tells this client only what it has said itself.
    pub fn hears_at_once(&self, heard: &Heard) -> bool {
        let Heard::Notification { notifier, message, .. } = heard else { return false };
        let is_empty = !matches!(message, Message::Request(_) | Message::AsyncComplete { .. });
        self.heard.is_empty() && *notifier == self.gid && is_empty
    }

    /// The next timer is one of those for which a client waits only when something did not come.
    pub fn has_long_timer(&self) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline > DELAY)
    }

    fn interrupted(&mut self) {
        self.queue_watcher(watcher::Event::Interrupted);
        self.queue_lock(lock::Event::WatchUnregistered);
    }

    /// No cookie names two watches.
    fn register_anew(&mut self) {
        self.cookie += 1;
        self.rewatch = Some(Rewatch::Register);
    }

    fn die(&mut self, errno: Errno) {
        self.dead.get_or_insert(errno);
        self.rewatch = None;
        self.turn_writes_away(u64::MAX, errno);
        if let Some(run) = &mut self.run {
            run.is_cancelled = true;
        }
        self.queue_watcher(watcher::Event::Dead(errno));
        self.queue_lock(lock::Event::Dead(errno));
    }

    fn ask(&mut self, ask: Ask, then: Then) {
        let id = self.next_id();
        if self.stream.is_some() {
            self.flying.push(id);
        }
        self.asked.push(Asked { id, ask, is_applied: false, then });
    }

    fn next_id(&mut self) -> AskId {
        self.numbers.0 += 1;
        AskId(self.numbers.0)
    }

    fn then(&mut self, then: &Then, ask: &Ask, answer: Answer) {
        match *then {
            Then::Acquire => self.acquire_goes_on(answer),
            Then::GiveBack(outcome) => self.queue_lock(lock::Event::AcquireEnded(outcome)),
            Then::CookieSet => {
                let result = op_result(&answer);
                if let Answer::Header { has_parent } = answer {
                    self.install(has_parent);
                }
                self.queue_lock(lock::Event::CookieSet(result));
            }
            Then::Unlocked { is_newest } => self.unlocked(ask, &answer, is_newest),
            Then::RequestLock(send) => {
                let outcome = rbd_protocol::rpc_outcome(&notified(answer));
                self.queue_lock(lock::Event::RequestLockEnded { send, outcome });
            }
            Then::Notified(send) => {
                self.announcement_ended(send);
                self.queue_watcher(watcher::Event::NotifyEnded { send, result: notified(answer) });
            }
            Then::Refreshed(id) => {
                let result = op_result(&answer).map_err(Into::into);
                if let Answer::Header { has_parent } = answer {
                    self.install(has_parent);
                }
                let ownership = self.lock.ownership();
                self.queue_watcher(watcher::Event::RefreshDone { id, result, ownership });
            }
            Then::Io(io) => self.io_goes_on(io, &answer),
            Then::CopiedUp(object) => self.copied_up(object, &answer),
            Then::Run => self.run_goes_on(&answer),
            Then::Call(call) => self.call_goes_on(call, &answer),
            Then::Nothing => {}
        }
    }

    /// Applies what is queued until nothing is left.
    fn settle(&mut self, scenario: &Scenario) {
        loop {
            while let Some(work) = self.work.pop_front() {
                match work {
                    Work::LockEvent(event) => {
                        let effects = self.lock.step(Millis(0), event);
                        self.work_first(effects.into_iter().map(Work::LockEffect));
                    }
                    Work::WatcherEvent(event) => {
                        let effects = self.watcher.step(Millis(0), event);
                        self.work_first(effects.into_iter().map(Work::WatcherEffect));
                    }
                    Work::LockEffect(effect) => self.perform_lock(effect),
                    Work::WatcherEffect(effect) => self.perform_watcher(effect),
                }
            }
            let goes_on = self.acquire_begins(scenario)
                || self.takes_lock_for_writes()
                || self.writes_enter()
                || self.release_goes_on()
                || self.runs_begin()
                || self.commit_begins();
            if !goes_on {
                return;
            }
        }
    }

    fn work_first(&mut self, work: impl DoubleEndedIterator<Item = Work>) {
        work.rev().for_each(|work| self.work.push_front(work));
    }

    fn queue_lock(&mut self, event: lock::Event) {
        self.work.push_back(Work::LockEvent(event));
    }

    fn queue_watcher(&mut self, event: watcher::Event) {
        self.work.push_back(Work::WatcherEvent(event));
    }

    fn next_token(&mut self) -> Token {
        self.tokens.0 += 1;
        Token(self.tokens.0)
    }

    fn install(&mut self, has_parent: bool) {
        self.image.generation += u32::from(self.image.has_parent != has_parent);
        self.image.has_parent = has_parent;
        self.image.is_stale = false;
    }

    /// Asks for the lock when writes wait for it for which nobody has asked.
    fn takes_lock_for_writes(&mut self) -> bool {
        let waiting = self.calls.iter().filter_map(Call::waits_at_gate).max();
        let asked_for = self.write_acquires.values().max().copied().unwrap_or(0);
        let Some(newest) = waiting.filter(|newest| self.gate.not_owner && *newest > asked_for) else {
            return false;
        };
        let token = self.next_token();
        self.write_acquires.insert(token, newest);
        self.queue_lock(lock::Event::Acquire { token, purpose: Purpose::Io });
        true
    }
}

impl HasNotifies for Client {
    fn lowest_notify(&self) -> Option<u64> {
        let heard = self.heard.iter().filter_map(|heard| match heard {
            Heard::Notification { notify_id, .. } => Some(*notify_id),
            _ => None,
        });
        let acks = self.acks.values().map(|(notify_id, _)| *notify_id);
        let all = heard.chain(acks).chain(self.notifying.keys().copied());
        all.min().map(|NotifyId(number)| number)
    }
}

/// What the two kinds of calls are.
impl Deed {
    /// A maintenance operation, which may be forwarded.
    pub(crate) fn is_operation(self) -> bool {
        matches!(self, Self::Flatten | Self::Snapshot)
    }
}

fn op_result(answer: &Answer) -> OpResult {
    match answer {
        Answer::Failed(errno, _) => Err(*errno),
        _ => Ok(()),
    }
}

fn notified(answer: Answer) -> Result<rbd_protocol::NotifyAnswers, Errno> {
    match answer {
        Answer::Notified(answers) => Ok(answers),
        Answer::Failed(errno, _) => Err(errno),
        _ => Err(Errno::EIO),
    }
}
