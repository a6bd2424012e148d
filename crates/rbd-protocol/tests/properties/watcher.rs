//! The image watcher under random messages, calls and ends of effects.

use std::collections::BTreeMap;

use errno::Errno;
use proptest::prelude::*;
use rbd_protocol::lock::{self, Ownership};
use rbd_protocol::watcher::{Config, Effect, Event, ImageWatcher};
use rbd_protocol::{
    Answer, ClientId, Message, Millis, NotifyAnswers, Operation, Payload, Request, RequestId, Token,
    ended_from_message,
};

fn clients() -> impl Strategy<Value = ClientId> {
    (1_u64..4, 5_u64..8).prop_map(|(gid, handle)| ClientId { gid, handle })
}

fn ids() -> impl Strategy<Value = RequestId> {
    (1_u64..3, 1_u64..3, 1_u64..4).prop_map(|(gid, open, number)| RequestId { gid, open, number })
}

fn requests() -> impl Strategy<Value = Request> {
    (ids(), 5_u64..8, 1_u64..4).prop_map(|(id, handle, low)| Request {
        id,
        handle,
        attempt: 1,
        low_water_mark: low.min(id.number),
        operation: Operation::Flatten,
    })
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        1 => clients().prop_map(Message::AcquiredLock),
        1 => prop::option::of(clients()).prop_map(Message::ReleasedLock),
        1 => clients().prop_map(Message::RequestLock),
        1 => Just(Message::HeaderUpdate),
        1 => (ids(), 0_u64..9).prop_map(|(id, offset)| Message::AsyncProgress { id, offset, total: 9 }),
        1 => (ids(), prop_oneof![Just(0), Just(-85), Just(-5)])
            .prop_map(|(id, result)| Message::AsyncComplete { id, result: ended_from_message(result, "") }),
        4 => requests().prop_map(Message::Request),
        1 => Just(Message::Unknown),
    ]
}

/// One move of the world around the watcher.
#[derive(Clone, Debug)]
enum Move {
    Message(Message, u64, Ownership),
    Send(u64),
    Forget,
    Watch(u64),
    Interrupted,
    Announce(Message),
    /// The oldest refresh ends.
    Refreshed(bool, Ownership),
    /// The oldest notify ends.
    Notified(u8),
    /// The oldest running operation ends or gets on.
    Ended(Option<Errno>),
    Progress(u64),
    Deadline,
}

fn ownerships() -> impl Strategy<Value = Ownership> {
    prop_oneof![1 => Just(Ownership::NotOwner), 1 => Just(Ownership::Leaving), 3 => Just(Ownership::Accepting)]
}

fn moves() -> impl Strategy<Value = Move> {
    let ends = prop_oneof![
        Just(None),
        Just(Some(Errno::ERESTART)),
        Just(Some(Errno::EEXIST)),
        Just(Some(Errno::EBLOCKLISTED))
    ];
    prop_oneof![
        8 => (messages(), 1_u64..4, ownerships())
            .prop_map(|(message, notifier, ownership)| Move::Message(message, notifier, ownership)),
        3 => (1_u64..4).prop_map(Move::Send),
        1 => Just(Move::Forget),
        1 => (5_u64..8).prop_map(Move::Watch),
        1 => Just(Move::Interrupted),
        1 => Just(Move::Announce(Message::AcquiredLock(ClientId { gid: 1, handle: 5 }))),
        1 => Just(Move::Announce(Message::ReleasedLock(Some(ClientId { gid: 1, handle: 5 })))),
        4 => (any::<bool>(), ownerships()).prop_map(|(ok, ownership)| Move::Refreshed(ok, ownership)),
        6 => any::<u8>().prop_map(Move::Notified),
        3 => ends.prop_map(Move::Ended),
        3 => (0_u64..9).prop_map(Move::Progress),
        3 => Just(Move::Deadline),
    ]
}

/// Drives the watcher and keeps the books.
struct World {
    now: Millis,
    watcher: ImageWatcher,
    tokens: u64,
    acks: BTreeMap<Token, u32>,
    callers: BTreeMap<Token, u32>,
    refreshes: Vec<RequestId>,
    notifies: Vec<Token>,
    running: Vec<RequestId>,
}

impl World {
    fn new() -> Self {
        let watcher = ImageWatcher::new(Config {
            gid: 1,
            open: 1,
            request_timed_out: Millis(30_000),
            completed_request_ttl: Millis(600_000),
            retry_delay: Millis(1_000),
            seed: 1,
        });
        Self {
            now: Millis(0),
            watcher,
            tokens: 0,
            acks: BTreeMap::new(),
            callers: BTreeMap::new(),
            refreshes: Vec::new(),
            notifies: Vec::new(),
            running: Vec::new(),
        }
    }

    fn make(&mut self, action: &Move) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let event = match action {
            Move::Message(message, notifier, ownership) => {
                self.acks.insert(token, 0);
                let (message, notifier) = (message.clone(), *notifier);
                Event::Received { message, notifier, ack: token, ownership: *ownership }
            }
            Move::Send(number) => {
                self.callers.insert(token, 0);
                let id = RequestId { gid: 1, open: 1, number: *number };
                let operation = Operation::Flatten;
                let request = Request { id, handle: 0, attempt: 1, low_water_mark: 0, operation };
                Event::SendRequest { token, request }
            }
            Move::Forget => match self.callers.iter().find(|(_, completions)| **completions == 0) {
                Some((&token, _)) => {
                    self.callers.remove(&token);
                    Event::Forget { token }
                }
                None => return,
            },
            Move::Watch(handle) => Event::Registered { handle: *handle },
            Move::Interrupted => Event::Interrupted,
            Move::Announce(message) => Event::Announce(message.clone()),
            Move::Refreshed(ok, ownership) => match self.refreshes.is_empty() {
                true => return,
                false => {
                    let result = if *ok { Ok(()) } else { Err(Errno::EIO.into()) };
                    Event::RefreshDone { id: self.refreshes.remove(0), result, ownership: *ownership }
                }
            },
            Move::Notified(how) => match self.notifies.is_empty() {
                true => return,
                false => Event::NotifyEnded { send: self.notifies.remove(0), result: notified(*how) },
            },
            Move::Ended(errno) => match self.running.is_empty() {
                true => return,
                false => {
                    let result = errno.map_or(Ok(()), |errno| Err(errno.into()));
                    Event::OperationEnded { id: self.running.remove(0), result }
                }
            },
            Move::Progress(offset) => match self.running.first() {
                Some(&id) => Event::OperationProgress { id, offset: *offset, total: 9 },
                None => return,
            },
            Move::Deadline => match self.watcher.next_deadline() {
                Some(deadline) => {
                    self.now = self.now.max(deadline);
                    Event::Timer
                }
                None => return,
            },
        };
        self.step(event);
    }

    fn step(&mut self, event: Event) {
        for effect in self.watcher.step(self.now, event) {
            match effect {
                Effect::Ack { ack, .. } | Effect::Lock(lock::Event::RequestLock { ack }) => {
                    *self.acks.get_mut(&ack).expect("an ack") += 1;
                }
                Effect::Complete { token, .. } => {
                    *self.callers.get_mut(&token).expect("a caller that did not give up") += 1;
                }
                Effect::Refresh { id } => self.refreshes.push(id),
                Effect::Notify { send, .. } => self.notifies.push(send),
                Effect::StartOperation { request } => {
                    assert!(!self.running.contains(&request.id), "{} runs twice", request.id);
                    self.running.push(request.id);
                }
                Effect::Lock(_) | Effect::MarkStale | Effect::Placed { .. } | Effect::Progress { .. } => {}
            }
        }
        self.check();
    }

    fn check(&self) {
        let deadline = self.watcher.next_deadline();
        assert!(self.acks.values().all(|acks| *acks <= 1), "acked twice");
        assert!(self.callers.values().all(|completions| *completions <= 1), "completed twice");
        let waits = self.callers.values().any(|completions| *completions == 0);
        assert!(!waits || deadline.is_some(), "a request is out without a timer");
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now || !self.timer_is_over()),
            "fires for ever"
        );
        let answered = self.acks.values().filter(|acks| **acks == 0).count();
        assert!(answered == 0 || !self.refreshes.is_empty(), "an ack waits for nothing");
    }

    /// A timer event at this moment would change nothing any more.
    fn timer_is_over(&self) -> bool {
        let mut later = self.watcher.clone();
        later.step(self.now, Event::Timer);
        later.next_deadline().is_some_and(|deadline| deadline <= self.now)
    }
}

fn notified(how: u8) -> Result<NotifyAnswers, Errno> {
    let from = ClientId { gid: 2, handle: 7 };
    let answer = |payload| {
        Ok(NotifyAnswers { timed_out: how.is_multiple_of(2), answers: vec![Answer { from, payload }] })
    };
    match how % 7 {
        0 | 1 => answer(Payload::Response(Ok(()))),
        2 => answer(Payload::Response(Err(Errno::EIO.into()))),
        3 | 4 => answer(Payload::Empty),
        5 => Ok(NotifyAnswers { timed_out: true, answers: Vec::new() }),
        _ => Err(Errno::EIO),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Catalogue row 16 and 10.10 items 1, 4, 5: however messages, re-sends and ends interleave, each message is acked once,
    /// each caller completed once, and no request runs twice at a time.
    #[test]
    fn every_message_is_acked_once_and_every_caller_completed_once(
        moves in prop::collection::vec(moves(), 1..120),
    ) {
        let mut world = World::new();
        for action in &moves {
            world.make(action);
        }
        world.step(Event::Closing);
        prop_assert!(world.acks.values().all(|acks| *acks == 1), "not acked: {:?}", world.acks);
        prop_assert!(world.callers.values().all(|completions| *completions == 1), "not completed");
    }

    /// Facts 4.5, 9.3 item 16: a completion that nobody acks is sent a bounded number of times.
    #[test]
    fn completion_is_not_sent_for_ever(seed in any::<u64>()) {
        let mut world = World::new();
        world.watcher = ImageWatcher::new(Config {
            gid: 1,
            open: 1,
            request_timed_out: Millis(30_000),
            completed_request_ttl: Millis(600_000),
            retry_delay: Millis(1_000),
            seed,
        });
        world.make(&Move::Watch(5));
        let id = RequestId { gid: 2, open: 1, number: 1 };
        let request = Request { id, handle: 7, attempt: 1, low_water_mark: 0, operation: Operation::Flatten };
        world.make(&Move::Message(Message::Request(request), 2, Ownership::Accepting));
        world.make(&Move::Refreshed(true, Ownership::Accepting));
        world.make(&Move::Ended(None));
        let mut sends = 0;
        while world.now < Millis(600_000) {
            sends += world.notifies.len();
            if world.notifies.is_empty() {
                world.make(&Move::Deadline);
            } else {
                world.make(&Move::Notified(5));
            }
        }
        prop_assert_eq!(sends, 10);
        prop_assert_eq!(world.watcher.next_deadline(), None, "the result is forgotten in the end");
    }
}
