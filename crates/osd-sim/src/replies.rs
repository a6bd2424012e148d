//! Replies that their client has not read yet: what they hold is bounded in bytes.

mod messages;
mod underway;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Response, Status};

use messages::InPlace;
pub(crate) use messages::{Nothing, streamed};
pub(crate) use underway::{AllReplies, Underway};

/// What the transport is given at a time. It keeps what it was given until the client makes room; the rest stays here.
const PIECE_BYTES: usize = 1 << 20;

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

/// What the replies of one response keep until they are given to the transport.
#[derive(Clone, Default)]
pub(crate) struct Departing {
    /// Ends their connection.
    cut: CancellationToken,
    replies: Arc<Mutex<Vec<Departure>>>,
}

/// What one reply keeps.
struct Departure {
    underway: Underway,
    /// Of the room of its connection.
    _own: Option<OwnedSemaphorePermit>,
}

impl Departing {
    /// None yet, of a connection that ends when `cut` is cancelled.
    pub(crate) fn through(cut: CancellationToken) -> Self {
        Self { cut, replies: Arc::default() }
    }

    /// One more, once there is room for it in the OSD.
    pub(crate) async fn add(&self, all: &Arc<AllReplies>, bytes: usize, own: Option<OwnedSemaphorePermit>) {
        let underway = all.fill(bytes, &self.cut).await;
        self.lock().push(Departure { underway, _own: own });
    }

    /// A response whose replies these are.
    pub(crate) fn of<T>(self, reply: T) -> Response<T> {
        let mut response = Response::new(reply);
        response.extensions_mut().insert(self);
        response
    }

    /// The transport has taken a piece of them.
    fn moved(&self) {
        self.lock().iter().for_each(|departure| departure.underway.moved());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Departure>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a response to the transport in pieces, and with each message what its replies have kept.
pub(crate) fn in_pieces(response: http::Response<Body>) -> http::Response<Body> {
    let (mut parts, body) = response.into_parts();
    let departing = parts.extensions.remove().unwrap_or_default();
    let body = parts.extensions.remove().and_then(InPlace::take).unwrap_or(body);
    http::Response::from_parts(
        parts,
        Body::new(Pieces { body, rest: Bytes::new(), has_given: false, departing }),
    )
}

struct Pieces {
    body: Body,
    /// Of the newest frame.
    rest: Bytes,
    /// Whether all that is in `departing` was given to the transport, which has asked for more if this is polled again.
    has_given: bool,
    departing: Departing,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            if std::mem::take(&mut self.has_given) {
                self.departing.lock().clear();
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.departing.moved();
        self.has_given = self.rest.is_empty();
        Poll::Ready(Some(Ok(Frame::data(piece))))
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
    use std::time::Duration;

    use futures_util::FutureExt;
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_has_not_read_its_replies_waits_and_delays_no_other() {
        let (slow, quick) = (Room::new(1000), Room::new(1000));
        let unread = slow.take(4000);
        assert!(slow.wait().now_or_never().is_none(), "a larger one fills it");
        quick.wait().await;
        drop(unread);
        slow.wait().await;
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

    /// The first message of a stream, of three pieces; then the transport asks for the next.
    #[tokio::test]
    async fn a_reply_takes_room_until_the_transport_asks_for_what_follows_its_last_piece() {
        const BYTES: usize = 2 * PIECE_BYTES + 1;
        let (room, all) = (Room::new(BYTES), AllReplies::new(BYTES, Duration::from_secs(10)));
        let is_full = || room.wait().now_or_never().is_none() && all.is_full();
        let departing = Departing::default();
        departing.add(&all, BYTES, Some(room.fill(BYTES).await)).await;
        let (_, _, extensions) = departing.of(()).into_parts();
        let message = http_body_util::Full::new(Bytes::from(vec![7; BYTES])).map_err(|never| match never {});
        let mut response = http::Response::new(Body::new(message));
        *response.extensions_mut() = extensions;
        let mut body = in_pieces(response).into_body();
        let mut lengths = Vec::new();
        while !body.is_end_stream() {
            let frame = body.frame().await.expect("there is more").expect("it does not fail");
            lengths.push(frame.into_data().expect("data").len());
            assert!(is_full());
        }
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 1]);
        assert!(body.frame().await.is_none());
        assert!(!is_full());
    }
}
