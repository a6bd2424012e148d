//! The vocabulary of the scripts, written.

use rbd_protocol::lock::{self, ExclusiveLock, Ownership};
use rbd_protocol::watcher::{self, ImageWatcher};
use rbd_protocol::{
    ClientId, Ended, Failure, Message, Millis, OpOutcome, OpResult, Operation, Request, RpcOutcome, acquire,
    break_lock, ended_to_message,
};

pub(crate) fn lock(effect: &lock::Effect) -> String {
    match effect {
        lock::Effect::CloseGate => "CloseGate".to_owned(),
        lock::Effect::OpenGate => "OpenGate".to_owned(),
        lock::Effect::Acquire { handle } => format!("Acquire {handle}"),
        lock::Effect::PostAcquire => "PostAcquire".to_owned(),
        lock::Effect::SetCookie { old, new } => format!("SetCookie {old} -> {new}"),
        lock::Effect::PreRelease => "PreRelease".to_owned(),
        lock::Effect::Unlock { handle } => format!("Unlock {handle}"),
        lock::Effect::Announce(message) => format!("Announce {}", self::message(message)),
        lock::Effect::SendRequestLock { send, from } => {
            format!("SendRequestLock {} from {}", send.0, client(*from))
        }
        lock::Effect::Ack { ack, answer } => format!("Ack {} {}", ack.0, self::answer(*answer)),
        lock::Effect::Complete { token, result } => format!("Complete {} {}", token.0, self::result(*result)),
        lock::Effect::StateChanged(state) => format!("{state}"),
    }
}

pub(crate) fn lock_state(lock: &ExclusiveLock) -> String {
    format!("{} {} timer {}", lock.state(), ownership(lock.ownership()), deadline(lock.next_deadline()))
}

pub(crate) fn watcher(effect: &watcher::Effect) -> String {
    match effect {
        watcher::Effect::Ack { ack, answer } => {
            format!("Ack {} {}", ack.0, answer.as_ref().map_or("empty".to_owned(), ended))
        }
        watcher::Effect::Notify { send, message } => format!("Notify {} {}", send.0, self::message(message)),
        watcher::Effect::Lock(lock::Event::RequestLock { ack }) => format!("Lock RequestLock {}", ack.0),
        watcher::Effect::Lock(event) => format!("Lock {event:?}"),
        watcher::Effect::MarkStale => "MarkStale".to_owned(),
        watcher::Effect::Refresh { id } => format!("Refresh {id}"),
        watcher::Effect::StartOperation { request } => format!("StartOperation {}", self::request(request)),
        watcher::Effect::Placed { token, owner } => format!("Placed {} at {}", token.0, client(*owner)),
        watcher::Effect::Progress { token, offset, total } => {
            format!("Progress {} {offset}/{total}", token.0)
        }
        watcher::Effect::Complete { token, outcome } => {
            format!("Complete {} {}", token.0, self::outcome(outcome))
        }
    }
}

pub(crate) fn watcher_state(watcher: &ImageWatcher) -> String {
    let owner = watcher.lock_owner().map_or("unknown".to_owned(), client);
    format!("owner {owner} timer {}", deadline(watcher.next_deadline()))
}

pub(crate) fn acquire(step: &acquire::Step) -> String {
    match step {
        acquire::Step::Lock { cookie } => format!("LOCK {cookie:?}"),
        acquire::Step::Break(step) => breaking(step),
        acquire::Step::Finished(acquire::Outcome::Locked) => "finished: locked".to_owned(),
        acquire::Step::Finished(acquire::Outcome::OwnerAlive(owner)) => {
            format!("finished: {} is alive", client(*owner))
        }
        acquire::Step::Finished(acquire::Outcome::Foreign) => "finished: foreign lock".to_owned(),
        acquire::Step::Finished(acquire::Outcome::Failed(errno)) => format!("finished: {errno}"),
    }
}

pub(crate) fn breaking(step: &break_lock::Step) -> String {
    match step {
        break_lock::Step::GetWatchers => "GET_WATCHERS".to_owned(),
        break_lock::Step::GetLocker => "GET_LOCKER".to_owned(),
        break_lock::Step::Blocklist { gid, unless_watching: true } => {
            format!("BLOCKLIST {gid} UNLESS_WATCHING")
        }
        break_lock::Step::Blocklist { gid, unless_watching: false } => format!("BLOCKLIST {gid}"),
        break_lock::Step::BreakLock { gid, cookie } => format!("BREAK_LOCK {gid} {cookie:?}"),
        break_lock::Step::Finished(break_lock::Outcome::Broken) => "finished: broken".to_owned(),
        break_lock::Step::Finished(break_lock::Outcome::OwnerAlive) => "finished: owner alive".to_owned(),
        break_lock::Step::Finished(break_lock::Outcome::OwnerChanged) => "finished: owner changed".to_owned(),
        break_lock::Step::Finished(break_lock::Outcome::OwnerIsSelf) => "finished: owner is self".to_owned(),
        break_lock::Step::Finished(break_lock::Outcome::Failed(errno)) => format!("finished: {errno}"),
    }
}

fn client(client: ClientId) -> String {
    format!("{}/{}", client.gid, client.handle)
}

fn result(result: OpResult) -> String {
    result.map_or_else(|errno| errno.to_string(), |()| "ok".to_owned())
}

fn answer(answer: Option<OpResult>) -> String {
    answer.map_or_else(|| "empty".to_owned(), result)
}

fn ended(ended: &Ended) -> String {
    ended.as_ref().map_or_else(failed, |()| "ok".to_owned())
}

/// The reason, if there is one, in quotes.
fn failed(Failure { errno, reason }: &Failure) -> String {
    if reason.is_empty() { errno.to_string() } else { format!("{errno} {reason:?}") }
}

fn deadline(deadline: Option<Millis>) -> String {
    deadline.map_or_else(|| "-".to_owned(), |deadline| deadline.0.to_string())
}

fn ownership(ownership: Ownership) -> &'static str {
    match ownership {
        Ownership::NotOwner => "peer",
        Ownership::Leaving => "leaving",
        Ownership::Accepting => "owner",
    }
}

fn request(request: &Request) -> String {
    let name = request.operation.entry().name.replace('_', "-");
    let operation = match &request.operation {
        Operation::Resize { size, .. } => format!("{name}={size}"),
        Operation::SnapCreate { name: of } | Operation::SnapRemove { name: of } => format!("{name}={of}"),
        _ => name,
    };
    format!("{} handle={} attempt={} {operation}", request.id, request.handle, request.attempt)
}

fn message(message: &Message) -> String {
    match message {
        Message::AcquiredLock(id) => format!("AcquiredLock {}", client(*id)),
        Message::ReleasedLock(id) => format!("ReleasedLock {}", id.map_or("-".to_owned(), client)),
        Message::RequestLock(from) => format!("RequestLock {}", client(*from)),
        Message::HeaderUpdate => "HeaderUpdate".to_owned(),
        Message::AsyncProgress { id, offset, total } => format!("AsyncProgress {id} {offset}/{total}"),
        Message::AsyncComplete { id, result } => {
            let (number, reason) = ended_to_message(result);
            format!("AsyncComplete {id} {number} {reason}").trim_end().to_owned()
        }
        Message::Request(request) => format!("Request {}", self::request(request)),
        Message::Unknown => "Unknown".to_owned(),
    }
}

fn outcome(outcome: &OpOutcome) -> String {
    match outcome {
        OpOutcome::Failed(failure) => format!("Failed {}", failed(failure)),
        OpOutcome::Dead(errno) => format!("Dead {errno}"),
        OpOutcome::NotPlaced(RpcOutcome::TwoOwners { a, b }) => {
            format!("NotPlaced TwoOwners {} {}", client(*a), client(*b))
        }
        OpOutcome::NotPlaced(RpcOutcome::Refused(failure)) => {
            format!("NotPlaced Refused {}", failed(failure))
        }
        OpOutcome::NotPlaced(RpcOutcome::NotifyFailed(errno)) => format!("NotPlaced NotifyFailed {errno}"),
        OpOutcome::NotPlaced(other) => format!("NotPlaced {other:?}"),
        other => format!("{other:?}"),
    }
}
