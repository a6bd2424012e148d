//! The way to an OSD, as messages: requests go up, answers and watch events come down. What carries them is gRPC in the
//! programs ([`Grpc`](crate::Grpc)), and in a simulation whatever it makes of it.

use std::{fmt, sync::Arc};

use errno::Errno;
use futures_util::{future::BoxFuture, stream::BoxStream};
use proto::osd::v1 as wire;
use tokio::sync::mpsc;

use crate::Error;

/// Opens connections to one OSD.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Opens one. The error says why that is not possible now.
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, String>>;

    /// What is at the other end, for errors: "OSD 127.0.0.1:6800".
    fn peer(&self) -> String;
}

/// A connection to an OSD. Calls and streams on it that break may be tried again on it: it opens itself anew.
pub trait Connection: fmt::Debug + Send + Sync {
    /// Sends a request that has one answer.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Answer, Failure>>;

    /// Opens an op stream of the session `gid`: what is sent into `up` arrives in this order.
    fn operate_stream(
        &self,
        gid: u64,
        up: mpsc::UnboundedReceiver<wire::OperateRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::OperateReply>, Failure>>;

    /// Opens a watch stream.
    fn watch(
        &self,
        up: mpsc::UnboundedReceiver<wire::WatchRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::WatchEvent>, Failure>>;
}

/// What comes down a stream. It ends when the OSD closes it, or after the failure that broke it.
pub type Down<T> = BoxStream<'static, Result<T, Failure>>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The OSD's word: sending again would give the same.
    Answer(Error),
    /// Nothing is known about the request; the text says what happened.
    ConnectionLost(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => write!(f, "{} ({})", error.text(), error.errno()),
            Self::ConnectionLost(text) => f.write_str(text),
        }
    }
}

/// A request of which [`Call`] has a variant.
pub(crate) trait Request: Clone + Send {
    /// Its answer.
    type Reply;

    fn into_call(self) -> Call;

    /// `None`: the answer to another one.
    fn reply(answer: Answer) -> Option<Self::Reply>;
}

/// Every call: (name, request, answer, the stub's method).
macro_rules! for_each_call {
    ($with:ident) => {
        $with! {
            (Connect, ConnectRequest, ConnectReply, connect),
            (Disconnect, DisconnectRequest, DisconnectReply, disconnect),
            (Notify, NotifyRequest, NotifyReply, notify),
            (ListWatchers, ListWatchersRequest, ListWatchersReply, list_watchers),
            (BlocklistAdd, BlocklistAddRequest, BlocklistAddReply, blocklist_add),
            (BlocklistRemove, BlocklistRemoveRequest, BlocklistRemoveReply, blocklist_remove),
            (BlocklistList, BlocklistListRequest, BlocklistListReply, blocklist_list),
            (ListSessions, ListSessionsRequest, ListSessionsReply, list_sessions),
            (CreatePool, CreatePoolRequest, CreatePoolReply, create_pool),
            (ListPools, ListPoolsRequest, ListPoolsReply, list_pools),
            (ListObjects, ListObjectsRequest, ListObjectsReply, list_objects),
            (AllocateSnapId, AllocateSnapIdRequest, AllocateSnapIdReply, allocate_snap_id),
            (RemoveSnapId, RemoveSnapIdRequest, RemoveSnapIdReply, remove_snap_id),
        }
    };
}
pub(crate) use for_each_call;

macro_rules! messages {
    ($(($call:ident, $request:ident, $reply:ident, $method:ident),)+) => {
        /// A request that has one answer.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Call {
            $(#[doc = concat!("`osd.v1.Osd.", stringify!($call), "`.")] $call(wire::$request),)+
        }

        /// The answer to the [`Call`] of the same name.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Answer {
            $(#[doc = concat!("To [`Call::", stringify!($call), "`].")] $call(wire::$reply),)+
        }

        $(impl Request for wire::$request {
            type Reply = wire::$reply;

            fn into_call(self) -> Call {
                Call::$call(self)
            }

            fn reply(answer: Answer) -> Option<wire::$reply> {
                match answer {
                    Answer::$call(reply) => Some(reply),
                    _ => None,
                }
            }
        })+
    };
}
for_each_call!(messages);

/// One call on one connection.
pub(crate) async fn call<R: Request>(connection: &dyn Connection, request: R) -> Result<R::Reply, Failure> {
    let answer = connection.call(request.into_call()).await?;
    R::reply(answer)
        .ok_or_else(|| Failure::Answer(Error::new(Errno::EIO, "", "the answer is to another call")))
}
