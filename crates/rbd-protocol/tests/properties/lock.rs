//! The exclusive lock under random events, random results and random order of effects' ends.

use std::collections::BTreeMap;

use errno::Errno;
use proptest::prelude::*;
use rbd_protocol::acquire::Outcome;
use rbd_protocol::lock::{Config, Effect, Event, ExclusiveLock, Purpose, State};
use rbd_protocol::{ClientId, Millis, OpResult, RpcOutcome, Token};

const PEER: ClientId = ClientId { gid: 2, handle: 7 };

/// One move of the world around the lock.
#[derive(Clone, Debug)]
enum Move {
    Try,
    Acquire(Purpose),
    Release,
    Watch(u64),
    NoWatch,
    Dead(Errno),
    PeerAcquired,
    PeerReleased,
    Wanted,
    Started(u32),
    Ended,
    /// Time passes up to the deadline.
    Deadline,
    /// The oldest effect under way ends: with success when the number is even.
    End(u8),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => Just(Move::Try),
        3 => prop_oneof![Just(Purpose::Io), Just(Purpose::Operation), Just(Purpose::Explicit)].prop_map(Move::Acquire),
        1 => Just(Move::Release),
        1 => (5_u64..9).prop_map(Move::Watch),
        1 => Just(Move::NoWatch),
        1 => prop_oneof![9 => Just(None), 1 => Just(Some(Errno::EBLOCKLISTED)), 1 => Just(Some(Errno::ENOENT))]
            .prop_map(|dead| dead.map_or(Move::PeerReleased, Move::Dead)),
        1 => Just(Move::PeerAcquired),
        2 => Just(Move::PeerReleased),
        2 => Just(Move::Wanted),
        1 => (1_u32..9).prop_map(Move::Started),
        1 => Just(Move::Ended),
        3 => Just(Move::Deadline),
        12 => any::<u8>().prop_map(Move::End),
    ]
}

/// Drives the lock and keeps the books.
struct World {
    now: Millis,
    lock: ExclusiveLock,
    under_way: Vec<Effect>,
    tokens: u64,
    /// Token -> completions.
    callers: BTreeMap<Token, u32>,
    acks: BTreeMap<Token, u32>,
}

impl World {
    fn new(standard: bool, fencing: bool) -> Self {
        let lock = ExclusiveLock::new(Config {
            gid: 1,
            automatic_until_manual_request: !standard,
            blocklist_on_break_lock: fencing,
            retry_delay: Millis(1_000),
            client_notify_timeout: Millis(10_000),
            lock_hold_max: Millis(1_000),
            seed: 1,
        });
        let mut world = Self {
            now: Millis(0),
            lock,
            under_way: Vec::new(),
            tokens: 0,
            callers: BTreeMap::new(),
            acks: BTreeMap::new(),
        };
        world.step(Event::Init);
        world.make(&Move::End(0));
        world
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn caller(&mut self) -> Token {
        let token = self.token();
        self.callers.insert(token, 0);
        token
    }

    fn make(&mut self, action: &Move) {
        let event = match action {
            Move::Try => Event::TryAcquire { token: self.caller() },
            Move::Acquire(purpose) => Event::Acquire { token: self.caller(), purpose: *purpose },
            Move::Release => Event::Release { token: self.caller() },
            Move::Watch(handle) => Event::WatchRegistered { handle: *handle },
            Move::NoWatch => Event::WatchUnregistered,
            Move::Dead(errno) => Event::Dead(*errno),
            Move::PeerAcquired => Event::PeerAcquired,
            Move::PeerReleased => Event::PeerReleased,
            Move::Wanted => {
                let ack = self.token();
                self.acks.insert(ack, 0);
                Event::RequestLock { ack }
            }
            Move::Started(attempt) => Event::OperationStarted { operation: Token(1), attempt: *attempt },
            Move::Ended => Event::OperationEnded { operation: Token(1) },
            Move::Deadline => match self.lock.next_deadline() {
                Some(deadline) => {
                    self.now = self.now.max(deadline);
                    Event::Timer
                }
                None => return,
            },
            Move::End(how) => match self.under_way.is_empty() {
                true => return,
                false => end_of(&self.under_way.remove(0), *how),
            },
        };
        self.step(event);
    }

    fn step(&mut self, event: Event) {
        let timer = event == Event::Timer;
        for effect in self.lock.step(self.now, event) {
            match effect {
                Effect::Complete { token, .. } => *self.callers.get_mut(&token).expect("a caller") += 1,
                Effect::Ack { ack, .. } => *self.acks.get_mut(&ack).expect("an ack") += 1,
                Effect::Announce(_) | Effect::StateChanged(_) | Effect::OpenGate => {}
                effect => self.under_way.push(effect),
            }
        }
        self.check(timer);
    }

    fn check(&self, timer: bool) {
        let deadline = self.lock.next_deadline();
        assert!(
            !self.lock.state().is_waiting() || deadline.is_some(),
            "{} without a timer",
            self.lock.state()
        );
        assert!(
            !timer || deadline.is_none_or(|deadline| deadline > self.now),
            "the timer would fire for ever"
        );
        assert!(self.callers.values().all(|completions| *completions <= 1), "completed twice");
        assert!(self.acks.values().all(|acks| *acks == 1), "each RequestLock is acked once, at once");
        let steps = self.under_way.iter().filter(|effect| !matches!(effect, Effect::SendRequestLock { .. }));
        assert!(steps.count() <= 1, "two steps at once: {:?}", self.under_way);
        let transition = !matches!(self.lock.state(), State::Unlocked | State::Locked | State::Shutdown);
        let idle = self.under_way.is_empty() && deadline.is_none();
        assert!(!(transition && idle), "nothing will ever wake {}", self.lock.state());
    }

    /// Closes the image; whatever is under way ends.
    fn close(&mut self, hows: &[u8]) {
        let token = self.caller();
        self.step(Event::ShutDown { token });
        for how in hows.iter().cycle().take(64) {
            self.make(&Move::End(*how));
        }
        assert_eq!(self.lock.state(), State::Shutdown);
        assert!(
            self.callers.values().all(|completions| *completions == 1),
            "never completed: {:?}",
            self.callers
        );
    }
}

fn end_of(effect: &Effect, how: u8) -> Event {
    let result = |errnos: [Errno; 3]| -> OpResult {
        if how.is_multiple_of(2) { Ok(()) } else { Err(errnos[usize::from(how / 2) % 3]) }
    };
    match effect {
        Effect::CloseGate => Event::Initialized,
        Effect::Acquire { .. } => Event::AcquireEnded(match how % 6 {
            0..=2 => Outcome::Locked,
            3 => Outcome::OwnerAlive(PEER),
            4 => Outcome::Foreign,
            _ => Outcome::Failed(if how > 240 { Errno::EBLOCKLISTED } else { Errno::EIO }),
        }),
        Effect::PostAcquire => Event::PostAcquired(result([Errno::EIO, Errno::ENOENT, Errno::EPERM])),
        Effect::SetCookie { .. } => Event::CookieSet(result([Errno::EBUSY, Errno::EOPNOTSUPP, Errno::EIO])),
        Effect::PreRelease => Event::PreReleased,
        Effect::Unlock { .. } => Event::Unlocked(result([Errno::ENOENT, Errno::ENOENT, Errno::EBLOCKLISTED])),
        Effect::SendRequestLock { send, .. } => {
            let outcome = match how % 5 {
                0 | 1 => RpcOutcome::Accepted { owner: PEER },
                2 => RpcOutcome::NoOwner,
                3 => RpcOutcome::Refused(Errno::EROFS.into()),
                _ => RpcOutcome::NotifyFailed(Errno::EIO),
            };
            Event::RequestLockEnded { send: *send, outcome }
        }
        other => panic!("{other:?} has no end"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Facts 9.1 class 8, 9.3 item 12; catalogue rows 52, 58: in every state somebody will wake the lock, and a close
    /// completes everybody, from every state.
    #[test]
    fn nobody_waits_without_a_wake_up(
        standard in any::<bool>(),
        fencing in any::<bool>(),
        moves in prop::collection::vec(moves(), 1..80),
        hows in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut world = World::new(standard, fencing);
        for action in &moves {
            world.make(action);
        }
        world.close(&hows);
    }

    /// 10.10 item 10: however the rounds end, waiting for a lock that stays taken costs a bounded number of attempts.
    #[test]
    fn lock_that_stays_taken_is_no_busy_loop(ends in prop::collection::vec(prop_oneof![Just(3_u8), Just(4_u8)], 1..16)) {
        let mut world = World::new(false, true);
        world.make(&Move::Watch(5));
        world.make(&Move::Acquire(Purpose::Io));
        let mut attempts = 0;
        let mut ends = ends.iter().cycle();
        while world.now < Millis(100_000) {
            let attempt = matches!(world.under_way.first(), Some(Effect::Acquire { .. }));
            attempts += u32::from(attempt);
            prop_assert!(attempts <= 220, "{attempts} attempts in {}", world.now);
            match world.under_way.first() {
                // Nobody answers, as with a manual lock.
                Some(Effect::SendRequestLock { .. }) => world.make(&Move::End(2)),
                Some(_) => world.make(&Move::End(*ends.next().expect("a cycle"))),
                None => world.make(&Move::Deadline),
            }
        }
    }
}
