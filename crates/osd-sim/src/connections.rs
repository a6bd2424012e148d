//! How many connections there may be at a time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

/// The connections that come in. While there are `max` of them, the next one is not accepted: it waits with the system.
pub(crate) fn at_most<I, IO>(max: usize, incoming: I) -> impl Stream<Item = io::Result<Counted<IO>>>
where
    I: Stream<Item = io::Result<IO>>,
{
    let room = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    stream::unfold((Box::pin(incoming), room), |(mut incoming, room)| async move {
        let place = room.clone().acquire_owned().await.expect("nobody closes it");
        let connection = incoming.next().await?;
        Some((connection.map(|connection| Counted { connection, _place: place }), (incoming, room)))
    })
}

/// A connection that gives its place to the next one when it is dropped.
pub(crate) struct Counted<IO> {
    connection: IO,
    _place: OwnedSemaphorePermit,
}

impl<IO: Connected> Connected for Counted<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        let mut connections = pin!(at_most(2, stream::iter((1..=3).map(Ok))));
        let mut next = || connections.next().now_or_never().map(|accepted| accepted.map(Result::unwrap));
        let (first, second) = (next().flatten().unwrap(), next().flatten().unwrap());
        assert!(next().is_none(), "it waits");
        drop(first);
        let third = next().flatten().unwrap();
        assert_eq!((second.connection, third.connection), (2, 3));
        assert!(next().is_none(), "it waits again");
    }
}
