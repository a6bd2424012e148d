use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use errno::Errno;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use osd::OpError;
use osd::faults::Direction;
use proto::osd::v1::OperateRequest;
use store::{Name, Seq};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{Queued, Sessions};
use crate::daemon::{Daemon, Passage, vector_bytes};
use crate::replies::Room;
use crate::{calls, wire};

/// Reads one op stream: executes what comes, and what faults have made late. It goes on after its stream has ended
/// until nothing is late: what was on its way arrives.
pub(super) struct Reader {
    daemon: Arc<Daemon>,
    replies: mpsc::Sender<Result<Queued, Status>>,
    /// For the ops in flight.
    ops: Arc<Semaphore>,
    /// For their replies.
    room: Room,
    /// Each ends when it is time.
    late: FuturesUnordered<BoxFuture<'static, Late>>,
    /// What came behind a late request for the same pool and object: ops on one object keep their order.
    behind: BTreeMap<Place, VecDeque<Admitted>>,
}

/// Of a reply that no step made.
const NOTHING_SEEN: Seq = Seq(0);

/// To the vector of this number.
type Reply = (u64, osd::Reply);

/// Pool, namespace and object.
type Place = (String, Name, Name);

/// A request that counts as in flight.
struct Admitted {
    request: osd::Request,
    permit: Option<OwnedSemaphorePermit>,
    /// False for a session that the OSD is going to refuse: nothing befalls its ops.
    has_doors: bool,
    /// Of what waits behind another.
    room_behind: Option<OwnedSemaphorePermit>,
}

/// What a fault has delayed or held.
enum Late {
    Request(Admitted),
    Reply(Reply, Option<OwnedSemaphorePermit>, Seq),
}

enum Turn {
    /// There is room for one more request.
    Room(Option<OwnedSemaphorePermit>),
    Came(OperateRequest),
    Unreadable(Status),
    Late(Late),
    StreamEnded,
    Closing,
}

impl Reader {
    pub(super) fn new(daemon: Arc<Daemon>, replies: mpsc::Sender<Result<Queued, Status>>) -> Self {
        let ops = Arc::new(Semaphore::new(daemon.in_flight_ops_max()));
        let room = Room::new(daemon.reply_bytes_in_flight_max());
        Self { daemon, replies, ops, room, late: FuturesUnordered::new(), behind: BTreeMap::new() }
    }

    /// `ended` = nobody takes the replies any more.
    pub(super) async fn read<S>(mut self, mut requests: S, sessions: Sessions, ended: CancellationToken)
    where
        S: Stream<Item = Result<OperateRequest, Status>> + Unpin,
    {
        let (closing, cut) = (self.daemon.closing.clone(), sessions.cut.token.clone());
        let mut room = None;
        let mut sessions = Some(sessions);
        while sessions.is_some() || !self.late.is_empty() {
            let is_open = sessions.is_some();
            let turn = tokio::select! {
                biased;
                () = closing.cancelled() => Turn::Closing,
                () = ended.cancelled(), if is_open => Turn::StreamEnded,
                () = cut.cancelled(), if is_open => Turn::StreamEnded,
                Some(late) = self.late.next() => Turn::Late(late),
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
                (Turn::Late(Late::Request(admitted)), _) => self.come_late(admitted).await,
                (Turn::Late(Late::Reply(reply, permit, seen)), _) => self.send(reply, permit, seen).await,
                (Turn::StreamEnded | Turn::Came(_), _) => sessions = None,
                (Turn::Closing, _) => return,
            }
        }
    }

    async fn come(&mut self, request: OperateRequest, permit: Option<OwnedSemaphorePermit>) {
        let (gid, tid) = (request.gid, request.tid);
        let request = match wire::request(request) {
            Ok(request) => request,
            Err(refusal) => return self.send((tid, Err(refusal.into())), permit, NOTHING_SEEN).await,
        };
        let is_live = || gid == 0 || self.daemon.look(|osd| osd.session_over(gid)).is_none();
        let has_doors = self.daemon.has_rules() && is_live();
        let mut admitted = Admitted { request, permit, has_doors, room_behind: None };
        if self.behind.is_empty() && !self.daemon.has_rules() {
            return self.execute(admitted).await;
        }
        match self.behind.get_mut(&place(&admitted)) {
            None => self.enter(admitted).await,
            Some(queue) => match self.daemon.room_behind(vector_bytes(&admitted.request)) {
                Ok(room) => {
                    admitted.room_behind = Some(room);
                    queue.push_back(admitted);
                }
                Err(full) => self.send((tid, Err(full.into())), admitted.permit, NOTHING_SEEN).await,
            },
        }
    }

    /// A late request, and what came behind it.
    async fn come_late(&mut self, admitted: Admitted) {
        let place = place(&admitted);
        let mut queue = self.behind.remove(&place).unwrap_or_default();
        self.execute(admitted).await;
        while let Some(next) = queue.pop_front() {
            self.enter(next).await;
            if let Some(behind) = self.behind.get_mut(&place) {
                behind.append(&mut queue);
            }
        }
    }

    /// Brings a request through the door.
    async fn enter(&mut self, mut admitted: Admitted) {
        admitted.room_behind = None;
        match self.pass(Direction::Request, &admitted, vector_bytes(&admitted.request)) {
            Passage::Goes => self.execute(admitted).await,
            Passage::Waits(word) => {
                self.behind.insert(place(&admitted), VecDeque::new());
                self.put_off(word, Late::Request(admitted));
            }
            Passage::Twice(after) => {
                let copy = admitted.request.clone();
                self.execute(admitted).await;
                self.daemon.send_copy(after, copy);
            }
            Passage::Refused(error) => {
                let Admitted { request, permit, .. } = admitted;
                self.send((request.tid, Err(error.into())), permit, NOTHING_SEEN).await;
            }
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    async fn execute(&mut self, admitted: Admitted) {
        let (reply, seen) = self.daemon.operate(&admitted.request);
        let bytes = wire::reply_bytes(&reply);
        let passage = self.pass(Direction::Reply, &admitted, bytes);
        let Admitted { request, permit, .. } = admitted;
        let reply = (request.tid, Arc::unwrap_or_clone(reply));
        match passage {
            Passage::Goes => self.send(reply, permit, seen).await,
            Passage::Waits(word) => self.put_off(word, Late::Reply(reply, permit, seen)),
            Passage::Twice(after) => {
                self.send(reply.clone(), permit, seen).await;
                let word = self.daemon.later(after, bytes);
                self.put_off(word, Late::Reply(reply, None, seen));
            }
            Passage::Refused(error) => self.send((request.tid, Err(error.into())), permit, seen).await,
            Passage::Lost | Passage::Cut(_) => {}
        }
    }

    fn pass(&self, direction: Direction, admitted: &Admitted, bytes: usize) -> Passage {
        if !admitted.has_doors || !self.daemon.has_rules() {
            return Passage::Goes;
        }
        let named = calls::Named::of(&admitted.request);
        self.daemon.pass(calls::of_vector(direction, &admitted.request, &named), bytes)
    }

    fn put_off(&mut self, word: oneshot::Receiver<()>, late: Late) {
        let waiting = word.map(|_word| late);
        self.late.push(waiting.boxed());
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

fn place(admitted: &Admitted) -> Place {
    let vector = &admitted.request.vector;
    (vector.pool.clone(), vector.namespace.clone(), vector.object.clone())
}
