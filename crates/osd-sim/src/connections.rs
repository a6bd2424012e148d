//! How many connections there may be at a time, and what each of them has of its own.

use std::any::Any;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Request;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::replies::Room;

/// The connections that come in. While there are `max` of them, the next one is not accepted: it waits with the system.
pub(crate) fn at_most<I, IO>(
    max: usize,
    reply_bytes_in_flight_max: usize,
    incoming: I,
) -> impl Stream<Item = io::Result<Counted<IO>>>
where
    I: Stream<Item = io::Result<IO>>,
{
    let room = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    stream::unfold((Box::pin(incoming), room), move |(mut incoming, room)| async move {
        let place = room.clone().acquire_owned().await.expect("nobody closes it");
        let connection = incoming.next().await?;
        let counted = |connection| Counted::new(connection, Room::new(reply_bytes_in_flight_max), place);
        Some((connection.map(counted), (incoming, room)))
    })
}

/// A connection that gives its place to the next one when it is dropped, and fails when it is cut.
pub(crate) struct Counted<IO> {
    connection: IO,
    /// Each call that comes through it is told.
    own: Own,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

/// What a connection has of its own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Room for the replies to its unary calls, which no stream puts in order.
    pub(crate) room: Room,
    /// Ends it.
    pub(crate) cut: CancellationToken,
    /// The client's address; `None` where the transport has none.
    pub(crate) peer: Option<SocketAddr>,
}

impl Own {
    /// Of the connection that a call came through.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().expect("every call comes through a connection").clone()
    }
}

impl<IO> Counted<IO> {
    fn new(connection: IO, room: Room, place: OwnedSemaphorePermit) -> Self {
        let cut = CancellationToken::new();
        let is_cut = Box::pin(cut.clone().cancelled_owned());
        Self { connection, own: Own { room, cut, peer: None }, is_cut, _place: place }
    }

    /// Fails when it is cut, and wakes whoever waits for it then.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let is_cut = self.is_cut.as_mut().poll(context).is_ready();
        if is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<IO: Connected> Connected for Counted<IO> {
    type ConnectInfo = Own;

    fn connect_info(&self) -> Own {
        let of_transport = self.connection.connect_info();
        let tcp = (&of_transport as &dyn Any).downcast_ref::<TcpConnectInfo>();
        Own { peer: tcp.and_then(TcpConnectInfo::remote_addr), ..self.own.clone() }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.connection).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_next_connection_is_accepted_when_one_has_ended() {
        let mut connections = pin!(at_most(2, 1, stream::iter((1..=3).map(Ok))));
        let mut next = || connections.next().now_or_never().map(|accepted| accepted.map(Result::unwrap));
        let (first, second) = (next().flatten().unwrap(), next().flatten().unwrap());
        assert!(next().is_none(), "it waits");
        drop(first);
        let third = next().flatten().unwrap();
        assert_eq!((second.connection, third.connection), (2, 3));
        assert!(next().is_none(), "it waits again");
    }
}
