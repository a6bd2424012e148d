use bytes::Bytes;
use errno::Errno;
use proto::osd::v1 as wire;

/// What a notify gathered. Valid in all its parts also when somebody did not answer in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyReply {
    /// Somebody did not answer in time; Ceph's ETIMEDOUT.
    pub timed_out: bool,
    /// Who acked, with what.
    pub replies: Vec<Answer>,
    /// (gid, cookie) of the watches that did not answer. A watch that went away meanwhile is in neither list.
    pub missed: Vec<(u64, u64)>,
}

/// One ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Instance of the watcher.
    pub gid: u64,
    /// Its watch.
    pub cookie: u64,
    /// May be empty.
    pub payload: Bytes,
}

impl NotifyReply {
    /// ETIMEDOUT when somebody did not answer in time, as Ceph's notify2 returns it beside the partial replies.
    pub fn errno(&self) -> Option<Errno> {
        self.timed_out.then_some(Errno::ETIMEDOUT)
    }
}

impl From<wire::NotifyReply> for NotifyReply {
    fn from(reply: wire::NotifyReply) -> Self {
        let answer = |answer: wire::NotifyAnswer| Answer {
            gid: answer.gid,
            cookie: answer.cookie,
            payload: answer.payload,
        };
        Self {
            timed_out: reply.timed_out,
            replies: reply.replies.into_iter().map(answer).collect(),
            missed: reply.missed.into_iter().map(|watch| (watch.gid, watch.cookie)).collect(),
        }
    }
}
