use std::{io, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
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

/// The connections of a listener, with Nagle's delay switched off on each: with it every small call takes 44 ms.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    TcpListenerStream::new(listener).map(|accepted| {
        let stream = accepted?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// Waits for the end of standard input: whoever holds its other end is gone. The runtime must be shut down in the background.
pub async fn stdin_ended() {
    // A standard input that cannot be read has no other end.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}
