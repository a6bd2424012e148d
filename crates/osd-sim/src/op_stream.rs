//! Pipelined op vectors: executed in the order of the stream, answered as fast as the client reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use proto::osd::v1::{OperateReply, OperateRequest};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::daemon::Daemon;
use crate::wire;

/// Answers that wait beyond those that count as ops in flight: refusals. When they are not read either, the stream is
/// not read any more.
const REFUSALS_QUEUED_MAX: usize = 64;

type Queued = (OperateReply, Option<OwnedSemaphorePermit>);

/// One op vector. The permit counts as an op in flight until the reply is on its way.
pub(crate) fn operate(
    daemon: &Daemon,
    request: OperateRequest,
) -> (osd::Reply, Option<OwnedSemaphorePermit>) {
    let permit = match daemon.admit_op(request.gid) {
        Ok(permit) => permit,
        Err(full) => return (Err(full), None),
    };
    let reply = wire::request(request).and_then(|request| daemon.step(|osd, now| osd.operate(now, &request)));
    (reply, permit)
}

/// The replies to a stream of requests. No op's failure ends it.
pub(crate) fn open<S>(daemon: Arc<Daemon>, requests: S) -> impl Stream<Item = Result<OperateReply, Status>>
where
    S: Stream<Item = Result<OperateRequest, Status>> + Send + Unpin + 'static,
{
    let (replies, queued) = mpsc::channel(daemon.in_flight_ops_max() + REFUSALS_QUEUED_MAX);
    let ended = daemon.closing.child_token();
    let guard = ended.clone().drop_guard();
    tokio::spawn(read(daemon, requests, replies, ended));
    ReceiverStream::new(queued).map(move |(reply, permit): Queued| {
        let _until_the_stream_is_dropped: &DropGuard = &guard;
        drop(permit);
        Ok(reply)
    })
}

async fn read<S>(
    daemon: Arc<Daemon>,
    mut requests: S,
    replies: mpsc::Sender<Queued>,
    ended: CancellationToken,
) where
    S: Stream<Item = Result<OperateRequest, Status>> + Unpin,
{
    let mut sessions = Sessions { daemon: daemon.clone(), gids: BTreeSet::new() };
    loop {
        let request = tokio::select! {
            biased;
            () = ended.cancelled() => return,
            request = requests.next() => request,
        };
        let Some(Ok(request)) = request else { return };
        sessions.name(request.gid);
        let tid = request.tid;
        let (reply, permit) = operate(&daemon, request);
        if replies.send((wire::reply(tid, reply), permit)).await.is_err() {
            return;
        }
    }
}

/// The sessions that a stream has named; to them it counts as a stream until it ends.
struct Sessions {
    daemon: Arc<Daemon>,
    gids: BTreeSet<u64>,
}

impl Sessions {
    fn name(&mut self, gid: u64) {
        if gid != 0
            && !self.gids.contains(&gid)
            && self.daemon.step(|osd, now| osd.op_stream_opened(now, gid))
        {
            self.gids.insert(gid);
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        for &gid in &self.gids {
            self.daemon.step(|osd, now| ((), osd.op_stream_closed(now, gid)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proto::osd::v1::{Op, Stat, op::Op as W};

    use super::*;
    use crate::Config;

    /// The test's runtime has one thread: the requests are all read before the first reply is taken.
    #[tokio::test]
    async fn ops_in_flight_are_counted_by_op_and_the_limit_is_named() {
        let mut config = Config::ci();
        config.limits.in_flight_ops_per_session_max = 4;
        let daemon = Arc::new(Daemon::new(&config, 1).expect("the configuration is valid"));
        let (gid, _) = daemon.connect("test", "peer").expect("there is room");
        let ops = vec![Op { op: Some(W::Stat(Stat {})) }];
        let request = move |tid| {
            Ok(OperateRequest {
                gid,
                tid,
                pool: "rbd".to_owned(),
                object: "x".to_owned(),
                ops: ops.clone(),
                ..Default::default()
            })
        };
        let replies: Vec<_> = open(daemon, stream::iter((1..=24).map(request))).collect().await;
        let errors =
            replies.into_iter().map(|reply| reply.expect("no op ends the stream").error.expect("no object"));
        let (full, run): (Vec<_>, Vec<_>) = errors.partition(|error| error.name == "EAGAIN");
        assert_eq!((run.len(), full.len()), (4, 20));
        assert!(full.iter().all(|error| error.text.contains("in_flight_ops_per_session_max = 4")));
    }
}
