use std::sync::Arc;

use errno::Errno;
use futures_util::{Stream, StreamExt};
use osd::OpError;
use proto::osd::v1::OperateRequest;
use store::Seq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{Queued, Sessions};
use crate::daemon::Daemon;
use crate::passing::{Answered, Beside, Late, Passing};
use crate::replies::Room;
use crate::wire;

/// Reads one op stream: executes what comes, and what faults have made late. It goes on after its stream has ended
/// until nothing is late: what was on its way arrives.
pub(super) struct Reader {
    daemon: Arc<Daemon>,
    replies: mpsc::Sender<Result<Queued, Status>>,
    /// For the ops in flight.
    ops: Arc<Semaphore>,
    /// For their replies.
    room: Room,
    /// What faults have delayed or hold.
    passing: Passing<InFlight>,
}

/// Of a reply that no step made.
const NOTHING_SEEN: Seq = Seq(0);

/// To the vector of this number.
type Reply = (u64, osd::Reply);

/// The place of an op among those in flight; the second of two answers has none.
struct InFlight(Option<OwnedSemaphorePermit>);

impl Beside for InFlight {
    fn twin(&self) -> Self {
        Self(None)
    }

    /// They are bounded by their number.
    fn bytes(&self) -> usize {
        0
    }
}

enum Turn {
    /// There is room for one more request.
    Room(Option<OwnedSemaphorePermit>),
    Came(OperateRequest),
    Unreadable(Status),
    Late(Late<InFlight>),
    StreamEnded,
    Closing,
}

impl Reader {
    pub(super) fn new(daemon: Arc<Daemon>, replies: mpsc::Sender<Result<Queued, Status>>) -> Self {
        let ops = Arc::new(Semaphore::new(daemon.in_flight_ops_max()));
        let room = Room::new(daemon.reply_bytes_in_flight_max());
        Self { passing: Passing::new(daemon.clone()), daemon, replies, ops, room }
    }

    /// `ended` = nobody takes the replies any more.
    pub(super) async fn read<S>(mut self, mut requests: S, sessions: Sessions, ended: CancellationToken)
    where
        S: Stream<Item = Result<OperateRequest, Status>> + Unpin,
    {
        let (closing, cut) = (self.daemon.closing.clone(), sessions.cut.token.clone());
        let mut room = None;
        let mut sessions = Some(sessions);
        while sessions.is_some() || !self.passing.is_idle() {
            let is_open = sessions.is_some();
            let turn = tokio::select! {
                biased;
                () = closing.cancelled() => Turn::Closing,
                () = ended.cancelled(), if is_open => Turn::StreamEnded,
                () = cut.cancelled(), if is_open => Turn::StreamEnded,
                Some(late) = self.passing.next() => Turn::Late(late),
                permit = admission(&self.ops, &self.room), if is_open && room.is_none() => Turn::Room(permit),
                request = requests.next(), if is_open && room.is_some() => match request {
                    Some(Ok(request)) => Turn::Came(request),
                    Some(Err(status)) => Turn::Unreadable(status),
                    None => Turn::StreamEnded,
                },
            };
            match (turn, &mut sessions) {
                (Turn::Room(permit), _) => room = permit,
                (Turn::Came(request), Some(sessions)) => {
                    if request.gid != 0 {
                        // Whether the session is live is said in the reply.
                        let _ = sessions.name(request.gid);
                    }
                    self.come(request, room.take()).await;
                }
                (Turn::Unreadable(status), _) => {
                    // When even the place for the last word is taken the stream just ends.
                    let _ = self.replies.try_send(Err(unreadable(&status)));
                    sessions = None;
                }
                (Turn::Late(late), _) => {
                    self.passing.go_on(late);
                    self.send_answers().await;
                }
                (Turn::StreamEnded | Turn::Came(_), _) => sessions = None,
                (Turn::Closing, _) => return,
            }
        }
    }

    async fn come(&mut self, request: OperateRequest, permit: Option<OwnedSemaphorePermit>) {
        let tid = request.tid;
        let request = match wire::request(request) {
            Ok(request) => request,
            Err(refusal) => return self.send((tid, Err(refusal.into())), permit, NOTHING_SEEN).await,
        };
        self.passing.come(request, InFlight(permit));
        self.send_answers().await;
    }

    async fn send_answers(&mut self) {
        while let Some(Answered { tid, reply, seen, beside: InFlight(permit) }) = self.passing.answered() {
            self.send((tid, Arc::unwrap_or_clone(reply)), permit, seen).await;
        }
    }

    /// Whoever asked may be gone.
    async fn send(&mut self, (tid, reply): Reply, permit: Option<OwnedSemaphorePermit>, seen: Seq) {
        let bytes = self.room.take(wire::reply_bytes(&reply));
        let _ = self.replies.send(Ok(Queued { tid, reply, seen, _op: permit, _bytes: bytes })).await;
    }
}

/// One more op may come: its place among those in flight, once there is room for its reply.
async fn admission(ops: &Arc<Semaphore>, room: &Room) -> Option<OwnedSemaphorePermit> {
    let permit = ops.clone().acquire_owned().await.ok()?;
    room.wait().await;
    Some(permit)
}

/// What the client is told about a request that does not come through the transport. A connection that broke speaks for
/// itself.
fn unreadable(status: &Status) -> Status {
    let errno = match status.code() {
        Code::OutOfRange => Errno::E2BIG,
        Code::Internal => Errno::EBADMSG,
        _ => return status.clone(),
    };
    let text = format!("a request on the op stream cannot be read: {}", status.message());
    wire::status(OpError { errno, failed_op: None, text })
}
