//! What goes into and comes out of the image watcher.

use errno::Errno;

use crate::ids::ClientId;
use crate::ids::{Millis, RequestId, Token};
use crate::lock::{self, Ownership};
use crate::message::{Message, Request};
use crate::outcome::{Ended, NotifyAnswers, OpOutcome};

/// Settings of one image's watcher; names are Ceph's where Ceph has them.
#[derive(Clone, Debug, Hash)]
pub struct Config {
    /// Own client instance.
    pub gid: u64,
    /// Counts the image opens of this instance: (gid, open) tells two opens of one image in one process apart.
    pub open: u64,
    /// `rbd_request_timed_out_seconds`: a forwarded request without progress.
    pub request_timed_out: Millis,
    /// Ceph: constant 600 s. How long a final result is remembered.
    pub completed_request_ttl: Millis,
    /// Ceph: constant 1 s. Longest pause between two sendings of an AsyncComplete that somebody did not ack.
    pub retry_delay: Millis,
    /// Of the jitter.
    pub seed: u64,
}

/// What happens to the watcher.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The watch was registered under this handle, at first or anew. Anew: notifies may have been missed, so the image is
    /// stale and requests that are out end with [`OpOutcome::WatchRenewed`].
    Registered {
        /// Not 0.
        handle: u64,
    },
    /// The watch's stream is lost: the owner is not known any more (facts 3.9).
    Interrupted,
    /// The watch is lost for good: EBLOCKLISTED or ENOENT.
    Dead(Errno),
    /// The image closes: messages are acked empty from here on, own requests end with [`OpOutcome::Closed`].
    Closing,
    /// A notify came.
    Received {
        /// Decoded; what does not decode is [`Message::Unknown`].
        message: Message,
        /// Client instance that notified, as the OSD knows it.
        notifier: u64,
        /// Names its ack: exactly one [`Effect::Ack`] (possibly through the lock) follows, now or later.
        ack: Token,
        /// [`ExclusiveLock::ownership`](lock::ExclusiveLock::ownership) at this moment.
        ownership: Ownership,
    },
    /// From [`lock::Effect::Announce`]: remember the own part of it and tell everybody.
    Announce(Message),
    /// Requester: forward this to the owner. Completed once by [`Effect::Complete`].
    SendRequest {
        /// Names the caller.
        token: Token,
        /// `handle` is filled in by the watcher.
        request: Request,
    },
    /// Requester: the caller does not wait any longer (its deadline). No completion follows; unknown tokens are ignored.
    Forget {
        /// Of the send.
        token: Token,
    },
    /// End of [`Effect::Notify`].
    NotifyEnded {
        /// Of the effect.
        send: Token,
        /// One that timed out is Ok with `timed_out`.
        result: Result<NotifyAnswers, Errno>,
    },
    /// Owner: end of [`Effect::Refresh`].
    RefreshDone {
        /// Of the effect.
        id: RequestId,
        /// An error is the answer.
        result: Ended,
        /// At this moment: it may have changed during the refresh.
        ownership: Ownership,
    },
    /// Owner: a forwarded operation got this far.
    OperationProgress {
        /// Which.
        id: RequestId,
        /// Done so far.
        offset: u64,
        /// All of it.
        total: u64,
    },
    /// Owner: a forwarded operation has ended. An operation that ended because the lock was lost says ERESTART.
    OperationEnded {
        /// Which.
        id: RequestId,
        /// ERESTART, EBLOCKLISTED and ESHUTDOWN are not final: the request runs again when it is sent again.
        result: Ended,
    },
    /// The time of [`next_deadline`](super::ImageWatcher::next_deadline) has come.
    Timer,
}

/// What the driver does for the watcher.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Ack a notify; None = empty.
    Ack {
        /// Of the event.
        ack: Token,
        /// Only a lock owner answers.
        answer: Option<Ended>,
    },
    /// Notify everybody; then [`Event::NotifyEnded`]. Nothing waits for it in the meantime.
    Notify {
        /// Comes back in the event; unique within this watcher.
        send: Token,
        /// What to say.
        message: Message,
    },
    /// Feed this to the lock at once. An [`lock::Event::RequestLock`] brings the ack of the message.
    Lock(lock::Event),
    /// The header may have changed: refresh before the next use.
    MarkStale,
    /// Owner: refresh the image if it is stale; then [`Event::RefreshDone`] (at once if it is not).
    Refresh {
        /// Comes back in the event.
        id: RequestId,
    },
    /// Owner: run this; then [`Event::OperationEnded`]. It is acked already.
    StartOperation {
        /// What to run, for whom.
        request: Request,
    },
    /// Requester: the owner accepted.
    Placed {
        /// Of the send.
        token: Token,
        /// Who.
        owner: ClientId,
    },
    /// Requester: further than before within this attempt.
    Progress {
        /// Of the send.
        token: Token,
        /// Done so far.
        offset: u64,
        /// All of it.
        total: u64,
    },
    /// Requester: the attempt has ended.
    Complete {
        /// Of the send.
        token: Token,
        /// How.
        outcome: OpOutcome,
    },
}
