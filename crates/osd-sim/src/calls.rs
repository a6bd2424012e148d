//! Calls that are answered once, through the doors where faults are asked for.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use osd::OpError;
use osd::faults::{Crossing, Direction};
use osd::op::Op;
use proto::osd::v1 as wire;
use tonic::Status;

use crate::daemon::{Daemon, Passage, vector_bytes};
use crate::wire as convert;

/// What a call is about, for faults.
pub(crate) struct Call<'a> {
    pub(crate) name: &'static str,
    pub(crate) gid: u64,
    pub(crate) pool: &'a str,
    pub(crate) object: &'a str,
    /// Of a notify.
    pub(crate) payload: Option<&'a [u8]>,
}

/// Does what a call asks for; `run` is called once more when a fault doubles the request. A call that is lost is never
/// answered: it ends when its caller or the server does. `reply_bytes` is what an answer holds while a fault delays it.
pub(crate) async fn call<T, F>(
    daemon: &Daemon,
    call: Call<'_>,
    run: impl Fn() -> F,
    reply_bytes: impl Fn(&T) -> usize,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, OpError>>,
{
    if !daemon.has_rules() {
        return run().await.map_err(convert::status);
    }
    let ops = [call.name.to_owned()];
    let Call { gid, pool, object, payload, .. } = call;
    let crossing = |direction| Crossing {
        direction,
        gid,
        client: "",
        address: "",
        pool,
        object,
        ops: &ops,
        can_fail: true,
        payload,
    };
    let bytes = payload.map_or(0, <[u8]>::len);
    let reply = match arrive(daemon, crossing(Direction::Request), bytes).await? {
        Copies::One => run().await,
        Copies::Two(_) => futures_util::join!(run(), run()).0,
    };
    arrive(daemon, crossing(Direction::Reply), reply.as_ref().map_or(0, reply_bytes)).await?;
    reply.map_err(convert::status)
}

/// Of an answer that is small.
pub(crate) fn small<T>(_: &T) -> usize {
    0
}

/// One op vector. The bytes of its answer are those of the store.
pub(crate) async fn operate(daemon: &Daemon, request: wire::OperateRequest) -> Result<osd::Answer, Status> {
    let permit = daemon.admit_op(request.gid).map_err(convert::status)?;
    let request = convert::request(request).map_err(convert::status)?;
    let has_doors = permit.is_some() && daemon.has_rules();
    let named = if has_doors { Named::of(&request) } else { Named::default() };
    let mut copies = Copies::One;
    if has_doors {
        copies =
            arrive(daemon, of_vector(Direction::Request, &request, &named), vector_bytes(&request)).await?;
    }
    let (reply, seen) = daemon.operate(&request);
    daemon.until_durable(seen).await;
    if has_doors {
        let bytes = convert::reply_bytes(&reply);
        arrive(daemon, of_vector(Direction::Reply, &request, &named), bytes).await?;
    }
    if let Copies::Two(after) = copies {
        daemon.send_copy(after, request);
    }
    Arc::unwrap_or_clone(reply).map_err(|refused| convert::status(refused.error))
}

/// What a vector works on, and its ops, by name.
#[derive(Default)]
pub(crate) struct Named {
    object: String,
    ops: Vec<String>,
    /// Of a notify; of an ack that of the notify which it answers.
    payload: Option<Bytes>,
}

impl Named {
    pub(crate) fn of(request: &osd::Request) -> Self {
        let osd::op::Vector { object, ops, .. } = &request.vector;
        let payload = ops.iter().find_map(|op| match op {
            Op::Notify { payload, .. } => Some(payload.clone()),
            _ => None,
        });
        Self { object: object.to_string(), ops: ops.iter().map(Op::name).collect(), payload }
    }

    /// As `of`; as an ack it is judged by the notify that it answers.
    pub(crate) fn at(daemon: &Daemon, direction: Direction, request: &osd::Request) -> Self {
        let named = Self::of(request);
        match acked(request).filter(|_| direction == Direction::Ack) {
            None => named,
            Some(notify_id) => {
                let osd::op::Vector { pool, namespace, object, .. } = &request.vector;
                let payload = daemon.look(|osd| osd.notify_payload(pool, (namespace, object), notify_id));
                Self { ops: Vec::new(), payload, ..named }
            }
        }
    }
}

/// An op vector at a door.
pub(crate) fn of_vector<'a>(
    direction: Direction,
    request: &'a osd::Request,
    Named { object, ops, payload }: &'a Named,
) -> Crossing<'a> {
    let pool = &request.vector.pool;
    Crossing {
        direction,
        gid: request.gid,
        client: "",
        address: "",
        pool,
        object,
        ops,
        can_fail: true,
        payload: payload.as_deref(),
    }
}

/// The notify that a vector acks: Ceph's clients do it by an op.
pub(crate) fn acked(request: &osd::Request) -> Option<u64> {
    request.vector.ops.iter().find_map(|op| match op {
        Op::NotifyAck { notify_id, .. } => Some(*notify_id),
        _ => None,
    })
}

/// How often something arrives.
enum Copies {
    One,
    Two(osd::Millis),
}

/// Through one door; an error is what the caller is told instead.
async fn arrive(daemon: &Daemon, crossing: Crossing<'_>, bytes: usize) -> Result<Copies, Status> {
    match daemon.pass(crossing, bytes) {
        Passage::Goes | Passage::Old => Ok(Copies::One),
        Passage::Waits(word) => unless_closing(daemon, word).await.map(|_word| Copies::One),
        Passage::Twice(after) => Ok(Copies::Two(after)),
        Passage::Lost => unless_closing(daemon, std::future::pending()).await,
        Passage::Refused(error) => Err(convert::status(error)),
        Passage::Cut(status) => Err(status),
    }
}

async fn unless_closing<T>(daemon: &Daemon, waiting: impl Future<Output = T>) -> Result<T, Status> {
    tokio::select! {
        biased;
        () = daemon.closing.cancelled() => Err(Status::unavailable("the OSD closes")),
        done = waiting => Ok(done),
    }
}
