//! Client instances and what they have been told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use errno::Errno;
use marks::Mark;
use store::Change;

use crate::op::{Door, OpResult};
use crate::records::{self, Instance};
use crate::watch::StreamId;
use crate::{Config, Millis, OpError, Refused, vector};

/// Of a stored reply beside its data.
const STORED_BYTES: u64 = 64;

/// Records of replies that are kept no longer, which go with the record of a new one.
const RECORDS_PER_REPLY_MAX: usize = 16;

/// The reply to an op vector.
pub type Reply = Result<Answer, Refused>;

/// A vector that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the object after the vector; for reads of the state that was read; 0 when there is no object.
    pub version: u64,
    /// As RADOS numbers it: what the last op of a vector that changed nothing came to, if that is positive, or else 0.
    pub number: i32,
    /// One for each op.
    pub results: Vec<OpResult>,
}

/// A live session, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The instance.
    pub gid: u64,
    /// Given at connect.
    pub name: String,
    /// As Ceph shows it: IP:PORT/NONCE.
    pub address: String,
    /// It has an op or watch stream open.
    pub is_connected: bool,
}

/// What was answered to a tid that must not run twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Reply(Arc<Reply>),
    SnapId(u64),
}

impl Stored {
    /// What it costs to keep.
    fn bytes(&self) -> u64 {
        STORED_BYTES
            + match self {
                Self::Reply(reply) => match reply.as_ref() {
                    Ok(answer) => vector::result_bytes(&answer.results),
                    Err(refused) => refused.error.text.len() as u64 + vector::result_bytes(&refused.results),
                },
                Self::SnapId(_) => 0,
            }
    }
}

/// Whether a tid is to run.
pub(crate) enum Admission {
    Run,
    /// It ran before.
    Ran(Stored),
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) door: Door,
    pub(crate) name: String,
    pub(crate) address: String,
    /// Op streams that have named this session.
    pub(crate) op_streams: u32,
    pub(crate) watch_stream: Option<StreamId>,
    /// Notifies that have not ended.
    pub(crate) notifies: u32,
    /// Of the last call or the end of the last stream.
    pub(crate) last_heard: Millis,
    /// The agenda has an entry for it.
    pub(crate) is_due: bool,
    /// Every lower tid has been answered to the client.
    watermark: u64,
    stored: BTreeMap<u64, Stored>,
    /// Of `stored`.
    stored_bytes: u64,
    /// Tids whose replies are kept no longer and whose records may still be there.
    passed: VecDeque<u64>,
}

impl Session {
    pub(crate) fn new(now: Millis, door: Door, name: String, address: String) -> Self {
        Self {
            door,
            name,
            address,
            op_streams: 0,
            watch_stream: None,
            notifies: 0,
            last_heard: now,
            is_due: false,
            watermark: 0,
            stored: BTreeMap::new(),
            stored_bytes: 0,
            passed: VecDeque::new(),
        }
    }

    /// What the store is to know of it.
    pub(crate) fn record(&self, gid: u64) -> Instance {
        let Self { door, name, address, .. } = self;
        Instance { gid, is_ceph: *door == Door::Ceph, name: name.clone(), address: address.clone() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.op_streams > 0 || self.watch_stream.is_some()
    }

    /// When the session ends if nothing more is heard; `None` while it has a stream or a call.
    pub(crate) fn ends_at(&self, timeout: Millis) -> Option<Millis> {
        let is_in_use = self.is_connected() || self.notifies > 0;
        (!is_in_use).then(|| self.last_heard.after(timeout))
    }

    /// The client has the answers to all lower tids.
    pub(crate) fn advance(&mut self, watermark: u64) {
        if watermark > self.watermark {
            self.watermark = watermark;
            let kept = self.stored.split_off(&watermark);
            if !self.stored.is_empty() {
                marks::hit(Mark::WatermarkPassed);
            }
            self.stored_bytes -= self.stored.values().map(Stored::bytes).sum::<u64>();
            self.passed.extend(self.stored.keys());
            self.stored = kept;
        }
    }

    /// ESTALE below the watermark: a late copy from an old connection.
    pub(crate) fn check_tid(&self, tid: u64) -> Result<(), OpError> {
        let watermark = self.watermark;
        if tid != 0 && tid < watermark {
            marks::hit(Mark::TidTooLate);
            let text =
                format!("tid {tid} is below the session's watermark {watermark}: it has been answered");
            return Err(OpError { errno: Errno::ESTALE, failed_op: None, text });
        }
        Ok(())
    }

    /// Whether a tid that changes something is to run. EINVAL without a number; EAGAIN at the limits.
    pub(crate) fn admit(&self, tid: u64, config: &Config) -> Result<Admission, OpError> {
        if tid == 0 {
            marks::hit(Mark::TidMissing);
            let text = "a call that changes something needs a tid above 0".to_owned();
            return Err(OpError { errno: Errno::EINVAL, failed_op: None, text });
        }
        if let Some(stored) = self.stored.get(&tid) {
            return Ok(Admission::Ran(stored.clone()));
        }
        if self.door == Door::Ceph {
            // Its replies make room for each other: it promises nothing.
            return Ok(Admission::Run);
        }
        let (count_max, bytes_max) =
            (config.stored_replies_per_session_max, config.stored_reply_bytes_per_session_max);
        let limit = if self.stored.len() >= count_max {
            Some(format!("stored_replies_per_session_max = {count_max} replies"))
        } else if self.stored_bytes >= bytes_max {
            Some(format!("stored_reply_bytes_per_session_max = {bytes_max} bytes of replies"))
        } else {
            None
        };
        if let Some(limit) = limit {
            marks::hit(Mark::TidsTooMany);
            let text = format!("the session has {limit} that its watermark has not passed");
            return Err(OpError { errno: Errno::EAGAIN, failed_op: None, text });
        }
        marks::hit(Mark::TidNew);
        Ok(Admission::Run)
    }

    /// What the store is to know of a reply, and need not know any longer. Behind it, [`Session::recorded`].
    pub(crate) fn reply_records(&self, gid: u64, tid: u64, stored: Stored) -> impl Iterator<Item = Change> {
        let reply = records::Reply { gid, tid, watermark: self.watermark, stored };
        let passed = self.passed.iter().take(RECORDS_PER_REPLY_MAX);
        let gone = passed.map(move |&tid| records::gone(records::reply_key(gid, tid)));
        gone.chain([records::kept(&reply)])
    }

    /// The store knows of the reply.
    pub(crate) fn recorded(&mut self) {
        self.passed.drain(..RECORDS_PER_REPLY_MAX.min(self.passed.len()));
    }

    /// A reply whose record was found.
    pub(crate) fn restore(&mut self, reply: records::Reply) {
        marks::hit(Mark::ReplyRestored);
        self.keep(reply.tid, reply.stored);
        self.advance(reply.watermark);
    }

    /// What later answers to its client depend on; not the versions in its stored replies.
    pub(crate) fn project(&self, into: &mut impl std::fmt::Write) {
        // Whoever hashes does not fail.
        let _hashed = write!(into, "{}", self.watermark);
        for (tid, stored) in &self.stored {
            let _hashed = match stored {
                Stored::Reply(reply) => match reply.as_ref() {
                    Ok(answer) => write!(into, "{tid}{:?}", answer.results),
                    Err(refused) => write!(into, "{tid}{:?}", refused.error.errno),
                },
                Stored::SnapId(snap_id) => write!(into, "{tid}{snap_id}"),
            };
        }
    }

    /// Whether there may be records of its replies.
    pub(crate) fn has_reply_records(&self) -> bool {
        !self.stored.is_empty() || !self.passed.is_empty()
    }

    pub(crate) fn store(&mut self, tid: u64, stored: Stored, config: &Config) {
        if self.door == Door::Ceph {
            self.make_room(config);
            // It may be one that had to make room before.
            self.passed.retain(|&passed| passed != tid);
        }
        self.keep(tid, stored);
    }

    fn keep(&mut self, tid: u64, stored: Stored) {
        self.stored_bytes += stored.bytes();
        let previous = self.stored.insert(tid, stored);
        debug_assert!(previous.is_none(), "a tid runs once");
    }

    /// Of a client that never says what it has the answers to: the oldest replies go.
    fn make_room(&mut self, config: &Config) {
        let (count_max, bytes_max) =
            (config.replays_per_entity_max, config.stored_reply_bytes_per_session_max);
        while self.stored.len() >= count_max || self.stored_bytes >= bytes_max {
            let Some((tid, oldest)) = self.stored.pop_first() else { return };
            self.stored_bytes -= oldest.bytes();
            self.passed.push_back(tid);
        }
    }
}
