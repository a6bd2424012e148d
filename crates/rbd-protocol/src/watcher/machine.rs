//! The machine: what each message and each end of an effect means.

use std::collections::BTreeMap;

use errno::Errno;
use marks::Mark;

use crate::ids::{ClientId, Counter, Millis, RequestId, Token};
use crate::lock::{self, Ownership};
use crate::message::{Message, Request};
use crate::outcome::{NotifyAnswers, OpOutcome, RpcOutcome, rpc_outcome};
use crate::watcher::requester::Requester;
use crate::watcher::served::Served;
use crate::watcher::{Config, Effect, Event};

/// The watcher of one open image.
///
/// | state           | event                                   | next              | effects                                    |
/// |-----------------|-----------------------------------------|-------------------|--------------------------------------------|
/// | unregistered    | Registered                              | registered        |                                            |
/// | registered      | Registered: anew                        | -                 | MarkStale, own requests end: WatchRenewed; owner unknown |
/// |                 | Interrupted                             | -                 | owner unknown, unless it is this client    |
/// |                 | SendRequest                             | -                 | registers the request, Notify              |
/// | any             | Closing                                 | closing           | own requests end: Closed; arriving ones are acked empty |
/// | any             | Dead                                    | dead              | own requests end: Dead                     |
/// | unregistered, closing, dead | SendRequest                 | -                 | completes at once                          |
/// | closing, dead   | any message                             | -                 | empty ack                                  |
///
/// | message         | from whom, at whom                      | ack                 | effects                                  |
/// |-----------------|-----------------------------------------|---------------------|------------------------------------------|
/// | AcquiredLock    | own                                     | empty               |                                          |
/// |                 | other, at a non-owner                   | empty               | remembers the owner; own requests end (OwnerChanged) if it changed; wakes the lock |
/// | ReleasedLock    | recorded owner or nameless, at a non-owner | empty            | forgets the owner; own requests end (OwnerChanged); wakes the lock |
/// |                 | another                                 | empty               | wakes the lock                           |
/// | RequestLock     | own; or at a non-owner, or at an owner that does not know itself | empty |                               |
/// |                 | other, at the owner                     | the lock's          | Lock(RequestLock)                        |
/// | HeaderUpdate    |                                         | empty               | MarkStale                                |
/// | AsyncProgress   | of an own request, from whoever accepted it | empty           | restarts its timer, Progress if further  |
/// | AsyncComplete   | of an own request, from whoever accepted it | empty           | Complete                                 |
/// |                 | of an own request, not yet acked        | empty               | 0: Complete. An error is kept: Complete when the ack names its sender |
/// | Request         | at a non-owner                          | empty               |                                          |
/// |                 | own (same gid and open)                 | ERESTART            |                                          |
/// |                 | below the low-water mark of its open    | ESTALE              |                                          |
/// |                 | running                                 | 0                   |                                          |
/// |                 | completed                               | 0                   | AsyncComplete again, remembered as long again |
/// |                 | arriving; too many copies of it         | with the first one; EAGAIN |                                   |
/// |                 | not known, at an owner that is leaving  | empty               |                                          |
/// |                 | not known                               | after the refresh: its error, or 0, or empty if ownership is gone | Refresh, then StartOperation |
/// | Unknown         | at the owner, elsewhere                 | EOPNOTSUPP, empty   |                                          |
///
/// A message that names another client instance than the one that sent it is acked empty and changes nothing. A completion
/// may come before the ack that says who accepted the request. Then success counts, whoever sent it; an error may be a former
/// owner's, of an attempt that ended, and is dropped unless the ack names its sender.
/// The owner sends it after the progress notify that is under way.
///
/// Every message is acked exactly once. An owner believes itself: late announcements of others do not change that.
#[derive(Clone, Debug, Hash)]
pub struct ImageWatcher {
    config: Config,
    /// 0: not registered.
    handle: u64,
    dead: Option<Errno>,
    closing: bool,
    /// Belief about who owns the lock.
    lock_owner: Option<ClientId>,
    /// As this client last announced itself.
    announced: Option<ClientId>,
    sends: Counter,
    sending: BTreeMap<Token, Sending>,
    requester: Requester,
    served: Served,
}

/// What a notify under way carries.
#[derive(Clone, Copy, Debug, Hash)]
enum Sending {
    Announcement,
    Request(RequestId),
    Progress(RequestId),
    Complete(RequestId),
}

impl ImageWatcher {
    /// Not registered.
    pub fn new(config: Config) -> Self {
        let requester = Requester::new(config.request_timed_out);
        let served = Served::new(&config);
        Self {
            config,
            handle: 0,
            dead: None,
            closing: false,
            lock_owner: None,
            announced: None,
            sends: Counter::default(),
            sending: BTreeMap::new(),
            requester,
            served,
        }
    }

    /// Who owns the lock, as far as this client was told.
    pub fn lock_owner(&self) -> Option<ClientId> {
        self.lock_owner
    }

    /// When [`Event::Timer`] is wanted.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.requester.next_deadline().into_iter().chain(self.served.next_deadline()).min()
    }

    /// Moves time 0 to `origin`, which is not in the future: for whoever compares states at different moments.
    pub fn move_origin(&mut self, origin: Millis) {
        let moments = self.requester.moments().chain(self.served.moments());
        moments.for_each(|moment| *moment = moment.since_origin(origin));
    }

    /// Applies one event.
    pub fn step(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.apply(now, event, &mut effects);
        self.send_due(now, &mut effects);
        effects
    }

    fn apply(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Registered { handle } => self.registered(handle, effects),
            Event::Interrupted => {
                if self.lock_owner == self.announced {
                    marks::hit(Mark::WatcherInterruptedOwner);
                } else {
                    marks::hit(Mark::WatcherInterrupted);
                    self.lock_owner = None;
                }
            }
            Event::Dead(errno) => self.die(errno, effects),
            Event::Closing => {
                marks::hit(Mark::WatcherCloses);
                self.closing = true;
                self.served.close(effects);
                self.requester.cancel_all(&OpOutcome::Closed, effects);
            }
            Event::Received { message, notifier, ack, ownership } => {
                self.received(now, message, notifier, (ack, ownership), effects);
            }
            Event::Announce(message) => self.announce(message, effects),
            Event::SendRequest { token, request } => self.send_request(now, token, request, effects),
            Event::Forget { token } => self.requester.forget(token),
            Event::NotifyEnded { send, result } => self.notify_ended(now, send, &result, effects),
            Event::RefreshDone { id, result, ownership } => {
                self.served.refreshed(id, result, ownership, effects);
            }
            Event::OperationProgress { id, offset, total } => {
                let next = self.next_send();
                if let Some(value) = self.served.progress(id, (offset, total), next) {
                    self.send_progress(id, value, effects);
                }
            }
            Event::OperationEnded { id, result } => self.served.ended(now, id, result),
            Event::Timer => {
                self.requester.expire(now, effects);
                self.served.expire(now);
            }
        }
    }

    fn registered(&mut self, handle: u64, effects: &mut Vec<Effect>) {
        let anew = self.handle != 0;
        marks::hit(if anew { Mark::WatcherRegisteredAnew } else { Mark::WatcherRegistered });
        self.handle = handle;
        if anew {
            self.lock_owner = None;
            effects.push(Effect::MarkStale);
            self.requester.cancel_all(&OpOutcome::WatchRenewed, effects);
        }
    }

    fn die(&mut self, errno: Errno, effects: &mut Vec<Effect>) {
        marks::hit(Mark::WatcherDies);
        self.dead.get_or_insert(errno);
        self.lock_owner = None;
        self.served.close(effects);
        self.served.deliveries.retain(|_| false);
        self.requester.cancel_all(&OpOutcome::Dead(errno), effects);
    }

    fn received(
        &mut self,
        now: Millis,
        message: Message,
        notifier: u64,
        (ack, ownership): (Token, Ownership),
        effects: &mut Vec<Effect>,
    ) {
        let empty = Effect::Ack { ack, answer: None };
        let forged = message.sender().is_some_and(|sender| sender != notifier);
        if self.closing || self.dead.is_some() || forged {
            marks::hit(if forged { Mark::WatcherForged } else { Mark::WatcherIsDeaf });
            return effects.push(empty);
        }
        let is_owner = ownership != Ownership::NotOwner;
        match message {
            Message::Request(request) => return self.served.received(now, request, ack, ownership, effects),
            Message::RequestLock(from) if is_owner && self.may_answer(from) => {
                marks::hit(Mark::WatcherLockAsked);
                return effects.push(Effect::Lock(lock::Event::RequestLock { ack }));
            }
            Message::Unknown if is_owner => {
                marks::hit(Mark::WatcherUnknownAtOwner);
                return effects.push(Effect::Ack { ack, answer: Some(Err(Errno::EOPNOTSUPP.into())) });
            }
            Message::RequestLock(from) => marks::hit(match is_owner {
                _ if self.is_me(from) => Mark::WatcherLockAskedOwn,
                true => Mark::WatcherLockAskedUnsure,
                false => Mark::WatcherLockAskedElsewhere,
            }),
            Message::Unknown => marks::hit(Mark::WatcherUnknown),
            Message::AcquiredLock(id) => self.owner_acquired(id, is_owner, effects),
            Message::ReleasedLock(id) => self.owner_released(id, is_owner, effects),
            Message::HeaderUpdate => {
                marks::hit(Mark::WatcherHeaderUpdate);
                effects.push(Effect::MarkStale);
            }
            Message::AsyncProgress { id, offset, total } => {
                self.requester.progress(now, id, notifier, (offset, total), effects);
            }
            Message::AsyncComplete { id, result } => {
                self.requester.completed(id, notifier, result, effects);
            }
        }
        effects.push(empty);
    }

    fn is_me(&self, client: ClientId) -> bool {
        let now = ClientId { gid: self.config.gid, handle: self.handle };
        client == now || Some(client) == self.announced
    }

    /// An owner between a rewatch and its reacquire does not know itself: it says nothing (facts 3.10).
    fn may_answer(&self, from: ClientId) -> bool {
        !self.is_me(from) && self.lock_owner.is_some()
    }

    fn owner_acquired(&mut self, id: ClientId, is_owner: bool, effects: &mut Vec<Effect>) {
        if self.is_me(id) {
            return marks::hit(Mark::WatcherAcquiredOwn);
        }
        marks::hit(match is_owner {
            true => Mark::WatcherAcquiredAtOwner,
            false if self.lock_owner == Some(id) => Mark::WatcherOwnerAgain,
            false => Mark::WatcherOwnerChanged,
        });
        effects.push(Effect::Lock(lock::Event::PeerAcquired));
        if !is_owner {
            self.believe(Some(id), effects);
        }
    }

    fn owner_released(&mut self, id: Option<ClientId>, is_owner: bool, effects: &mut Vec<Effect>) {
        if id.is_some_and(|id| self.is_me(id)) {
            return;
        }
        effects.push(Effect::Lock(lock::Event::PeerReleased));
        if !is_owner && (id.is_none() || id == self.lock_owner) {
            marks::hit(if id.is_some() { Mark::WatcherOwnerReleased } else { Mark::WatcherNamelessReleased });
            self.lock_owner = None;
            self.requester.cancel_all(&OpOutcome::OwnerChanged, effects);
        } else {
            marks::hit(Mark::WatcherOtherReleased);
        }
    }

    fn believe(&mut self, owner: Option<ClientId>, effects: &mut Vec<Effect>) {
        if self.lock_owner != owner {
            self.lock_owner = owner;
            self.requester.cancel_all(&OpOutcome::OwnerChanged, effects);
        }
    }

    /// The own part is known at once: the notify that comes back to this client changes nothing any more.
    fn announce(&mut self, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::AcquiredLock(id) => {
                self.announced = Some(id);
                self.believe(Some(id), effects);
            }
            Message::ReleasedLock(id) if id == self.lock_owner => self.lock_owner = None,
            _ => {}
        }
        if self.dead.is_none() {
            self.notify(Sending::Announcement, message, effects);
        }
    }

    fn send_request(&mut self, now: Millis, token: Token, request: Request, effects: &mut Vec<Effect>) {
        let not_registered = || OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(Errno::ENOTCONN));
        let (mark, refused) = match self.dead {
            Some(errno) => (Mark::WatcherSendsDead, Some(OpOutcome::Dead(errno))),
            None if self.closing => (Mark::WatcherSendsClosing, Some(OpOutcome::Closed)),
            None if self.handle == 0 => (Mark::WatcherSendsUnregistered, Some(not_registered())),
            None => (Mark::WatcherSends, None),
        };
        marks::hit(mark);
        if let Some(outcome) = refused {
            return effects.push(Effect::Complete { token, outcome });
        }
        let request = Request { handle: self.handle, ..request };
        self.requester.register(now, request.id, token, self.next_send(), effects);
        self.notify(Sending::Request(request.id), Message::Request(request), effects);
    }

    fn notify_ended(
        &mut self,
        now: Millis,
        send: Token,
        result: &Result<NotifyAnswers, Errno>,
        effects: &mut Vec<Effect>,
    ) {
        match self.sending.remove(&send) {
            None | Some(Sending::Announcement) => {}
            Some(Sending::Request(id)) => {
                let owner = self.requester.answered(id, send, rpc_outcome(result), effects);
                self.lock_owner = owner.or(self.lock_owner);
            }
            Some(Sending::Progress(id)) => {
                let next = self.next_send();
                if let Some(value) = self.served.progress_sent(now, id, send, next) {
                    self.send_progress(id, value, effects);
                }
            }
            Some(Sending::Complete(id)) => self.served.deliveries.sent(now, id, send, result),
        }
    }

    fn send_progress(&mut self, id: RequestId, (offset, total): (u64, u64), effects: &mut Vec<Effect>) {
        self.notify(Sending::Progress(id), Message::AsyncProgress { id, offset, total }, effects);
    }

    fn send_due(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.dead.is_some() {
            return self.served.deliveries.retain(|_| false);
        }
        while let Some((id, result)) = self.served.deliveries.take_due(now, self.next_send()) {
            self.notify(Sending::Complete(id), Message::AsyncComplete { id, result }, effects);
        }
    }

    /// The token of the next notify.
    fn next_send(&self) -> Token {
        Token(self.sends.next())
    }

    fn notify(&mut self, sending: Sending, message: Message, effects: &mut Vec<Effect>) {
        let send = Token(self.sends.count());
        self.sending.insert(send, sending);
        effects.push(Effect::Notify { send, message });
    }
}
