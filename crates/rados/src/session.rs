use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use errno::Errno;
use prost::Message;
use proto::osd::v1 as wire;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, ObjectOp, Submitted,
    submitted::Waiter,
    watch::Command,
    window::{Bounds, Full, Window},
};

/// Encoded bytes of the ops in flight (Ceph: `objecter_inflight_op_bytes`).
const BYTES_IN_FLIGHT_MAX: usize = 100 << 20;
/// Ops of one session that are in flight or queued; one more is answered EAGAIN.
const OPS_UNANSWERED_MAX: usize = 16_384;
/// Most bytes that tid and watermark add to a request when it is sent.
const TID_AND_WATERMARK_BYTES: usize = 22;
/// Jitter streams below this belong to the session's tasks.
const FIRST_CALL: u64 = 16;

/// One client instance: what its handles, its op stream's task and its watch stream's task share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) gid: u64,
    /// How the OSD names the instance.
    pub(crate) address: String,
    pub(crate) config: Config,
    limits: wire::Limits,
    state: Mutex<State>,
    /// Cancelled when the session has ended; every task and every call of it watches this.
    pub(crate) over: CancellationToken,
    /// Woken when the last unanswered op was answered.
    drained: Notify,
    /// To the task of the watch stream, which never makes a sender wait.
    pub(crate) watch_commands: mpsc::UnboundedSender<Command>,
    /// How many watches there are on (pool, object), registered or about to be.
    watched: Mutex<BTreeMap<Watched, usize>>,
    next_watch: AtomicU64,
    next_open: AtomicU64,
    next_call: AtomicU64,
}

#[derive(Debug)]
struct State {
    window: Window<Waiter>,
    /// To the open op stream; what is sent here is bounded by the window.
    link: Option<mpsc::UnboundedSender<wire::OperateRequest>>,
    /// Why no op is taken any more.
    refusal: Option<Error>,
    /// Set once, when the session has ended.
    ended: Option<Error>,
}

impl Session {
    pub(crate) fn new(
        reply: wire::ConnectReply,
        config: Config,
        watch_commands: mpsc::UnboundedSender<Command>,
    ) -> Self {
        let limits = reply.limits.unwrap_or_default();
        Self {
            gid: reply.gid,
            address: reply.address,
            config,
            state: Mutex::new(State {
                window: Window::new(bounds(&limits)),
                link: None,
                refusal: None,
                ended: None,
            }),
            limits,
            over: CancellationToken::new(),
            drained: Notify::new(),
            watch_commands,
            watched: Mutex::default(),
            next_watch: AtomicU64::new(1),
            next_open: AtomicU64::new(1),
            next_call: AtomicU64::new(FIRST_CALL),
        }
    }

    /// Takes an op in program order and sends it as soon as the window allows.
    pub(crate) fn submit(&self, pool: &str, object: &str, op: ObjectOp) -> Submitted {
        let (waiter, submitted) = Submitted::new(format!("{} on {pool}/{object}", op.summary()));
        if let Err(error) = self.check(&op) {
            waiter.fail(&error);
            return submitted;
        }
        let request = op.into_wire(self.gid, pool, object);
        let bytes = request.encoded_len() + TID_AND_WATERMARK_BYTES;
        if bytes > rpc::MESSAGE_BYTES_MAX {
            let limit = rpc::MESSAGE_BYTES_MAX as u64;
            waiter.fail(&over_limit("message bytes", bytes as u64, "MESSAGE_BYTES_MAX", limit));
            return submitted;
        }
        let mut state = self.state();
        if let Some(refusal) = &state.refusal {
            waiter.fail(refusal);
        } else if let Err(Full(waiter)) = state.window.push(request, waiter) {
            let text = format!("{OPS_UNANSWERED_MAX} ops are unanswered, the limit OPS_UNANSWERED_MAX");
            waiter.fail(&Error::new(Errno::EAGAIN, "", text));
        } else {
            state.pump();
        }
        submitted
    }

    /// The OSD's limits, before anything is sent.
    fn check(&self, op: &ObjectOp) -> Result<(), Error> {
        let ops_max = u64::from(self.limits.ops_per_vector_max);
        let payload_max = self.limits.payload_bytes_max;
        if op.is_empty() {
            return Err(Error::new(Errno::EINVAL, "", "an op vector needs at least one op"));
        }
        if op.len() as u64 > ops_max {
            return Err(over_limit("number of ops", op.len() as u64, "ops_per_vector_max", ops_max));
        }
        if op.payload_bytes() > payload_max {
            return Err(over_limit("payload bytes", op.payload_bytes(), "payload_bytes_max", payload_max));
        }
        Ok(())
    }

    /// Makes `link` the open op stream: everything unanswered goes there, in order.
    pub(crate) fn attach(&self, link: mpsc::UnboundedSender<wire::OperateRequest>) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        state.window.rewind();
        state.link = Some(link);
        state.pump();
    }

    /// The op stream broke.
    pub(crate) fn detach(&self) {
        self.state().link = None;
    }

    /// The op stream ended because a message on it was not let through. The op that was alone on the stream gets the
    /// error; whether it happened is not known, for its answer may be the message. Of several ops none gets it: they are
    /// sent again one at a time.
    pub(crate) fn refused(&self, cause: &Error) {
        let mut state = self.state();
        let waiter = state.window.refused();
        let is_drained = state.window.is_empty();
        drop(state);
        tracing::warn!(gid = self.gid, %cause, is_found = waiter.is_some(), "an op ended the op stream");
        if let Some(waiter) = waiter {
            waiter.fail(cause);
        }
        if is_drained {
            self.drained.notify_waiters();
        }
    }

    /// Takes an answer from the op stream.
    pub(crate) fn answered(&self, mut reply: wire::OperateReply) {
        let fatal = reply.error.take_if(|error| ends_session(error));
        if let Some(error) = fatal {
            self.end(&Error::from_wire(error, format!("session {}", self.gid)));
            return;
        }
        let mut state = self.state();
        let waiter = state.window.answered(reply.tid);
        state.pump();
        let is_drained = state.window.is_empty();
        drop(state);
        if is_drained {
            self.drained.notify_waiters();
        }
        match waiter {
            Some(waiter) => waiter.answer(reply),
            None => tracing::warn!(gid = self.gid, tid = reply.tid, "answer to an op that is not in flight"),
        }
    }

    /// A tid for a unary call that may be sent twice.
    pub(crate) fn begin_call(self: &Arc<Self>) -> CallTid {
        CallTid { session: self.clone(), tid: self.state().window.begin_call() }
    }

    /// Ends the session for good: pending ops and calls fail with `cause`, tasks stop, watches are lost.
    pub(crate) fn end(&self, cause: &Error) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        tracing::info!(gid = self.gid, %cause, "session ended");
        state.ended = Some(cause.clone());
        state.refusal = Some(cause.clone());
        state.link = None;
        let waiters = state.window.take_all();
        drop(state);
        waiters.into_iter().for_each(|waiter| waiter.fail(cause));
        self.over.cancel();
        self.drained.notify_waiters();
    }

    /// Takes no more ops.
    pub(crate) fn close(&self, cause: &Error) {
        self.state().refusal.get_or_insert_with(|| cause.clone());
    }

    /// Waits until no op is unanswered.
    pub(crate) async fn drain(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.state().window.is_empty() {
                return;
            }
            drained.await;
        }
    }

    pub(crate) fn ended(&self) -> Option<Error> {
        self.state().ended.clone()
    }

    /// Why a call cannot go on; for calls that saw `over`.
    pub(crate) fn why_over(&self, attempted: &str) -> Error {
        match self.ended() {
            Some(cause) => cause.seen_by(attempted),
            None => Error::new(Errno::ESHUTDOWN, attempted, "the session is shut down"),
        }
    }

    pub(crate) fn next_watch(&self) -> u64 {
        self.next_watch.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one watch more on the object, until the result is dropped.
    pub(crate) fn count_watch(self: &Arc<Self>, pool: &str, object: &str) -> CountedWatch {
        let watched = (pool.to_owned(), object.to_owned());
        *self.watched().entry(watched.clone()).or_default() += 1;
        CountedWatch { session: self.clone(), watched }
    }

    pub(crate) fn watches_of(&self, pool: &str, object: &str) -> usize {
        self.watched().get(&(pool.to_owned(), object.to_owned())).copied().unwrap_or(0)
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Watched, usize>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_open(&self) -> u64 {
        self.next_open.fetch_add(1, Ordering::Relaxed)
    }

    /// Separates the jitter of concurrent calls.
    pub(crate) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends what the window allows.
    fn pump(&mut self) {
        let Some(link) = &self.link else { return };
        while let Some(request) = self.window.next_to_send() {
            if link.send(request).is_err() {
                // The stream broke; its task attaches another one, which rewinds the window.
                self.link = None;
                return;
            }
        }
    }
}

/// Pool and object.
type Watched = (String, String);

/// One of the watches that its session counts.
#[derive(Debug)]
pub(crate) struct CountedWatch {
    session: Arc<Session>,
    watched: Watched,
}

impl Drop for CountedWatch {
    fn drop(&mut self) {
        let mut watched = self.session.watched();
        if let Some(count) = watched.get_mut(&self.watched) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.watched);
            }
        }
    }
}

/// The tid of a unary call. Dropped when the call was answered or its caller has gone: the call is not sent again then.
pub(crate) struct CallTid {
    session: Arc<Session>,
    tid: u64,
}

impl CallTid {
    pub(crate) fn get(&self) -> u64 {
        self.tid
    }
}

impl Drop for CallTid {
    fn drop(&mut self) {
        let mut state = self.session.state();
        state.window.call_answered(self.tid);
        state.pump();
        if state.window.is_empty() {
            self.session.drained.notify_waiters();
        }
    }
}

/// The OSD counts the ops in flight of each op stream, so that those of a connection that broke do not matter.
fn bounds(limits: &wire::Limits) -> Bounds {
    Bounds {
        ops_in_flight_max: (limits.in_flight_ops_per_session_max as usize).max(1),
        bytes_in_flight_max: BYTES_IN_FLIGHT_MAX,
        ops_unanswered_max: OPS_UNANSWERED_MAX,
    }
}

fn ends_session(error: &wire::Error) -> bool {
    Error::from_wire(error.clone(), "").ends_session()
}

fn over_limit(what: &str, value: u64, limit: &str, limit_value: u64) -> Error {
    Error::new(Errno::E2BIG, "", format!("{what} {value} is more than the limit {limit} = {limit_value}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn session() -> Session {
        let limits = wire::Limits { payload_bytes_max: 16, ops_per_vector_max: 1, ..wire::Limits::default() };
        let reply =
            wire::ConnectReply { gid: u64::MAX, limits: Some(limits), ..wire::ConnectReply::default() };
        Session::new(reply, Config::ci(), mpsc::unbounded_channel().0)
    }

    /// An op vector of so many bytes when it is sent with the greatest tid and watermark.
    fn submit(session: &Session, bytes_when_sent: usize) -> Submitted {
        let length = |name_length: usize| {
            let mut request = ObjectOp::new().stat().into_wire(session.gid, "rbd", &"x".repeat(name_length));
            (request.tid, request.watermark) = (u64::MAX, u64::MAX);
            request.encoded_len()
        };
        let object = "x".repeat(bytes_when_sent - (length(bytes_when_sent) - bytes_when_sent));
        assert_eq!(length(object.len()), bytes_when_sent);
        session.submit("rbd", &object, ObjectOp::new().stat())
    }

    #[test]
    fn a_message_that_tid_and_watermark_would_make_too_long_is_refused_and_not_sent() {
        let session = session();
        assert!(submit(&session, rpc::MESSAGE_BYTES_MAX).now_or_never().is_none());
        let error = submit(&session, rpc::MESSAGE_BYTES_MAX + 1).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.errno(), Errno::E2BIG);
        assert!(error.text().contains("MESSAGE_BYTES_MAX"), "{error}");
    }
}
