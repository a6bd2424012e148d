//! Client instances and what they have been told.

use std::collections::BTreeMap;

use errno::Errno;

use crate::op::OpResult;
use crate::watch::StreamId;
use crate::{Millis, OpError};

/// The reply to an op vector.
pub type Reply = Result<Answer, OpError>;

/// A vector that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the object after the vector; for reads of the state that was read; 0 when there is no object.
    pub version: u64,
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
    /// "peer address/gid".
    pub address: String,
    /// It has an op or watch stream open.
    pub is_connected: bool,
}

/// What was answered to a tid that must not run twice.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Reply(Reply),
    SnapId(u64),
}

/// Whether a tid is to run.
pub(crate) enum Admission {
    Run,
    /// It ran before.
    Ran(Stored),
}

#[derive(Debug)]
pub(crate) struct Session {
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
}

impl Session {
    pub(crate) fn new(now: Millis, name: String, address: String) -> Self {
        Self {
            name,
            address,
            op_streams: 0,
            watch_stream: None,
            notifies: 0,
            last_heard: now,
            is_due: false,
            watermark: 0,
            stored: BTreeMap::new(),
        }
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
            self.stored = self.stored.split_off(&watermark);
        }
    }

    /// ESTALE below the watermark: a late copy from an old connection.
    pub(crate) fn check_tid(&self, tid: u64) -> Result<(), OpError> {
        let watermark = self.watermark;
        if tid != 0 && tid < watermark {
            let text =
                format!("tid {tid} is below the session's watermark {watermark}: it has been answered");
            return Err(OpError { errno: Errno::ESTALE, failed_op: None, text });
        }
        Ok(())
    }

    /// Whether a tid that changes something is to run. EINVAL without a number; EAGAIN at the limit.
    pub(crate) fn admit(&self, tid: u64, stored_max: usize) -> Result<Admission, OpError> {
        if tid == 0 {
            let text = "a call that changes something needs a tid above 0".to_owned();
            return Err(OpError { errno: Errno::EINVAL, failed_op: None, text });
        }
        if let Some(stored) = self.stored.get(&tid) {
            return Ok(Admission::Ran(stored.clone()));
        }
        if self.stored.len() >= stored_max {
            let text = format!(
                "the session has stored_replies_per_session_max = {stored_max} replies that its watermark has not passed"
            );
            return Err(OpError { errno: Errno::EAGAIN, failed_op: None, text });
        }
        Ok(Admission::Run)
    }

    pub(crate) fn store(&mut self, tid: u64, stored: Stored) {
        let previous = self.stored.insert(tid, stored);
        debug_assert!(previous.is_none(), "a tid runs once");
    }
}
