//! What the machines want done, as librbd's `owner::effects` does it.

use planted::Mistake;
use rbd_protocol::lock;
use rbd_protocol::watcher;
use rbd_protocol::{Ended, Failure, Message, NotifyAnswers, OpResult, Payload, Token};

use super::run::Origin;
use super::{Client, Then, Work};
use crate::ask::Ask;

impl Client {
    pub(super) fn perform_lock(&mut self, effect: lock::Effect) {
        match effect {
            lock::Effect::CloseGate => {
                self.gate.not_owner = true;
                self.work_first([Work::LockEvent(lock::Event::Initialized)].into_iter());
            }
            lock::Effect::OpenGate => {
                self.gate.not_owner = false;
                self.writes_enter();
            }
            lock::Effect::Acquire { handle } => self.acquire(handle),
            lock::Effect::PostAcquire => {
                if let Some(has_parent) = self.acquired.take() {
                    self.install(has_parent);
                }
                self.queue_lock(lock::Event::PostAcquired(Ok(())));
            }
            lock::Effect::SetCookie { old, new } => self.ask(Ask::SetCookie { old, new }, Then::CookieSet),
            lock::Effect::PreRelease => {
                self.is_releasing = true;
                if let Some(run) = &mut self.run {
                    run.is_cancelled = true;
                }
            }
            lock::Effect::Unlock { handle } => {
                self.ask(Ask::Unlock { handle }, Then::Unlocked { is_newest: false });
            }
            lock::Effect::Announce(message) => {
                self.work_first([Work::WatcherEvent(watcher::Event::Announce(message))].into_iter());
            }
            lock::Effect::SendRequestLock { send, from } => {
                self.ask(Ask::Notify(Message::RequestLock(from)), Then::RequestLock(send));
            }
            lock::Effect::Ack { ack, answer } => {
                self.ack(ack, answer.map(|answer| answer.map_err(Failure::from)));
            }
            lock::Effect::Complete { token, result } => self.complete(token, result),
            lock::Effect::StateChanged(_) => {}
        }
    }

    pub(super) fn perform_watcher(&mut self, effect: watcher::Effect) {
        match effect {
            watcher::Effect::Ack { ack, answer } => self.ack(ack, answer),
            watcher::Effect::Notify { send, message } if goes_untold(&message) => {
                let result = Ok(NotifyAnswers::default());
                self.queue_watcher(watcher::Event::NotifyEnded { send, result });
            }
            watcher::Effect::Notify {
                send,
                message: message @ (Message::AcquiredLock(_) | Message::ReleasedLock(_)),
            } => {
                self.announcing.push_back((send, message));
                if self.announcing.len() == 1 {
                    self.announce_next();
                }
            }
            watcher::Effect::Notify { send, message } => self.ask(Ask::Notify(message), Then::Notified(send)),
            watcher::Effect::Lock(event) => self.work_first([Work::LockEvent(event)].into_iter()),
            watcher::Effect::MarkStale => self.image.is_stale = true,
            watcher::Effect::Refresh { id } if self.image.is_stale => {
                self.ask(Ask::Header, Then::Refreshed(id));
            }
            watcher::Effect::Refresh { id } => {
                let ownership = self.lock.ownership();
                self.queue_watcher(watcher::Event::RefreshDone { id, result: Ok(()), ownership });
            }
            watcher::Effect::StartOperation { request } => {
                self.to_run.push_back(Origin {
                    id: request.id,
                    attempt: request.attempt,
                    call: None,
                    is_recorded: true,
                    operation: request.operation,
                });
            }
            watcher::Effect::Placed { .. } | watcher::Effect::Progress { .. } => {}
            watcher::Effect::Complete { token, outcome } => self.forward_ended(token, &outcome),
        }
    }

    /// The next one is sent when the OSD has taken the one before.
    fn announce_next(&mut self) {
        if let Some((send, message)) = self.announcing.front().cloned() {
            self.ask(Ask::Notify(message), Then::Notified(send));
        }
    }

    /// The OSD has taken it when this client hears it, or when its notify has ended.
    pub(super) fn announcement_heard(&mut self, message: &Message) {
        if self.announcing.front().is_some_and(|(_, first)| first == message) {
            self.announcing.pop_front();
            self.announce_next();
        }
    }

    pub(super) fn announcement_ended(&mut self, send: Token) {
        if self.announcing.front().is_some_and(|(first, _)| *first == send) {
            self.announcing.pop_front();
            self.announce_next();
        }
    }

    fn ack(&mut self, ack: Token, answer: Option<Ended>) {
        if let Some((notify_id, cookie)) = self.acks.remove(&ack) {
            let payload = answer.map_or(Payload::Empty, Payload::Response);
            self.acks_out.push((notify_id, cookie, payload));
        }
    }

    fn complete(&mut self, token: Token, result: OpResult) {
        match self.write_acquires.remove(&token) {
            Some(newest) => {
                if let Err(errno) = result {
                    self.turn_writes_away(newest, errno);
                }
            }
            None => self.placed(token, result),
        }
    }

    /// Operations are cancelled first and have ended, then the gate is closed, and block I/O and copy-ups have ended.
    pub(super) fn release_goes_on(&mut self) -> bool {
        if !self.is_releasing || self.run.is_some() {
            return false;
        }
        self.gate.not_owner = true;
        let is_drained = self.ios.is_empty() && self.copyups.is_empty();
        if !is_drained && !planted::is(Mistake::ReleaseUndrained) {
            return false;
        }
        self.is_releasing = false;
        self.queue_lock(lock::Event::PreReleased);
        true
    }
}

/// By mistake, on purpose.
fn goes_untold(message: &Message) -> bool {
    match message {
        Message::ReleasedLock(_) => planted::is(Mistake::ReleaseUntold),
        Message::AsyncComplete { .. } => planted::is(Mistake::EndUntold),
        _ => false,
    }
}
