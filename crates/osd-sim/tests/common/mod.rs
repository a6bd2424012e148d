//! Clients of a server, with few words.
#![allow(dead_code, reason = "every test program uses its own part")]

pub(crate) mod program;

use std::time::Duration;

use osd_sim::Server;
use proto::osd::v1::{self as wire, op::Op as W, watch_request::Request};
use rpc::osd::osd_client::OsdClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub(crate) type Osd = OsdClient<Channel>;

pub(crate) async fn channel(server: &Server) -> Channel {
    channel_to(&server.address()).await
}

async fn channel_to(address: &rpc::Address) -> Channel {
    let network = rpc::Network::tcp(Duration::from_secs(30));
    network.connect(address).await.expect("the server accepts")
}

pub(crate) async fn connect(server: &Server) -> Osd {
    connect_to(&server.address()).await
}

pub(crate) async fn connect_to(address: &rpc::Address) -> Osd {
    OsdClient::new(channel_to(address).await)
        .max_decoding_message_size(rpc::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(rpc::MESSAGE_BYTES_MAX)
}

/// A client that makes room for few bytes of what it has not read.
pub(crate) async fn slow_to(address: &rpc::Address) -> Osd {
    const WINDOW_BYTES: u32 = 65_535;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("it is an address");
    let endpoint =
        endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    Osd::new(endpoint.connect().await.expect("the server accepts"))
}

/// Asks again and again, until there is no room for the answer.
pub(crate) async fn until_there_is_no_room(osd: &mut Osd, request: &wire::OperateRequest) {
    const READ_TIME_MAX: Duration = Duration::from_millis(200);
    let asking = async {
        while let Ok(read) = timeout(READ_TIME_MAX, osd.operate(request.clone())).await {
            read.expect("it is there");
        }
    };
    timeout(program::BOUND, asking).await.expect("somebody takes all the room");
}

/// The gid of a session whose client is named "test".
pub(crate) async fn session(osd: &mut Osd) -> u64 {
    osd.connect(wire::ConnectRequest { name: "test".to_owned() })
        .await
        .expect("there is room")
        .into_inner()
        .gid
}

pub(crate) fn vector(gid: u64, tid: u64, object: &str, ops: Vec<W>) -> wire::OperateRequest {
    let ops = ops.into_iter().map(|op| wire::Op { op: Some(op) }).collect();
    wire::OperateRequest {
        gid,
        tid,
        pool: "rbd".to_owned(),
        object: object.to_owned(),
        ops,
        ..Default::default()
    }
}

pub(crate) fn create() -> W {
    W::Create(wire::Create { exclusive: true })
}

/// A watch stream that has said hello.
pub(crate) struct Watcher {
    up: mpsc::UnboundedSender<wire::WatchRequest>,
    down: Streaming<wire::WatchEvent>,
}

impl Watcher {
    pub(crate) async fn open(osd: &mut Osd, gid: u64) -> Self {
        let (up, requests) = mpsc::unbounded_channel();
        let down = osd.watch(UnboundedReceiverStream::new(requests)).await.expect("it opens").into_inner();
        let mut watcher = Self { up, down };
        watcher.say(Request::Hello(wire::Hello { gid }));
        assert_eq!(watcher.result().await, (0, None));
        watcher
    }

    pub(crate) fn say(&self, request: Request) {
        self.up.send(wire::WatchRequest { request: Some(request) }).expect("the stream is open");
    }

    pub(crate) fn register(&self, object: &str, cookie: u64) {
        let (pool, object) = ("rbd".to_owned(), object.to_owned());
        self.say(Request::Register(wire::Register { pool, object, cookie, timeout_ms: 0 }));
    }

    pub(crate) async fn event(&mut self) -> Result<Option<wire::watch_event::Event>, Status> {
        Ok(self.down.message().await?.map(|event| event.event.expect("events are never empty")))
    }

    pub(crate) async fn result(&mut self) -> (u64, Option<String>) {
        match self.event().await {
            Ok(Some(wire::watch_event::Event::Result(result))) => {
                (result.cookie, result.error.map(|error| error.name))
            }
            other => panic!("a result was due, not {other:?}"),
        }
    }
}

/// An ack that says what the notify said.
pub(crate) fn ack_of(heard: &wire::Notification) -> Request {
    let wire::Notification { pool, object, notify_id, cookie, payload, .. } = heard.clone();
    Request::Ack(wire::NotifyAck { pool, object, notify_id, cookie, payload })
}

pub(crate) fn notify(gid: u64, object: &str, payload: Vec<u8>, timeout_ms: u64) -> wire::NotifyRequest {
    let (pool, object) = ("rbd".to_owned(), object.to_owned());
    wire::NotifyRequest { gid, pool, object, payload: payload.into(), timeout_ms }
}

pub(crate) async fn events(osd: &mut Osd, after: u64) -> Streaming<wire::Event> {
    osd.events(wire::EventsRequest { after, until_now: false }).await.expect("a log").into_inner()
}

/// The kinds of all events after one, until now.
pub(crate) async fn names(osd: &mut Osd, after: u64) -> Vec<String> {
    let request = wire::EventsRequest { after, until_now: true };
    let mut log = osd.events(request).await.expect("a log").into_inner();
    let mut kinds = Vec::new();
    while let Some(event) = log.message().await.expect("the log is whole") {
        kinds.push(event.kind);
    }
    kinds
}

pub(crate) async fn wait_for(log: &mut Streaming<wire::Event>, kind: &str) -> wire::Event {
    loop {
        let event = log.message().await.expect("the log goes on").expect("the log does not end");
        if event.kind == kind {
            return event;
        }
    }
}
