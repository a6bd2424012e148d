use std::{fmt, io, net::SocketAddr, pin::Pin, str::FromStr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, STREAM_WINDOW_BYTES};

/// A byte stream between two processes, real or simulated.
pub trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// An owned byte stream.
pub type BoxIo = Pin<Box<dyn Io>>;

/// Opens a byte stream to "host:port".
pub type Dial = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<BoxIo>> + Send + Sync>;

/// Where a server listens: "host:port".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

/// The text is not an address.
#[derive(Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not an address: expected HOST:PORT with a port up to 65535, e.g. 127.0.0.1:6800",
            self.0
        )
    }
}
impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = bare.rsplit_once(':').ok_or_else(|| AddressError(text.to_owned()))?;
        let is_host = !host.is_empty() && !host.contains(['/', ' ', '@']);
        if !is_host || port.parse::<u16>().is_err() || Uri::from_str(&format!("http://{bare}")).is_err() {
            return Err(AddressError(text.to_owned()));
        }
        Ok(Self(bare.to_owned()))
    }
}

/// Where a server is to listen, as an option says it. The error names the text and the rule.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let rule = "expected IP:PORT with a port up to 65535, e.g. 127.0.0.1:0";
    text.parse().map_err(|_| format!("'{text}' is not an address to listen on: {rule}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How connections are made: TCP in the programs, a simulated network in a simulation.
#[derive(Clone)]
pub struct Network {
    dial: Dial,
    /// A peer that is silent for this long, and again for this long after a keep-alive ping, is cut off.
    silence_max: Duration,
}

impl Network {
    /// TCP, without Nagle's delay.
    pub fn tcp(silence_max: Duration) -> Self {
        let dial = |address: String| -> BoxFuture<'static, io::Result<BoxIo>> {
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::pin(stream) as BoxIo)
            })
        };
        Self { dial: Arc::new(dial), silence_max }
    }

    /// Any other way to open a byte stream.
    pub fn custom(dial: Dial, silence_max: Duration) -> Self {
        Self { dial, silence_max }
    }

    /// Opens one connection. It is not reopened when it breaks: the caller decides when and how often to try again.
    pub async fn connect(&self, address: &Address) -> Result<Channel, tonic::transport::Error> {
        let dial = self.dial.clone();
        let host = address.to_string();
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(self.silence_max)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .http2_keep_alive_interval(self.silence_max)
            .keep_alive_timeout(self.silence_max)
            .keep_alive_while_idle(true);
        endpoint
            .connect_with_connector(service_fn(move |_: Uri| {
                let connecting = dial(host.clone());
                async move { connecting.await.map(TokioIo::new) }
            }))
            .await
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("silence_max", &self.silence_max).finish_non_exhaustive()
    }
}
