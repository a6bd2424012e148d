//! Replies that their client has not read yet: what they hold is bounded in bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::{Response, Status};

/// What the transport is given at a time. It keeps what it was given until the client makes room; the rest stays here.
const PIECE_BYTES: usize = 1 << 20;

/// Connections that are known before those that are gone are forgotten.
const KNOWN_MIN: usize = 64;

/// Room for replies. Whoever has filled it waits: what he asked for next is not done before he has read.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    of: Arc<Semaphore>,
    bytes_max: usize,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes_max = bytes.min(Semaphore::MAX_PERMITS);
        Self { of: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// Until there is any room. A reply takes what is left, and more than there is if it is larger.
    pub(crate) async fn wait(&self) {
        drop(self.of.acquire().await.expect("nobody closes it"));
    }

    /// Room for a reply of so many bytes, given back when it is dropped.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = bytes.min(self.of.available_permits());
        self.of.clone().try_acquire_many_owned(bytes.try_into().ok()?).ok()
    }

    /// The same once there is enough: a reply that is larger than the room has it alone.
    pub(crate) async fn fill(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        self.of.clone().acquire_many_owned(bytes).await.expect("nobody closes it")
    }
}

/// The room of each connection for the replies to its unary calls, which no stream puts in order.
#[derive(Debug)]
pub(crate) struct Rooms {
    bytes_max: usize,
    of: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rooms: BTreeMap<Option<SocketAddr>, Weak<Semaphore>>,
    /// How many there may be before it is looked for those that are gone.
    max: usize,
}

impl Rooms {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, of: Mutex::default() }
    }

    pub(crate) fn of(&self, peer: Option<SocketAddr>) -> Room {
        let mut known = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = known.rooms.get(&peer).and_then(Weak::upgrade) {
            return Room { of: room, bytes_max: self.bytes_max.min(Semaphore::MAX_PERMITS) };
        }
        if known.rooms.len() >= known.max {
            known.rooms.retain(|_, room| room.strong_count() > 0);
            known.max = KNOWN_MIN.max(2 * known.rooms.len());
        }
        let room = Room::new(self.bytes_max);
        known.rooms.insert(peer, Arc::downgrade(&room.of));
        room
    }
}

/// Part of a response until its last byte has been given to the transport.
#[derive(Clone)]
struct Held {
    _room: Room,
    _bytes: Arc<OwnedSemaphorePermit>,
}

/// A reply that keeps the room it has taken until it is sent.
pub(crate) fn held<T>(room: Room, bytes: OwnedSemaphorePermit, reply: T) -> Response<T> {
    let mut response = Response::new(reply);
    response.extensions_mut().insert(Held { _room: room, _bytes: Arc::new(bytes) });
    response
}

/// Gives a response to the transport in pieces, and what it holds back with the last one.
pub(crate) fn in_pieces(response: http::Response<Body>) -> http::Response<Body> {
    let (mut parts, body) = response.into_parts();
    let held = parts.extensions.remove::<Held>();
    http::Response::from_parts(parts, Body::new(Pieces { body, rest: Bytes::new(), _held: held }))
}

struct Pieces {
    body: Body,
    /// Of the newest frame.
    rest: Bytes,
    _held: Option<Held>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body::Body as _;
    use http_body_util::BodyExt;
    use prost::Message;
    use proto::osd::v1::NotifyReply;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_has_not_read_its_replies_waits_and_delays_no_other() {
        let rooms = Rooms::new(1000);
        let (slow, quick) = ("127.0.0.1:1".parse().ok(), "127.0.0.1:2".parse().ok());
        let unread = rooms.of(slow).take(4000);
        assert!(rooms.of(slow).wait().now_or_never().is_none(), "a larger one fills it");
        rooms.of(quick).wait().await;
        drop(unread);
        rooms.of(slow).wait().await;
    }

    #[tokio::test]
    async fn replies_that_are_ready_at_once_have_the_room_one_after_the_other() {
        let room = Room::new(1000);
        let first = room.fill(600).await;
        assert!(room.fill(600).now_or_never().is_none());
        drop(first);
        let large = room.fill(4000).await;
        assert!(room.fill(1).now_or_never().is_none(), "a larger one has it alone");
        drop(large);
        assert!(room.fill(600).now_or_never().is_some());
    }

    #[tokio::test]
    async fn connections_that_are_gone_are_forgotten() {
        let rooms = Rooms::new(1000);
        for port in 1..10_000 {
            drop(rooms.of(Some(SocketAddr::from(([127, 0, 0, 1], port)))));
        }
        assert!(rooms.of.lock().expect("nobody panicked").rooms.len() <= KNOWN_MIN);
    }

    #[tokio::test]
    async fn a_reply_takes_room_until_its_last_piece_is_sent() {
        let rooms = Rooms::new(1000);
        let reply = NotifyReply { notify_id: u64::MAX, ..NotifyReply::default() };
        let room = rooms.of(None);
        let bytes = room.fill(reply.encoded_len()).await;
        let (_, _, extensions) = held(room, bytes, reply).into_parts();
        let message = Bytes::from(vec![7; 2 * PIECE_BYTES + 1]);
        let body = http_body_util::Full::new(message).map_err(|never| match never {});
        let mut response = http::Response::new(Body::new(body));
        *response.extensions_mut() = extensions;
        let mut body = in_pieces(response).into_body();
        let mut lengths = Vec::new();
        while !body.is_end_stream() {
            assert!(rooms.of(None).of.available_permits() < 1000);
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let frame = frame.await.expect("there is more").expect("it does not fail");
            lengths.push(frame.into_data().expect("data").len());
        }
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 1]);
        drop(body);
        assert_eq!(rooms.of(None).of.available_permits(), 1000);
    }
}
