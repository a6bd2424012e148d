//! One watch stream: what comes up is a step each, what goes down is queued by the daemon.

use std::sync::Arc;

use errno::Errno;
use futures_util::{Stream, StreamExt, stream};
use osd::{OpError, StreamId};
use proto::osd::v1::{WatchEvent, WatchRequest};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use crate::daemon::{Daemon, Inlet, OutletEnd};
use crate::wire::{self, Up};

/// The events of a watch stream. Dropping it is how the loss of the connection shows.
pub(crate) fn open<S>(daemon: Arc<Daemon>, requests: S) -> impl Stream<Item = Result<WatchEvent, Status>>
where
    S: Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + 'static,
{
    let (outlet, inlet) = daemon.channel();
    let ended = daemon.closing.child_token();
    let guard = ended.clone().drop_guard();
    tokio::spawn(read(daemon, requests, outlet, ended));
    events(inlet, guard)
}

/// What was queued, then the reason if the OSD ended the stream.
fn events(inlet: Inlet, guard: DropGuard) -> impl Stream<Item = Result<WatchEvent, Status>> {
    stream::unfold((inlet, guard, false), |(mut inlet, guard, is_over)| async move {
        if is_over {
            return None;
        }
        while let Some(event) = inlet.next().await {
            if let Some(event) = wire::watch_event(event) {
                return Some((Ok(event), (inlet, guard, false)));
            }
        }
        let reason = inlet.cut.get()?.clone();
        Some((Err(reason), (inlet, guard, true)))
    })
}

/// Never waits for the events to be taken. An end of the requests is a loss, however clean it looks: only an unwatch
/// counts as one.
async fn read<S>(daemon: Arc<Daemon>, mut requests: S, outlet: OutletEnd, ended: CancellationToken)
where
    S: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    let gid = match next(&mut requests, &ended).await {
        Some(Ok(Up::Hello { gid })) => gid,
        Some(Ok(Up::Request(_))) => {
            return outlet.cut(misuse("the first message of a watch stream is Hello"));
        }
        Some(Err(error)) => return outlet.cut(error),
        None => return,
    };
    let Some(stream) = daemon.hello(gid, outlet) else { return };
    let _lost = Lost { daemon: daemon.clone(), stream };
    loop {
        match next(&mut requests, &ended).await {
            Some(Ok(Up::Request(request))) => {
                daemon.watch_request(stream, request);
            }
            Some(Ok(Up::Hello { .. })) => return daemon.cut(stream, misuse("a watch stream has one Hello")),
            Some(Err(error)) => return daemon.cut(stream, error),
            None => return,
        }
    }
}

/// `None` when the connection is gone or the server closes.
async fn next<S>(requests: &mut S, ended: &CancellationToken) -> Option<Result<Up, OpError>>
where
    S: Stream<Item = Result<WatchRequest, Status>> + Unpin,
{
    tokio::select! {
        biased;
        () = ended.cancelled() => None,
        request = requests.next() => Some(wire::watch_request(request?.ok()?)),
    }
}

fn misuse(rule: &str) -> OpError {
    OpError { errno: Errno::EINVAL, failed_op: None, text: rule.to_owned() }
}

/// Says that a stream is lost, whatever ended it.
struct Lost {
    daemon: Arc<Daemon>,
    stream: StreamId,
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.daemon.stream_lost(self.stream);
    }
}
