//! The commands of the scripts: one bench with each machine, and a clock that the script sets.

use rbd_protocol::acquire::{self, AcquireRequest};
use rbd_protocol::break_lock::{self, BreakRequest};
use rbd_protocol::lock::{self, ExclusiveLock, Ownership, Purpose};
use rbd_protocol::locker::get_locker;
use rbd_protocol::watcher::{self, ImageWatcher};
use rbd_protocol::{Failure, Message, Millis, RpcOutcome, Token};

use crate::print;
use crate::words::Words;

#[derive(Default)]
pub(crate) struct Bench {
    now: Millis,
    lock: Option<ExclusiveLock>,
    watcher: Option<ImageWatcher>,
    acquire: Option<AcquireRequest>,
    breaking: Option<BreakRequest>,
}

impl Bench {
    /// Performs one command; what the machine wants done, in words.
    pub(crate) fn run(&mut self, line: &str) -> Vec<String> {
        let mut words = Words::new(line);
        match words.next() {
            "at" => {
                self.now = Millis(words.number());
                Vec::new()
            }
            "lock" => self.run_lock(&mut words),
            "watcher" => self.run_watcher(&mut words),
            "acquire" => vec![print::acquire(&self.run_acquire(&mut words))],
            "break" => vec![print::breaking(&self.run_break(&mut words))],
            _ => words.wrong("at, lock, watcher, acquire or break"),
        }
    }

    fn run_lock(&mut self, words: &mut Words<'_>) -> Vec<String> {
        if words.flag("open") {
            return self.open_lock(words);
        }
        let lock = self.lock.as_mut().expect("`lock open` comes first");
        if words.flag("show") {
            return vec![print::lock_state(lock)];
        }
        let event = lock_event(words);
        lock.step(self.now, event).iter().map(print::lock).collect()
    }

    /// `lock open HANDLE|unregistered [standard] [no-fencing]`: as client 1, UNLOCKED.
    fn open_lock(&mut self, words: &mut Words<'_>) -> Vec<String> {
        let handle = if words.flag("unregistered") { None } else { Some(words.number()) };
        let mut lock = ExclusiveLock::new(lock::Config {
            gid: 1,
            automatic_until_manual_request: !words.flag("standard"),
            blocklist_on_break_lock: !words.flag("no-fencing"),
            retry_delay: Millis(1_000),
            client_notify_timeout: Millis(10_000),
            lock_hold_max: Millis(1_000),
            seed: 1,
        });
        let start = [lock::Event::Init, lock::Event::Initialized];
        let events = start.into_iter().chain(handle.map(|handle| lock::Event::WatchRegistered { handle }));
        let effects: Vec<_> = events.flat_map(|event| lock.step(self.now, event)).collect();
        self.lock = Some(lock);
        effects.iter().map(print::lock).collect()
    }

    fn run_watcher(&mut self, words: &mut Words<'_>) -> Vec<String> {
        if words.flag("open") {
            let handle = words.number();
            let open = words.try_next().map_or(1, |open| open.parse().expect("the number of the open"));
            let mut watcher = ImageWatcher::new(watcher::Config {
                gid: 1,
                open,
                request_timed_out: Millis(30_000),
                completed_request_ttl: Millis(600_000),
                retry_delay: Millis(1_000),
                seed: 1,
            });
            let effects = watcher.step(self.now, watcher::Event::Registered { handle });
            self.watcher = Some(watcher);
            return effects.iter().map(print::watcher).collect();
        }
        let watcher = self.watcher.as_mut().expect("`watcher open` comes first");
        if words.flag("show") {
            return vec![print::watcher_state(watcher)];
        }
        let event = watcher_event(words);
        watcher.step(self.now, event).iter().map(print::watcher).collect()
    }

    /// `acquire start [no-fencing]`: as client 1 with watch 5.
    fn run_acquire(&mut self, words: &mut Words<'_>) -> acquire::Step {
        if words.flag("start") {
            let mut request = AcquireRequest::new(1, 5, !words.flag("no-fencing"));
            let step = request.start();
            self.acquire = Some(request);
            return step;
        }
        let event = match words.next() {
            "locked" => acquire::Event::Locked { locker: words.lock_info(), locked: words.result() },
            "break" => acquire::Event::Break(break_event(words)),
            _ => words.wrong("start, locked or break"),
        };
        self.acquire.as_mut().expect("`acquire start` comes first").step(event)
    }

    /// `break start OWNER [forced] [no-fencing]`: as client 1.
    fn run_break(&mut self, words: &mut Words<'_>) -> break_lock::Step {
        if words.flag("start") {
            let locker = get_locker(&words.lock_info().expect("an owner")).expect("an owner");
            let forced = words.flag("forced");
            let options =
                break_lock::Options { gid: 1, blocklist_on_break_lock: !words.flag("no-fencing"), forced };
            let mut request = BreakRequest::new(options, locker);
            let step = request.start();
            self.breaking = Some(request);
            return step;
        }
        let event = break_event(words);
        self.breaking.as_mut().expect("`break start` comes first").step(event)
    }
}

fn break_event(words: &mut Words<'_>) -> break_lock::Event {
    match words.next() {
        "watchers" => break_lock::Event::Watchers(words.watchers()),
        "locker" => break_lock::Event::Locker(words.lock_info()),
        "blocklisted" => break_lock::Event::Blocklisted(words.result()),
        "broken" => break_lock::Event::Broken(words.result()),
        _ => words.wrong("watchers, locker, blocklisted or broken"),
    }
}

fn lock_event(words: &mut Words<'_>) -> lock::Event {
    match words.next() {
        "try" => lock::Event::TryAcquire { token: Token(words.number()) },
        "acquire" => lock::Event::Acquire { token: Token(words.number()), purpose: purpose(words) },
        "release" => lock::Event::Release { token: Token(words.number()) },
        "shut-down" => lock::Event::ShutDown { token: Token(words.number()) },
        "watch" => lock::Event::WatchRegistered { handle: words.number() },
        "no-watch" => lock::Event::WatchUnregistered,
        "dead" => lock::Event::Dead(words.errno()),
        "acquired" => lock::Event::AcquireEnded(outcome(words)),
        "post-acquired" => lock::Event::PostAcquired(words.result()),
        "cookie-set" => lock::Event::CookieSet(words.result()),
        "pre-released" => lock::Event::PreReleased,
        "unlocked" => lock::Event::Unlocked(words.result()),
        "answer" => lock::Event::RequestLockEnded { send: Token(words.number()), outcome: rpc(words) },
        "peer-acquired" => lock::Event::PeerAcquired,
        "peer-released" => lock::Event::PeerReleased,
        "wanted" => lock::Event::RequestLock { ack: Token(words.number()) },
        "started" => {
            let operation = Token(words.number());
            let attempt = words.try_next().map_or(1, |attempt| attempt.parse().expect("an attempt"));
            lock::Event::OperationStarted { operation, attempt }
        }
        "ended" => lock::Event::OperationEnded { operation: Token(words.number()) },
        "timer" => lock::Event::Timer,
        _ => words.wrong("an event of the lock"),
    }
}

fn purpose(words: &mut Words<'_>) -> Purpose {
    match words.next() {
        "io" => Purpose::Io,
        "operation" => Purpose::Operation,
        "explicit" => Purpose::Explicit,
        _ => words.wrong("io, operation or explicit"),
    }
}

fn outcome(words: &mut Words<'_>) -> acquire::Outcome {
    if words.flag("ok") {
        acquire::Outcome::Locked
    } else if words.flag("alive") {
        acquire::Outcome::OwnerAlive(words.client())
    } else if words.flag("foreign") {
        acquire::Outcome::Foreign
    } else {
        acquire::Outcome::Failed(words.errno())
    }
}

fn rpc(words: &mut Words<'_>) -> RpcOutcome {
    match words.next() {
        "accepted" => RpcOutcome::Accepted { owner: words.client() },
        "no-owner" => RpcOutcome::NoOwner,
        "two-owners" => RpcOutcome::TwoOwners { a: words.client(), b: words.client() },
        "undecodable" => RpcOutcome::Undecodable,
        "refused" => RpcOutcome::Refused(words.errno().into()),
        "failed" => RpcOutcome::NotifyFailed(words.errno()),
        _ => words.wrong("an outcome"),
    }
}

fn ownership(words: &mut Words<'_>) -> Ownership {
    match words.next() {
        "peer" => Ownership::NotOwner,
        "leaving" => Ownership::Leaving,
        "owner" => Ownership::Accepting,
        _ => words.wrong("peer, leaving or owner"),
    }
}

/// Who sends a message that does not say `from=`: the client that it names, else client 2.
fn named_sender(message: &Message) -> u64 {
    match message {
        Message::AcquiredLock(id) | Message::ReleasedLock(Some(id)) => id.gid,
        Message::RequestLock(from) => from.gid,
        Message::Request(request) => request.id.gid,
        _ => 2,
    }
}

fn watcher_event(words: &mut Words<'_>) -> watcher::Event {
    match words.next() {
        "watch" => watcher::Event::Registered { handle: words.number() },
        "interrupted" => watcher::Event::Interrupted,
        "dead" => watcher::Event::Dead(words.errno()),
        "closing" => watcher::Event::Closing,
        "got" => {
            let ack = Token(words.number());
            let ownership = ownership(words);
            let notifier = words.try_notifier();
            let message = words.message();
            let notifier = notifier.unwrap_or_else(|| named_sender(&message));
            watcher::Event::Received { message, notifier, ack, ownership }
        }
        "announce" => watcher::Event::Announce(words.message()),
        "send" => watcher::Event::SendRequest { token: Token(words.number()), request: words.request() },
        "forget" => watcher::Event::Forget { token: Token(words.number()) },
        "notified" => watcher::Event::NotifyEnded { send: Token(words.number()), result: words.notified() },
        "refreshed" => {
            let id = words.request_id();
            let result = words.result().map_err(Failure::from);
            watcher::Event::RefreshDone { id, result, ownership: ownership(words) }
        }
        "progress" => {
            let id = words.request_id();
            watcher::Event::OperationProgress { id, offset: words.number(), total: words.number() }
        }
        "ended" => watcher::Event::OperationEnded { id: words.request_id(), result: words.ended() },
        "timer" => watcher::Event::Timer,
        _ => words.wrong("an event of the watcher"),
    }
}
