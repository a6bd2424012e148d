use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tonic::transport::Server;

use crate::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES};

/// A server builder with the transport settings of this workspace.
///
/// `silence_max`: how long a peer may be silent before HTTP/2 keep-alive starts to suspect it, and again how long it
/// may leave a keep-alive ping unanswered. The connection of a frozen process is cut after twice this time.
pub fn server(silence_max: Duration) -> Server {
    Server::builder()
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(silence_max))
        .http2_keepalive_timeout(Some(silence_max))
}

/// How long a listener waits that the machine gives no connection: without descriptors accepting fails at once, again and
/// again.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// How long nobody is warned of that again.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The connections of a listener, with Nagle's delay switched off on each: with it every small call takes 44 ms. While the
/// process has no descriptors left, connections wait to be accepted.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    let listener = Arc::new(listener);
    accepted(move || {
        let listener = listener.clone();
        async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
    })
}

/// What `accept` gives, never an error: the next connection may come all the same.
fn accepted<T, F>(accept: impl FnMut() -> F) -> impl Stream<Item = io::Result<T>>
where
    F: Future<Output = io::Result<T>>,
{
    stream::unfold((accept, None::<Instant>), |(mut accept, mut warned)| async move {
        loop {
            match accept().await {
                Ok(connection) => return Some((Ok(connection), (accept, warned))),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if warned.is_none_or(|at| at.elapsed() >= ACCEPT_WARNING_INTERVAL) {
                        tracing::warn!(
                            "no connection is accepted: {error}; trying every {ACCEPT_BACK_OFF:?}"
                        );
                        warned = Some(Instant::now());
                    }
                    sleep(ACCEPT_BACK_OFF).await;
                }
            }
        }
    })
}

/// Whether the peer was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
    // Options of a socket whose peer is gone are refused with EINVAL on some systems.
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected)
}

/// Waits for the end of standard input: whoever holds its other end is gone. The runtime must be shut down in the background.
pub async fn stdin_ended() {
    // A standard input that cannot be read has no other end.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_it_is_not_tried_in_a_hurry_and_nothing_ends() {
        const EMFILE: i32 = 24;
        let (began, mut tries) = (Instant::now(), 0);
        let connections = accepted(|| {
            tries += 1;
            let is_short = began.elapsed() < Duration::from_secs(10);
            async move { if is_short { Err(io::Error::from_raw_os_error(EMFILE)) } else { Ok(7) } }
        });
        let first = std::pin::pin!(connections).next().await.expect("it goes on").expect("never an error");
        assert_eq!((first, tries), (7, 101));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_gone_already_delays_nobody() {
        let (began, mut tries) = (Instant::now(), 0);
        let connections = accepted(|| {
            tries += 1;
            let gone = (tries == 1).then_some(io::ErrorKind::ConnectionAborted);
            async move { gone.map_or(Ok(7), |kind| Err(kind.into())) }
        });
        std::pin::pin!(connections).next().await.expect("it goes on").expect("never an error");
        assert!(began.elapsed().is_zero());
    }
}
