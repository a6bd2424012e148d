//! What goes into and comes out of the exclusive lock.

use errno::Errno;

use crate::acquire;
use crate::ids::{ClientId, Millis, Token};
use crate::lock::State;
use crate::message::Message;
use crate::outcome::{OpResult, RpcOutcome};

/// Settings of one image's lock; names are Ceph's where Ceph has them.
#[derive(Clone, Debug, Hash)]
pub struct Config {
    /// Own client instance.
    pub gid: u64,
    /// `rbd_auto_exclusive_lock_until_manual_request`: automatic policy until an explicit acquire; false: standard at once.
    pub automatic_until_manual_request: bool,
    /// `rbd_blocklist_on_break_lock`: without fencing, an unchanged cookie proves nothing after a rewatch (facts 3.9).
    pub blocklist_on_break_lock: bool,
    /// Ceph: constant 1 s. Between two attempts that found the lock taken.
    pub retry_delay: Millis,
    /// `client_notify_timeout`, 10 s: ask again although the owner accepted.
    pub client_notify_timeout: Millis,
    /// `rbd_lock_hold_max`: how long an owner that runs operations may hold on after it accepted a RequestLock; doubled with
    /// each attempt of the operation.
    pub lock_hold_max: Millis,
    /// Of the jitter.
    pub seed: u64,
}

/// Who waits for an acquire; decides what a foreign (manual) lock and a refusal mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Block I/O: waits as long as a foreign lock stands.
    Io,
    /// A maintenance operation whose owner cannot run it: a foreign lock is EROFS.
    Operation,
    /// The user asked for the lock: success switches to the standard policy. A foreign lock is EROFS.
    Explicit,
}

/// Whether the lock is given away on request (facts 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Taken on demand, given away on request.
    Automatic,
    /// Never given away on request: RequestLock is answered EROFS. Forwarded operations still run.
    Standard,
}

/// What the image watcher has to know about the lock to answer a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// Not the owner: acks are empty.
    NotOwner,
    /// Owner, but on the way to give the lock away: known requests go on, others are not taken.
    Leaving,
    /// Owner; forwarded requests are accepted.
    Accepting,
}

/// What happens to the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Once, first. Answered with [`Effect::CloseGate`].
    Init,
    /// The gate is closed: the lock can be used.
    Initialized,
    /// Take the lock if it is free; never asks a peer. Ok without ownership when a live peer has it (ask
    /// [`ExclusiveLock::is_owner`](super::ExclusiveLock::is_owner)), EBUSY when a foreign lock stands.
    TryAcquire {
        /// Completed once.
        token: Token,
    },
    /// Take the lock, asking a live peer for it and waiting.
    Acquire {
        /// Completed once.
        token: Token,
        /// Who waits.
        purpose: Purpose,
    },
    /// Give the lock away now and go back to the configured policy. Ok at once for a client that has no lock to give.
    Release {
        /// Completed once.
        token: Token,
    },
    /// The image closes. Waiting acquires end with ESHUTDOWN.
    ShutDown {
        /// Completed once.
        token: Token,
    },
    /// The watch was registered under this handle, at first or anew (a watch that merely resumed missed nothing and is not
    /// reported). Wakes waiters; an owner reacquires.
    WatchRegistered {
        /// Not 0.
        handle: u64,
    },
    /// The watch is gone and being registered anew: no handle until then.
    WatchUnregistered,
    /// The watch is lost for good: EBLOCKLISTED or ENOENT. Wakes and fails every waiter, now and later.
    Dead(Errno),
    /// End of [`Effect::Acquire`].
    AcquireEnded(acquire::Outcome),
    /// End of [`Effect::PostAcquire`].
    PostAcquired(OpResult),
    /// End of [`Effect::SetCookie`].
    CookieSet(OpResult),
    /// End of [`Effect::PreRelease`]. Draining cannot fail: what ends with an error has ended all the same.
    PreReleased,
    /// End of [`Effect::Unlock`]. An error says that the lock was lost before: ENOENT, or the session has ended.
    Unlocked(OpResult),
    /// End of [`Effect::SendRequestLock`].
    RequestLockEnded {
        /// The effect's.
        send: Token,
        /// What the owner said.
        outcome: RpcOutcome,
    },
    /// An AcquiredLock of somebody was seen (from [`watcher::Effect::Lock`](crate::watcher::Effect::Lock)).
    PeerAcquired,
    /// A ReleasedLock of somebody was seen (likewise).
    PeerReleased,
    /// Somebody wants the lock (from [`watcher::Effect::Lock`](crate::watcher::Effect::Lock)); answered by one [`Effect::Ack`].
    RequestLock {
        /// Names the ack.
        ack: Token,
    },
    /// A maintenance operation, local or forwarded, runs under the lock.
    OperationStarted {
        /// Names the operation.
        operation: Token,
        /// Of the request: 1 for the first; each further one doubles the hold.
        attempt: u32,
    },
    /// It has ended, however it ended.
    OperationEnded {
        /// Names the operation.
        operation: Token,
    },
    /// The time of [`next_deadline`](super::ExclusiveLock::next_deadline) has come.
    Timer,
}

/// What the driver does for the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Close the gate for block I/O (reason: not owner); then [`Event::Initialized`]. Nothing is in flight yet.
    CloseGate,
    /// Open the gate. I/O that waits for it takes its permits before the driver performs a later effect, so that whoever
    /// asked for the lock gets at least one turn.
    OpenGate,
    /// Run an [`AcquireRequest`](acquire::AcquireRequest) under this watch handle; then [`Event::AcquireEnded`].
    Acquire {
        /// Goes into the cookie.
        handle: u64,
    },
    /// The lock is held: install the header state that the lock's op vector read (facts 3.7); then [`Event::PostAcquired`].
    PostAcquire,
    /// Change the cookie of the held lock and read the header in one op vector; then [`Event::CookieSet`].
    SetCookie {
        /// Handle in the cookie now.
        old: u64,
        /// Handle to be in the cookie.
        new: u64,
    },
    /// In this order: cancel all running operations and wait for them; close the gate and wait for I/O in flight; flush
    /// (facts 3.8). Then [`Event::PreReleased`].
    PreRelease,
    /// Unlock the cookie of this handle; then [`Event::Unlocked`]. Nobody can break the lock of a client that lives: whatever
    /// fails is tried again until the OSD says Ok or ENOENT, or the session has ended.
    Unlock {
        /// In the cookie.
        handle: u64,
    },
    /// Hand to [`watcher::Event::Announce`](crate::watcher::Event::Announce): AcquiredLock or ReleasedLock. Nobody waits for it.
    Announce(Message),
    /// Notify RequestLock, pick the answer ([`rpc_outcome`](crate::rpc_outcome)); then [`Event::RequestLockEnded`].
    SendRequestLock {
        /// Comes back in the event.
        send: Token,
        /// Me.
        from: ClientId,
    },
    /// Ack a RequestLock; None = empty.
    Ack {
        /// Of the event.
        ack: Token,
        /// Ok: will release. EROFS: will not.
        answer: Option<OpResult>,
    },
    /// The caller's request has ended.
    Complete {
        /// Of the event.
        token: Token,
        /// How.
        result: OpResult,
    },
    /// For the event log and `image.events()`.
    StateChanged(State),
}
