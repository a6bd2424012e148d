//! A stream of messages as the body of a response.
//!
//! The transport's own keeps the buffer of the largest message that a stream has carried until the stream ends: a client that has read
//! 16 MiB once would cost them as long as it is connected.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::HeaderMap;
use http_body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::{Response, Status};

use super::Departing;

/// Messages that are ready go together up to so many bytes.
const TOGETHER_BYTES: usize = 32 << 10;

/// Before each message: whether it is compressed, and its length in four bytes.
const HEADER_BYTES: usize = 5;

/// What the transport is given to encode.
pub(crate) type Nothing<M> = stream::Empty<Result<M, Status>>;

/// What a client is sent instead of the messages that the transport would encode.
#[derive(Clone)]
pub(super) struct InPlace(Arc<Mutex<Option<Body>>>);

impl InPlace {
    pub(super) fn take(self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A response of messages, the replies among which are these. They come in place of the transport's.
pub(crate) fn streamed<S, M>(messages: S, departing: Departing) -> Response<Nothing<M>>
where
    S: Stream<Item = Result<M, Status>> + Send + Unpin + 'static,
    M: Message + 'static,
{
    let mut response = departing.of(stream::empty());
    let body = Body::new(Messages { messages, end: None, is_over: false });
    response.extensions_mut().insert(InPlace(Arc::new(Mutex::new(Some(body)))));
    response
}

struct Messages<S> {
    messages: S,
    /// What the last of them is followed by.
    end: Option<Status>,
    is_over: bool,
}

impl<S, M> http_body::Body for Messages<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Message,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut together = BytesMut::new();
        while self.end.is_none() && together.len() < TOGETHER_BYTES {
            match Pin::new(&mut self.messages).poll_next(context) {
                Poll::Pending if together.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Some(message)) => {
                    self.end = message.and_then(|message| put(&message, &mut together)).err();
                }
                Poll::Ready(None) => self.end = Some(Status::ok("")),
            }
        }
        if !together.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(together.freeze()))));
        }
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        let end = self.end.take().unwrap_or_else(|| Status::ok(""));
        Poll::Ready(Some(end.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

fn put(message: &impl Message, out: &mut BytesMut) -> Result<(), Status> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length).ok().filter(|_| length <= rpc::MESSAGE_BYTES_MAX);
    let too_large = || Status::out_of_range(format!("a message of {length} bytes"));
    let prefix = prefix.ok_or_else(too_large)?;
    out.reserve(HEADER_BYTES + length);
    out.put_u8(0);
    out.put_u32(prefix);
    message.encode_raw(out);
    Ok(())
}
