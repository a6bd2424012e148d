//! The event log: what happened, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;

use crate::Millis;
use crate::limits::{DETAIL_BYTES_MAX, EVENT_PAYLOAD_BYTES_MAX};
use crate::text::{beginning, shown};

macro_rules! kinds {
    ($($kind:ident = $name:literal;)*) => {
        /// What an event tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`")] $kind,)*
        }

        impl Kind {
            /// As in osd.proto, e.g. "lock_broken".
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    SessionStarted = "session_started";
    SessionEnded = "session_ended";
    Applied = "applied";
    Refused = "refused";
    Duplicate = "duplicate";
    Lock = "lock";
    Unlock = "unlock";
    LockBroken = "lock_broken";
    LockCookie = "lock_cookie";
    Watch = "watch";
    Reconnected = "reconnected";
    WatchLost = "watch_lost";
    WatchExpired = "watch_expired";
    Unwatch = "unwatch";
    Notify = "notify";
    NotifySent = "notify_sent";
    Ack = "ack";
    NotifyDone = "notify_done";
    Blocklisted = "blocklisted";
    BlocklistRemoved = "blocklist_removed";
    PoolCreated = "pool_created";
    PoolRenamed = "pool_renamed";
    PoolRemoved = "pool_removed";
    SnapId = "snap_id";
    SnapTrimmed = "snap_trimmed";
    Fault = "fault";
    Gap = "gap";
}

impl Kind {
    /// Pools, snapshot ids or fences have changed: what a map of the cluster shows.
    pub(crate) const fn changes_map(self) -> bool {
        use Kind::{BlocklistRemoved, Blocklisted, PoolCreated, PoolRemoved, PoolRenamed, SnapId};
        matches!(self, PoolCreated | PoolRenamed | PoolRemoved | SnapId | Blocklisted | BlocklistRemoved)
    }
}

/// One thing that happened. Fields that do not apply are 0, `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1, without holes.
    pub sequence: u64,
    /// When.
    pub time: Millis,
    /// What.
    pub kind: Kind,
    /// Who did it, or whom it concerns.
    pub gid: u64,
    /// The op's number in its session.
    pub tid: u64,
    /// Pool name; of one that is too long the beginning.
    pub pool: String,
    /// Object name; of one that is too long the beginning.
    pub object: String,
    /// The object's version afterwards.
    pub version: u64,
    /// Of a watch.
    pub cookie: u64,
    /// Of a notify.
    pub notify_id: u64,
    /// Why it was refused or ended.
    pub error: Option<Errno>,
    /// For people.
    pub detail: String,
    /// Of an applied vector, for each op what it is about; empty when the names of the ops say it all.
    pub arguments: Vec<String>,
    /// Of a notify or an ack; of one above 4 KiB the beginning.
    pub payload: Bytes,
    /// Of the whole payload.
    pub payload_bytes: u64,
}

impl Event {
    /// Sequence and time are given by the log.
    pub(crate) fn new(kind: Kind, gid: u64) -> Self {
        Self {
            sequence: 0,
            time: Millis(0),
            kind,
            gid,
            tid: 0,
            pool: String::new(),
            object: String::new(),
            version: 0,
            cookie: 0,
            notify_id: 0,
            error: None,
            detail: String::new(),
            arguments: Vec::new(),
            payload: Bytes::new(),
            payload_bytes: 0,
        }
    }

    /// In place of the events after `after` up to `until`, which the reader was too slow for.
    pub fn gap(after: u64, until: u64, time: Millis) -> Self {
        let detail = format!("events {} to {until} are missing: their reader was too slow", after + 1);
        Self { sequence: until, time, detail, ..Self::new(Kind::Gap, 0) }
    }

    pub(crate) fn on(self, pool: &str, object: &str) -> Self {
        Self { pool: shown(pool).into_owned(), object: shown(object).into_owned(), ..self }
    }

    pub(crate) fn tid(self, tid: u64) -> Self {
        Self { tid, ..self }
    }

    pub(crate) fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn cookie(self, cookie: u64) -> Self {
        Self { cookie, ..self }
    }

    pub(crate) fn notify_id(self, notify_id: u64) -> Self {
        Self { notify_id, ..self }
    }

    pub(crate) fn error(self, error: Errno) -> Self {
        Self { error: Some(error), ..self }
    }

    pub(crate) fn detail(self, detail: impl AsRef<str>) -> Self {
        Self { detail: beginning(detail.as_ref(), DETAIL_BYTES_MAX).into_owned(), ..self }
    }

    pub(crate) fn arguments(self, arguments: Vec<String>) -> Self {
        Self { arguments, ..self }
    }

    /// Copied: an event is no reason to keep the message that brought it.
    pub(crate) fn payload(self, payload: &[u8]) -> Self {
        let shown = &payload[..payload.len().min(EVENT_PAYLOAD_BYTES_MAX)];
        Self { payload: Bytes::copy_from_slice(shown), payload_bytes: payload.len() as u64, ..self }
    }

    /// What it costs to keep.
    fn bytes(&self) -> usize {
        let arguments: usize =
            self.arguments.iter().map(|argument| size_of::<String>() + argument.len()).sum();
        let texts = self.pool.len() + self.object.len() + self.detail.len() + arguments;
        size_of::<Self>() + texts + self.payload.len()
    }
}

/// The newest events.
#[derive(Clone, Debug)]
pub(crate) struct EventLog {
    kept: VecDeque<Arc<Event>>,
    /// Of `kept`.
    bytes: usize,
    newest: u64,
    kept_max: usize,
    bytes_max: usize,
}

impl EventLog {
    pub(crate) fn new(kept_max: usize, bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, newest: 0, kept_max, bytes_max }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn tell(&mut self, now: Millis, event: Event) {
        self.newest += 1;
        self.bytes += event.bytes();
        self.kept.push_back(Arc::new(Event { sequence: self.newest, time: now, ..event }));
        while self.kept.len() > self.kept_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// At most `max` events with a sequence above `after`, behind a gap when older ones of them are no longer kept.
    pub(crate) fn after(&self, after: u64, max: usize) -> Vec<Arc<Event>> {
        let gone = self.newest - self.kept.len() as u64;
        let skipped = after.saturating_sub(gone).min(self.kept.len() as u64) as usize;
        let time = self.kept.front().map_or(Millis(0), |oldest| oldest.time);
        let gap = (after < gone).then(|| Arc::new(Event::gap(after, gone, time)));
        gap.into_iter().chain(self.kept.range(skipped..).take(max).cloned()).collect()
    }
}
