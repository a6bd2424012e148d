//! Pipelined op vectors: executed in the order of the stream, answered as fast as the client reads.

mod reader;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use errno::Errno;
use futures_util::{Stream, StreamExt, stream};
use osd::OpError;
use proto::osd::v1::{OperateReply, OperateRequest};
use store::Seq;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::daemon::Daemon;
use crate::replies::Departing;
use crate::wire;
use reader::Reader;

/// Replies that wait beyond those that count as ops in flight: those that a fault has doubled, and the last word.
const EXTRA_REPLIES_QUEUED_MAX: usize = 64;

/// A reply on its way.
struct Queued {
    tid: u64,
    /// Its bytes are those of the store until the transport takes it.
    reply: osd::Reply,
    /// What its step may have seen: it leaves when that is durable.
    seen: Seq,
    /// It counts as an op in flight.
    _op: Option<OwnedSemaphorePermit>,
    /// Its bytes wait for the client.
    _bytes: Option<OwnedSemaphorePermit>,
}

/// The session that a client names when it opens a stream. EINVAL for what is no gid.
pub(crate) fn named_session(metadata: &MetadataMap) -> Result<Option<u64>, OpError> {
    let Some(gid) = metadata.get(rpc::GID_METADATA) else { return Ok(None) };
    let number = gid.to_str().ok().and_then(|gid| gid.parse().ok()).filter(|gid| *gid != 0);
    let text = || format!("metadata {}: {gid:?} is no gid", rpc::GID_METADATA);
    let refusal = || OpError { errno: Errno::EINVAL, failed_op: None, text: text() };
    number.map(Some).ok_or_else(refusal)
}

/// The replies to a stream of requests. No op's failure ends it.
///
/// The ops in flight and the bytes of replies are counted for each stream: at a limit it is not read any further until a reply is taken. None
/// is refused for that, because it may be one that is sent again and was applied long ago; and none waits for replies
/// that sit in a stream whose connection is gone. A reply is made for the transport when there is room for it in the whole OSD,
/// and is then one of those that are departing.
///
/// ENOTCONN, EBLOCKLISTED: the session that it names is not live.
pub(crate) fn open<S>(
    daemon: Arc<Daemon>,
    named: Option<u64>,
    requests: S,
    departing: Departing,
) -> Result<impl Stream<Item = Result<OperateReply, Status>> + use<S>, OpError>
where
    S: Stream<Item = Result<OperateRequest, Status>> + Send + Unpin + 'static,
{
    let cut = Cut::default();
    let mut sessions = Sessions { daemon: daemon.clone(), named: BTreeMap::new(), cut: cut.clone() };
    named.map_or(Ok(()), |gid| sessions.name(gid))?;
    let (replies, queued) = mpsc::channel(daemon.in_flight_ops_max() + EXTRA_REPLIES_QUEUED_MAX);
    let ended = daemon.closing.child_token();
    let guard = ended.clone().drop_guard();
    tokio::spawn(Reader::new(daemon.clone(), replies).read(requests, sessions, ended));
    let replies = ReceiverStream::new(queued).then(move |queued: Result<Queued, Status>| {
        let _until_the_stream_is_dropped: &DropGuard = &guard;
        let (daemon, departing) = (daemon.clone(), departing.clone());
        async move {
            let queued = queued?;
            daemon.until_durable(queued.seen).await;
            departing.add(&daemon.replies, wire::reply_bytes(&queued.reply), None).await;
            Ok(wire::reply(queued.tid, queued.reply))
        }
    });
    let is_cut = cut.token.clone().cancelled_owned();
    let why_cut =
        stream::iter([()]).filter_map(move |()| std::future::ready(cut.why.get().cloned().map(Err)));
    Ok(replies.take_until(is_cut).chain(why_cut))
}

/// Ends an op stream from outside.
#[derive(Clone, Default)]
pub(crate) struct Cut {
    token: CancellationToken,
    /// The last word to the client; set before the token is cancelled.
    why: Arc<OnceLock<Status>>,
}

impl Cut {
    pub(crate) fn cut(&self, why: Status) {
        // The first reason is the one that counts.
        let _ = self.why.set(why);
        self.token.cancel();
    }
}

/// The sessions that a stream has named; to them it counts as a stream until it ends.
struct Sessions {
    daemon: Arc<Daemon>,
    /// By gid; under which number the daemon knows the stream.
    named: BTreeMap<u64, u64>,
    cut: Cut,
}

impl Sessions {
    /// ENOTCONN, EBLOCKLISTED: the session is not live.
    fn name(&mut self, gid: u64) -> Result<(), OpError> {
        if self.named.contains_key(&gid) {
            return Ok(());
        }
        self.daemon.step(|osd, now| {
            let (_, effects) = osd.op_stream_opened(now, gid);
            (osd.session_over(gid).map_or(Ok(()), Err), effects)
        })?;
        self.named.insert(gid, self.daemon.know_op_stream(gid, self.cut.clone()));
        Ok(())
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        for (&gid, &number) in &self.named {
            self.daemon.forget_op_stream(gid, number);
            self.daemon.step(|osd, now| ((), osd.op_stream_closed(now, gid)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::ready;
    use proto::osd::v1::{Create, Op, Read, Stat, WriteFull, op::Op as W};

    use super::*;
    use crate::{Config, calls};

    const IN_FLIGHT_OPS_MAX: u32 = 4;

    fn daemon() -> Arc<Daemon> {
        let mut config = Config::ci();
        config.limits.in_flight_ops_per_session_max = IN_FLIGHT_OPS_MAX;
        Arc::new(Daemon::new(&config, 1).expect("the configuration is valid"))
    }

    /// On a connection that nobody ends.
    fn open<S>(
        daemon: Arc<Daemon>,
        named: Option<u64>,
        requests: S,
    ) -> Result<impl Stream<Item = Result<OperateReply, Status>> + use<S>, OpError>
    where
        S: Stream<Item = Result<OperateRequest, Status>> + Send + Unpin + 'static,
    {
        super::open(daemon, named, requests, Departing::default())
    }

    fn connect(daemon: &Daemon) -> u64 {
        daemon.connect("test", "peer").expect("there is room").0
    }

    fn request(gid: u64, tid: u64, op: W) -> Result<OperateRequest, Status> {
        let (pool, object) = ("rbd".to_owned(), format!("object {tid}"));
        Ok(OperateRequest { gid, tid, pool, object, ops: vec![Op { op: Some(op) }], ..Default::default() })
    }

    fn create(gid: u64, tid: u64) -> Result<OperateRequest, Status> {
        request(gid, tid, W::Create(Create { exclusive: true }))
    }

    /// Waits until the OSD has told so many events of the kind.
    async fn until(daemon: &Daemon, kind: &str, count: usize) {
        let told = |_: &u64| {
            daemon.events_after(0, 1000).iter().filter(|event| event.kind.name() == kind).count() >= count
        };
        daemon.newest_event().wait_for(told).await.expect("the daemon lives");
    }

    fn error(status: &Status) -> (String, String) {
        let error = rpc::status::to_error(status).expect("it is the OSD's word");
        (error.name, error.text)
    }

    #[tokio::test]
    async fn at_its_limit_a_stream_is_not_read_further_and_nothing_is_refused() {
        let daemon = daemon();
        let gid = connect(&daemon);
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let requests = stream::iter((1..=24).map(move |tid| create(gid, tid)));
        let requests = requests.inspect(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let replies = open(daemon.clone(), None, requests).expect("it opens");
        until(&daemon, "applied", IN_FLIGHT_OPS_MAX as usize).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), IN_FLIGHT_OPS_MAX as usize);
        let replies: Vec<_> = replies.collect().await;
        assert_eq!(replies.len(), 24);
        assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.error.is_none())));
    }

    #[tokio::test]
    async fn a_stream_whose_replies_nobody_takes_is_not_read_further_than_there_is_room_for_their_bytes() {
        let config = Config { reply_bytes_in_flight_max: 100_000, ..Config::ci() };
        let daemon = Arc::new(Daemon::new(&config, 1).expect("the configuration is valid"));
        let gid = connect(&daemon);
        let write = W::WriteFull(WriteFull { data: vec![7; 60_000].into() });
        let written = calls::operate(&daemon, request(gid, 1, write).expect("it is one")).await;
        written.expect("it is written");
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let large = OperateRequest {
            object: "object 1".to_owned(),
            ..request(0, 0, W::Read(Read::default())).expect("it is one")
        };
        let requests = stream::iter((0..24).map(move |_| Ok(large.clone()))).inspect(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let replies = open(daemon, None, requests).expect("it opens");
        while read.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), 2, "the second fills the room");
        assert_eq!(replies.collect::<Vec<_>>().await.len(), 24);
    }

    /// Nobody takes the replies of the streams whose connection is gone.
    #[tokio::test]
    async fn ops_sent_again_get_their_stored_replies_however_many_replies_sit_in_dead_streams() {
        let daemon = daemon();
        let gid = connect(&daemon);
        let tids = 1..=u64::from(IN_FLIGHT_OPS_MAX);
        let sent = || stream::iter(tids.clone().map(move |tid| create(gid, tid)));
        let mut dead = Vec::new();
        for _ in 0..3 {
            dead.push(open(daemon.clone(), Some(gid), sent().chain(stream::pending())).expect("it opens"));
        }
        until(&daemon, "duplicate", 2 * IN_FLIGHT_OPS_MAX as usize).await;
        let replies: Vec<_> = open(daemon, Some(gid), sent()).expect("it opens").collect().await;
        let answered = replies.into_iter().map(|reply| reply.expect("no op ends the stream"));
        assert!(answered.map(|reply| (reply.tid, reply.error)).eq(tids.map(|tid| (tid, None))));
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_read_is_the_last_and_the_client_is_told() {
        let daemon = daemon();
        for (status, errno) in
            [(Status::out_of_range("too large"), "E2BIG"), (Status::internal("no message"), "EBADMSG")]
        {
            let requests = stream::iter([request(0, 0, W::Stat(Stat {})), Err(status)]);
            let replies: Vec<_> = open(daemon.clone(), None, requests).expect("it opens").collect().await;
            let [Ok(_), Err(last)] = replies.as_slice() else { panic!("{replies:?}") };
            assert_eq!(error(last).0, errno);
        }
    }

    #[tokio::test]
    async fn one_stream_too_many_ends_the_oldest_of_its_session_and_names_the_limit() {
        let daemon = daemon();
        let (gid, other) = (connect(&daemon), connect(&daemon));
        let open = |gid| open(daemon.clone(), Some(gid), stream::pending()).expect("it opens");
        let bystander = open(other);
        let mut streams: Vec<_> = (0..9).map(|_| Box::pin(open(gid))).collect();
        let last: Vec<_> = streams.remove(0).collect().await;
        let [Err(last)] = last.as_slice() else { panic!("{last:?}") };
        let (name, text) = error(last);
        assert_eq!(name, "EAGAIN");
        assert!(text.contains("op_streams_per_session_max = 8"), "{text}");
        streams.push(Box::pin(bystander));
        for mut stream in streams {
            assert!(futures_util::poll!(stream.next()).is_pending());
        }
    }

    #[tokio::test]
    async fn a_stream_that_names_its_session_counts_before_its_first_request() {
        let daemon = daemon();
        let gid = connect(&daemon);
        let _open = open(daemon.clone(), Some(gid), stream::pending()).expect("it opens");
        assert!(daemon.look(osd::Osd::sessions)[0].is_connected);
    }

    #[tokio::test]
    async fn a_stream_that_names_a_session_that_is_over_is_refused() {
        let daemon = daemon();
        let gid = connect(&daemon);
        daemon.step(|osd, now| osd.blocklist_add(now, gid, None, 0)).expect("it is fenced");
        let errno = |gid| open(daemon.clone(), Some(gid), stream::pending()).err().map(|error| error.errno);
        assert_eq!(errno(gid), Some(Errno::EBLOCKLISTED));
        assert_eq!(errno(gid + 1), Some(Errno::ENOTCONN));
    }

    #[test]
    fn a_name_that_is_no_gid_is_refused() {
        for (text, expected) in [("7", Ok(Some(7))), ("0", Err(Errno::EINVAL)), ("x", Err(Errno::EINVAL))] {
            let mut metadata = MetadataMap::new();
            metadata.insert(rpc::GID_METADATA, text.parse().expect("it is ASCII"));
            assert_eq!(named_session(&metadata).map_err(|error| error.errno), expected);
        }
        assert_eq!(named_session(&MetadataMap::new()), Ok(None));
    }

    #[tokio::test]
    async fn clients_without_a_session_do_not_take_the_room_of_each_other() {
        let daemon = daemon();
        let calls: Vec<_> = (0..=IN_FLIGHT_OPS_MAX).map(|_| daemon.admit_op(0)).collect();
        assert!(calls.iter().all(Result::is_ok));
        let stat = || stream::iter((1..=4).map(|_| request(0, 0, W::Stat(Stat {}))));
        let _full = open(daemon.clone(), None, stat().chain(stream::pending())).expect("it opens");
        until(&daemon, "refused", 4).await;
        let missing = |reply: Result<OperateReply, Status>| {
            ready(reply.expect("no op ends the stream").error.expect("there is no object").name)
        };
        let replies: Vec<_> = open(daemon, None, stat()).expect("it opens").then(missing).collect().await;
        assert_eq!(replies, ["ENOENT"; 4]);
    }

    #[tokio::test]
    async fn one_call_too_many_of_a_session_is_refused_and_the_limit_is_named() {
        let daemon = daemon();
        let gid = connect(&daemon);
        let _calls: Vec<_> = (0..IN_FLIGHT_OPS_MAX).map(|_| daemon.admit_op(gid).expect("room")).collect();
        let error = daemon.admit_op(gid).expect_err("there is no room");
        assert_eq!(error.errno, Errno::EAGAIN);
        assert!(error.text.contains("in_flight_ops_per_session_max = 4"), "{error}");
    }
}
