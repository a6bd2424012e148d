//! What a step of the OSD wants done.

use bytes::Bytes;
use store::Change;

use crate::agenda::Agenda;
use crate::event::{Event, EventLog};
use crate::notify::NotifyReply;
use crate::op::Door;
use crate::watch::StreamId;
use crate::{Millis, OpError};

/// To be carried out in order, before the effects of any later step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send an event down a watch stream. When it cannot be taken at once the stream is cut, and
    /// [`Osd::watch_stream_overrun`](crate::Osd::watch_stream_overrun) says so.
    ToWatcher {
        /// Which stream.
        stream: StreamId,
        /// What to send.
        event: WatchEvent,
    },
    /// End a watch stream, after what was sent to it; the OSD knows it no longer.
    CutStream {
        /// Which stream.
        stream: StreamId,
        /// What its client is told.
        reason: OpError,
    },
    /// Answer a notify. Whoever asked may be gone.
    NotifyDone {
        /// Given when it began.
        notify_id: u64,
        /// The answer.
        reply: NotifyReply,
    },
    /// A session is over: nothing of it is to be kept.
    SessionEnded {
        /// Which one.
        gid: u64,
    },
}

/// What goes down a watch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of osd.proto, documented there")]
pub enum WatchEvent {
    Result {
        cookie: u64,
        error: Option<OpError>,
    },
    Pong {
        sequence: u64,
    },
    Notification(Notification),
    /// Only to clients of Ceph's: others are answered where they called.
    NotifyDone {
        cookie: u64,
        notify_id: u64,
        reply: NotifyReply,
    },
    Disconnected {
        pool: String,
        object: String,
        cookie: u64,
        error: OpError,
    },
    Ask,
}

/// A notify on its way to one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Pool name.
    pub pool: String,
    /// Object name.
    pub object: String,
    /// Which notify.
    pub notify_id: u64,
    /// Which watch.
    pub cookie: u64,
    /// Who sent it.
    pub notifier_gid: u64,
    /// Through which door.
    pub door: Door,
    /// Of the object when it was sent.
    pub version: u64,
    /// What it says.
    pub payload: Bytes,
}

/// What every part of the OSD needs within a step: the time, and where to put what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) now: Millis,
    pub(crate) effects: Vec<Effect>,
    pub(crate) log: EventLog,
    pub(crate) agenda: Agenda,
    /// Grows with every change of pools, snapshot ids and fences.
    pub(crate) map_revision: u64,
    /// Records of what has happened and could not be refused, which the store does not have yet. Should it never have them, an
    /// OSD that is opened on it comes to the same by itself.
    pub(crate) unsaved: Vec<Change>,
    /// The agenda has an entry for them.
    pub(crate) is_save_planned: bool,
}

impl Step {
    pub(crate) fn tell(&mut self, event: Event) {
        self.map_revision += u64::from(event.kind.changes_map());
        self.log.tell(self.now, event);
    }

    pub(crate) fn send(&mut self, stream: StreamId, event: WatchEvent) {
        self.effects.push(Effect::ToWatcher { stream, event });
    }
}
