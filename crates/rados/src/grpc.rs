use std::sync::Arc;

use errno::Errno;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use proto::osd::v1 as wire;
use rpc::{Address, Network, osd::osd_client::OsdClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, transport::Channel};
use tower::{ServiceBuilder, limit::ConcurrencyLimit};

use crate::{
    Error,
    transport::{Answer, Call, Connection, Down, Failure, Transport, for_each_call},
};

/// Unary calls of one connection that are on their way at once; one more waits.
const CALLS_IN_FLIGHT_MAX: usize = 256;

/// Messages over gRPC.
#[derive(Clone, Debug)]
pub struct Grpc {
    network: Network,
    address: Address,
}

/// One HTTP/2 connection.
#[derive(Clone, Debug)]
struct Open {
    channel: Channel,
    /// For unary calls.
    calls: OsdClient<ConcurrencyLimit<Channel>>,
}

impl Grpc {
    /// To the OSD at `address`.
    pub fn new(network: Network, address: Address) -> Self {
        Self { network, address }
    }
}

impl Transport for Grpc {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, String>> {
        let Self { network, address } = self.clone();
        async move {
            let channel = network.connect(&address).await.map_err(|error| {
                let cause =
                    std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                format!("{error}{cause}")
            })?;
            Ok(Arc::new(Open::new(channel)) as Arc<dyn Connection>)
        }
        .boxed()
    }

    fn peer(&self) -> String {
        format!("OSD {}", self.address)
    }
}

impl Open {
    fn new(channel: Channel) -> Self {
        let limited = ServiceBuilder::new().concurrency_limit(CALLS_IN_FLIGHT_MAX).service(channel.clone());
        let calls = OsdClient::new(limited)
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX);
        Self { channel, calls }
    }

    /// For streams, which may be as many as they like.
    fn streams(&self) -> OsdClient<Channel> {
        OsdClient::new(self.channel.clone())
            .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX)
    }
}

macro_rules! unary {
    ($(($call:ident, $request:ident, $reply:ident, $method:ident),)+) => {
        impl Open {
            async fn unary(mut self, call: Call) -> Result<Answer, Status> {
                Ok(match call {
                    $(Call::$call(request) => {
                        Answer::$call(self.calls.$method(request).await?.into_inner())
                    })+
                })
            }
        }
    };
}
for_each_call!(unary);

impl Connection for Open {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Answer, Failure>> {
        let connection = self.clone();
        async move { connection.unary(call).await.map_err(|status| failure(&status)) }.boxed()
    }

    fn operate_stream(
        &self,
        gid: u64,
        up: mpsc::UnboundedReceiver<wire::OperateRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::OperateReply>, Failure>> {
        let mut client = self.streams();
        let mut requests = Request::new(UnboundedReceiverStream::new(up));
        requests.metadata_mut().insert(rpc::GID_METADATA, gid.into());
        async move { down(client.operate_stream(requests).await) }.boxed()
    }

    fn watch(
        &self,
        up: mpsc::UnboundedReceiver<wire::WatchRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::WatchEvent>, Failure>> {
        let mut client = self.streams();
        async move { down(client.watch(UnboundedReceiverStream::new(up)).await) }.boxed()
    }
}

fn down<T: Send + 'static>(
    opened: Result<tonic::Response<tonic::Streaming<T>>, Status>,
) -> Result<Down<T>, Failure> {
    let messages = opened.map_err(|status| failure(&status))?.into_inner();
    Ok(messages.map(|message| message.map_err(|status| failure(&status))).boxed())
}

/// Tells an answer from a broken connection. The transport reports its own errors under several codes; the OSD never
/// answers with those and always attaches its errno.
fn failure(status: &Status) -> Failure {
    if let Some(error) = rpc::status::to_error(status) {
        return Failure::Answer(Error::from_wire(error, ""));
    }
    let errno = match status.code() {
        Code::Unimplemented => Errno::EOPNOTSUPP,
        Code::OutOfRange => Errno::E2BIG,
        Code::InvalidArgument => Errno::EINVAL,
        Code::PermissionDenied | Code::Unauthenticated => Errno::EPERM,
        _ => return Failure::ConnectionLost(status.message().to_owned()),
    };
    Failure::Answer(Error::new(errno, "", format!("the transport refuses it: {}", status.message())))
}
