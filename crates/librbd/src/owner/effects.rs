//! What the machines want done. Whatever takes time is a task that ends in an event.

mod lock_ops;

use std::sync::Arc;

use errno::Errno;
use rbd_protocol::lock::{self, State};
use rbd_protocol::{Ended, Failure, Message, NotifyAnswers, OpResult, Token, rpc_outcome, watcher};

use super::panicked::or_panic;
use super::{Acquired, Answer, Event, Forwarded, Owner, Work, forwarded};
use crate::error::Error;
use crate::event::ImageEvent;
use crate::gate::Reason;
use crate::opened::OpenImage;
use crate::operations::{clean_up, finish_names};
use crate::wire;
pub(super) use lock_ops::giver;

impl Owner {
    pub(super) fn perform_lock(&mut self, effect: lock::Effect) {
        match effect {
            lock::Effect::CloseGate => {
                self.image.gate.close_once(Reason::NotOwner);
                self.work_first([Work::LockEvent(lock::Event::Initialized)].into_iter());
            }
            lock::Effect::OpenGate => {
                self.image.data.set_sole_writer(true);
                self.image.gate.open(Reason::NotOwner);
            }
            lock::Effect::Acquire { handle } => {
                let announced = self.announcements.taken();
                self.spawn(move |image| async move {
                    announced.await;
                    let (outcome, acquired) = lock_ops::acquire(&image, handle).await;
                    Event::AcquireEnded { outcome, acquired }
                });
            }
            lock::Effect::PostAcquire => {
                let acquired = self.acquired.take();
                self.spawn(move |image| async move {
                    Event::ToLock(lock::Event::PostAcquired(post_acquire(&image, acquired).await))
                });
            }
            lock::Effect::SetCookie { old, new } => self.spawn(move |image| async move {
                Event::ToLock(lock::Event::CookieSet(lock_ops::set_cookie(&image, old, new).await))
            }),
            lock::Effect::PreRelease => self.pre_release(),
            lock::Effect::Unlock { handle } => self.spawn(move |image| async move {
                Event::ToLock(lock::Event::Unlocked(lock_ops::unlock(&image, handle).await))
            }),
            lock::Effect::Announce(message) => {
                self.work_first([Work::WatcherEvent(watcher::Event::Announce(message))].into_iter());
            }
            lock::Effect::SendRequestLock { send, from } => self.spawn(move |image| async move {
                let answers = notify(&image, &Message::RequestLock(from)).await;
                Event::ToLock(lock::Event::RequestLockEnded { send, outcome: rpc_outcome(&answers) })
            }),
            lock::Effect::Ack { ack, answer } => {
                self.ack(ack, answer.map(|answer| answer.map_err(Failure::from)).as_ref());
            }
            lock::Effect::Complete { token, result } => self.complete(token, result),
            lock::Effect::StateChanged(state) => self.state_changed(state),
        }
    }

    pub(super) fn perform_watcher(&mut self, effect: watcher::Effect) {
        match effect {
            watcher::Effect::Ack { ack, answer } => self.ack(ack, answer.as_ref()),
            watcher::Effect::Notify {
                send,
                message: message @ (Message::AcquiredLock(_) | Message::ReleasedLock(_)),
            } => {
                let turn = self.announcements.announce(message.clone());
                self.spawn(move |image| async move {
                    turn.comes().await;
                    let result = notify(&image, &message).await;
                    Event::ToWatcher(watcher::Event::NotifyEnded { send, result })
                });
            }
            watcher::Effect::Notify { send, message } => self.spawn(move |image| async move {
                let result = notify(&image, &message).await;
                Event::ToWatcher(watcher::Event::NotifyEnded { send, result })
            }),
            watcher::Effect::Lock(event) => self.watcher_tells_lock(event),
            watcher::Effect::MarkStale => {
                self.image.mark_stale();
                self.image.report(ImageEvent::HeaderUpdated);
            }
            watcher::Effect::Refresh { id } => {
                let image = self.image.clone();
                let refresh = async move {
                    let result = image.refresh_if_stale().await.map_err(|error| error.to_failure());
                    image.tell(Event::RefreshEnded { id, result });
                };
                self.begin(refresh);
            }
            watcher::Effect::StartOperation { request } => {
                self.begin(forwarded::run(self.image.clone(), request));
            }
            watcher::Effect::Placed { token, owner } => self.forwarded(token, Forwarded::Placed(owner)),
            watcher::Effect::Progress { token, offset, total } => {
                self.forwarded(token, Forwarded::Progress { offset, total });
            }
            watcher::Effect::Complete { token, outcome } => {
                self.forwarded(token, Forwarded::Ended(outcome));
                self.forwards.remove(&token);
            }
        }
    }

    /// An image without a lock owns nothing: its ack of a RequestLock is empty.
    fn watcher_tells_lock(&mut self, event: lock::Event) {
        match (&self.lock, event) {
            (None, lock::Event::RequestLock { ack }) => self.ack(ack, None),
            (_, event) => self.work_first([Work::LockEvent(event)].into_iter()),
        }
    }

    fn ack(&mut self, ack: Token, answer: Option<&Ended>) {
        if let Some(ack) = self.acks.remove(&ack) {
            ack.send(wire::encode_ack(answer, self.image.client()));
        }
    }

    fn forwarded(&self, token: Token, what: Forwarded) {
        if let Some(caller) = self.forwards.get(&token) {
            let _gone = caller.send(what);
        }
    }

    fn complete(&mut self, token: Token, result: OpResult) {
        if let Some(newest) = self.write_acquires.remove(&token) {
            if let Err(errno) = result {
                self.image.gate.turn_away(newest, &no_lock_for_writes(&self.image, errno));
            }
        } else if self.closing.as_ref().is_some_and(|closing| closing.is_shut_down(token)) {
            self.lock_is_shut_down();
        } else if let Some(caller) = self.callers.remove(&token) {
            let is_owner = self.lock.as_ref().is_some_and(lock::ExclusiveLock::is_owner);
            let _gone = caller.send(Answer { result, is_owner });
        }
    }

    fn state_changed(&self, state: State) {
        tracing::debug!(image = self.image.name, gid = self.image.gid(), %state, "exclusive lock");
        self.image.report(ImageEvent::LockState(state_name(state)));
    }

    /// Cancel first, close second: otherwise an operation would wait for the gate that waits for the release (facts 3.8).
    fn pre_release(&mut self) {
        let operations = self.operations.cancel_and_drain();
        self.spawn(move |image| async move {
            operations.await;
            image.gate.close_once(Reason::NotOwner);
            image.data.set_sole_writer(false);
            if !planted::is(planted::Mistake::ReleaseUndrained) {
                image.gate.drained().await;
                image.data.drain_copyups().await;
            }
            Event::ToLock(lock::Event::PreReleased)
        });
    }

    /// Performs an effect beside the owner task; its end comes back as an event.
    fn spawn<F, Fut>(&self, effect: F)
    where
        F: FnOnce(Arc<OpenImage>) -> Fut,
        Fut: Future<Output = Event> + Send + 'static,
    {
        let image = self.image.clone();
        let effect = effect(image.clone());
        self.begin(async move {
            let event = effect.await;
            image.tell(event);
        });
    }

    /// Starts a task of which the machines hear at its end.
    fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.image.tasks.spawn(or_panic(self.image.clone(), task));
    }
}

/// Ownership starts from the header that was read by the op vector that took the lock.
async fn post_acquire(image: &Arc<OpenImage>, acquired: Option<Acquired>) -> OpResult {
    let Acquired { header, has_leftovers } = acquired.ok_or(Errno::EIO)?;
    image.install(header).await.map_err(|error| error.errno())?;
    // Somebody may have given it a feature since it was opened.
    image.check_maintained().map_err(|error| error.errno())?;
    let cleaning = image.clone();
    image.tasks.spawn(async move {
        finish_names(&cleaning).await;
        if has_leftovers {
            clean_up(&cleaning).await;
        }
    });
    Ok(())
}

/// Sends a message to everybody who has the image open.
pub(crate) async fn notify(image: &OpenImage, message: &Message) -> Result<NotifyAnswers, Errno> {
    if goes_untold(message) {
        return Ok(NotifyAnswers { timed_out: false, answers: Vec::new() });
    }
    let payload = wire::encode_message(message);
    let notified = image.io.notify(&image.header, payload, image.config.notify_timeout).await;
    let reply = notified.map_err(|error| error.errno())?;
    if let Message::Request(request) = message
        && reply.replies.iter().any(|answer| wire::is_unrecorded(&answer.payload))
    {
        image.requests.unrecorded(request.id);
    }
    Ok(wire::decode_answers(reply))
}

/// By mistake, on purpose.
fn goes_untold(message: &Message) -> bool {
    match message {
        Message::ReleasedLock(_) => planted::is(planted::Mistake::ReleaseUntold),
        Message::AsyncComplete { .. } => planted::is(planted::Mistake::EndUntold),
        _ => false,
    }
}

fn no_lock_for_writes(image: &OpenImage, errno: Errno) -> Error {
    if let Err(unmaintained) = image.check_maintained() {
        return unmaintained;
    }
    let text = match errno {
        Errno::EROFS => format!("write to image {}: the owner of the exclusive lock keeps it", image.name),
        _ => format!("write to image {}: the exclusive lock cannot be had", image.name),
    };
    Error::refused(errno, text)
}

/// As `image.events()` and service RbdClient name it.
fn state_name(state: State) -> &'static str {
    match state {
        State::Uninitialized => "uninitialized",
        State::Initializing => "initializing",
        State::Unlocked => "unlocked",
        State::Locked => "locked",
        State::Acquiring => "acquiring",
        State::PostAcquiring => "post_acquiring",
        State::WaitingForRegister => "waiting_for_register",
        State::WaitingForLock => "waiting_for_lock",
        State::Reacquiring => "reacquiring",
        State::PreReleasing => "pre_releasing",
        State::Releasing => "releasing",
        State::PreShuttingDown => "pre_shutting_down",
        State::ShuttingDown => "shutting_down",
        State::Shutdown => "shutdown",
    }
}
