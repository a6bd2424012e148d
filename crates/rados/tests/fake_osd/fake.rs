//! An OSD that only records and answers, so that a test sees what a session sends.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use errno::Errno;
use proto::osd::v1::{self as wire, watch_event, watch_request};
use rpc::{
    Address,
    osd::osd_server::{Osd, OsdServer},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An op on this object is one whose reply the transport does not let through.
pub(crate) const STREAM_ENDER: &str = "ends its stream";

/// What a test sees and sets.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// (tid, watermark) of every op vector in the order of arrival, re-sent ones included.
    pub(crate) received: Vec<(u64, u64)>,
    /// (tid, object) of every op vector that was applied; a duplicate is not.
    pub(crate) applied: Vec<(u64, String)>,
    /// Most op vectors that had arrived and were not answered.
    pub(crate) in_flight_most: usize,
    pub(crate) streams_open: usize,
    pub(crate) disconnects: usize,
    pub(crate) pool_lists: usize,
    /// What came on watch streams, in short.
    pub(crate) watch_requests: Vec<String>,
    /// The OSD has forgotten all watches: a reconnect is ENOTCONN.
    pub(crate) has_forgotten_watches: bool,
    /// False: answers are held back.
    pub(crate) is_answering: bool,
    /// Notifies that come right after a registration.
    pub(crate) notifies_after_register: u64,
    /// How an unwatch ends.
    pub(crate) unwatch_verdict: Option<Errno>,
    /// The answer to every op vector from here on.
    pub(crate) verdict: Option<Errno>,
    /// The session that each op stream named when it opened.
    pub(crate) streams_named: Vec<Option<String>>,
    in_flight: usize,
    replies: BTreeMap<u64, wire::OperateReply>,
}

/// Stops when dropped.
pub(crate) struct Fake {
    address: Address,
    record: watch::Sender<Record>,
    serving: JoinHandle<()>,
}

impl Fake {
    /// `in_flight_ops_max`: the limit it tells clients.
    pub(crate) async fn start(in_flight_ops_max: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let record = watch::Sender::new(Record { is_answering: true, ..Record::default() });
        let service = OsdServer::new(Service { record: record.clone(), in_flight_ops_max });
        let server = rpc::server(Duration::from_secs(2)).add_service(service);
        let serving = tokio::spawn(async move {
            server.serve_with_incoming(rpc::incoming(listener)).await.expect("serves until it is stopped");
        });
        Self { address, record, serving }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Record)) {
        self.record.send_modify(change);
    }

    pub(crate) fn see<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.borrow())
    }

    /// Waits until the record looks like this.
    pub(crate) async fn until(&self, condition: impl FnMut(&Record) -> bool) {
        let mut record = self.record.subscribe();
        let seen = crate::support::soon(record.wait_for(condition)).await;
        seen.expect("the fake lives");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Service {
    record: watch::Sender<Record>,
    in_flight_ops_max: u32,
}

/// Takes requests until the client's half of the stream ends, or until one is for the object that ends streams.
async fn receive(
    mut requests: Streaming<wire::OperateRequest>,
    record: watch::Sender<Record>,
    replies: mpsc::UnboundedSender<Result<wire::OperateReply, Status>>,
) {
    record.send_modify(|record| record.streams_open += 1);
    while let Ok(Some(request)) = requests.message().await {
        if request.object == STREAM_ENDER {
            let _ = replies.send(Err(Status::out_of_range("the message is too large")));
            break;
        }
        let mut reply = None;
        record.send_modify(|record| reply = Some(record.take(request)));
        let _ = replies.send(Ok(reply.expect("made above")));
    }
    record.send_modify(|record| {
        record.streams_open -= 1;
        record.in_flight = 0;
    });
}

/// Answers watch requests until the client's half of the stream ends.
async fn receive_watch(
    mut requests: Streaming<wire::WatchRequest>,
    record: watch::Sender<Record>,
    events: mpsc::UnboundedSender<Result<wire::WatchEvent, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        let Some(request) = request.request else { continue };
        let mut answers = Vec::new();
        record.send_modify(|record| {
            answers.extend(record.take_watch(&request));
            answers.extend(record.notifies_after(&request));
        });
        for event in answers {
            let _ = events.send(Ok(wire::WatchEvent { event: Some(event) }));
        }
    }
}

impl Record {
    fn take_watch(&mut self, request: &watch_request::Request) -> Option<watch_event::Event> {
        use watch_request::Request;
        let (short, cookie, errno) = match request {
            Request::Hello(hello) => (format!("hello {}", hello.gid), 0, self.verdict),
            Request::Register(watch) => (format!("register {}", watch.cookie), watch.cookie, None),
            Request::Reconnect(watch) => {
                let errno = self.has_forgotten_watches.then_some(Errno::ENOTCONN);
                (format!("reconnect {}", watch.cookie), watch.cookie, errno)
            }
            Request::Unwatch(watch) => {
                (format!("unwatch {}", watch.cookie), watch.cookie, self.unwatch_verdict)
            }
            Request::Ping(ping) => {
                let pong = wire::Pong { sequence: ping.sequence };
                return self.is_answering.then_some(watch_event::Event::Pong(pong));
            }
            Request::Ack(_) => return None,
        };
        self.watch_requests.push(short);
        let error = errno.map(wire_error);
        Some(watch_event::Event::Result(wire::WatchResult { cookie, error }))
    }

    fn notifies_after(&self, request: &watch_request::Request) -> Vec<watch_event::Event> {
        let watch_request::Request::Register(watch) = request else { return Vec::new() };
        let notify = |notify_id| {
            watch_event::Event::Notify(wire::Notification {
                pool: watch.pool.clone(),
                object: watch.object.clone(),
                notify_id,
                cookie: watch.cookie,
                ..wire::Notification::default()
            })
        };
        (1..=self.notifies_after_register).map(notify).collect()
    }

    fn take(&mut self, request: wire::OperateRequest) -> wire::OperateReply {
        self.received.push((request.tid, request.watermark));
        self.in_flight += 1;
        self.in_flight_most = self.in_flight_most.max(self.in_flight);
        if let Some(errno) = self.verdict {
            let error = Some(wire_error(errno));
            return wire::OperateReply { tid: request.tid, error, ..Default::default() };
        }
        if let Some(reply) = self.replies.get(&request.tid) {
            return reply.clone();
        }
        self.applied.push((request.tid, request.object));
        let done = wire::OpResult { result: Some(wire::op_result::Result::Done(wire::Done {})) };
        let results = vec![done; request.ops.len()];
        let reply = wire::OperateReply { tid: request.tid, version: request.tid, results, error: None };
        self.replies.insert(request.tid, reply.clone());
        reply
    }
}

fn wire_error(errno: Errno) -> wire::Error {
    let (number, name) = (errno.number(), errno.name().to_owned());
    wire::Error { number, name, failed_op: None, text: "verdict".to_owned() }
}

fn unknown<T>() -> Answer<T> {
    Err(Status::unimplemented("not part of the fake"))
}

#[tonic::async_trait]
impl Osd for Service {
    type OperateStreamStream = Replies<wire::OperateReply>;
    type WatchStream = Replies<wire::WatchEvent>;
    type EventsStream = Replies<wire::Event>;

    async fn connect(&self, _: Request<wire::ConnectRequest>) -> Answer<wire::ConnectReply> {
        let limits = wire::Limits {
            payload_bytes_max: 16 << 20,
            ops_per_vector_max: 64,
            in_flight_ops_per_session_max: self.in_flight_ops_max,
            ..wire::Limits::default()
        };
        Ok(Response::new(wire::ConnectReply { gid: 7, limits: Some(limits), ..Default::default() }))
    }

    async fn disconnect(&self, _: Request<wire::DisconnectRequest>) -> Answer<wire::DisconnectReply> {
        self.record.send_modify(|record| record.disconnects += 1);
        Ok(Response::new(wire::DisconnectReply {}))
    }

    async fn operate_stream(
        &self,
        request: Request<Streaming<wire::OperateRequest>>,
    ) -> Answer<Self::OperateStreamStream> {
        let named = request.metadata().get(rpc::GID_METADATA).and_then(|gid| gid.to_str().ok());
        let named = named.map(str::to_owned);
        self.record.send_modify(|record| record.streams_named.push(named));
        let (sender, mut made) = mpsc::unbounded_channel();
        tokio::spawn(receive(request.into_inner(), self.record.clone(), sender));
        let (answers, answered) = mpsc::unbounded_channel();
        let record = self.record.clone();
        let mut answering = record.subscribe();
        tokio::spawn(async move {
            while let Some(reply) = made.recv().await {
                let _ = answering.wait_for(|record| record.is_answering).await;
                record.send_modify(|record| record.in_flight = record.in_flight.saturating_sub(1));
                let _ = answers.send(reply);
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(answered))))
    }

    async fn watch(&self, request: Request<Streaming<wire::WatchRequest>>) -> Answer<Self::WatchStream> {
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(receive_watch(request.into_inner(), self.record.clone(), sender));
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(events))))
    }

    async fn list_pools(&self, _: Request<wire::ListPoolsRequest>) -> Answer<wire::ListPoolsReply> {
        self.record.send_modify(|record| record.pool_lists += 1);
        let mut answering = self.record.subscribe();
        let _ = answering.wait_for(|record| record.is_answering).await;
        let pool = wire::Pool { id: 1, name: "rbd".to_owned(), ..wire::Pool::default() };
        Ok(Response::new(wire::ListPoolsReply { pools: vec![pool] }))
    }

    async fn operate(&self, _: Request<wire::OperateRequest>) -> Answer<wire::OperateReply> {
        unknown()
    }
    async fn notify(&self, _: Request<wire::NotifyRequest>) -> Answer<wire::NotifyReply> {
        unknown()
    }
    async fn list_watchers(&self, _: Request<wire::ListWatchersRequest>) -> Answer<wire::ListWatchersReply> {
        unknown()
    }
    async fn blocklist_add(&self, _: Request<wire::BlocklistAddRequest>) -> Answer<wire::BlocklistAddReply> {
        unknown()
    }
    async fn blocklist_remove(
        &self,
        _: Request<wire::BlocklistRemoveRequest>,
    ) -> Answer<wire::BlocklistRemoveReply> {
        unknown()
    }
    async fn blocklist_list(
        &self,
        _: Request<wire::BlocklistListRequest>,
    ) -> Answer<wire::BlocklistListReply> {
        unknown()
    }
    async fn list_sessions(&self, _: Request<wire::ListSessionsRequest>) -> Answer<wire::ListSessionsReply> {
        unknown()
    }
    async fn create_pool(&self, _: Request<wire::CreatePoolRequest>) -> Answer<wire::CreatePoolReply> {
        unknown()
    }
    async fn list_objects(&self, _: Request<wire::ListObjectsRequest>) -> Answer<wire::ListObjectsReply> {
        unknown()
    }
    async fn allocate_snap_id(
        &self,
        _: Request<wire::AllocateSnapIdRequest>,
    ) -> Answer<wire::AllocateSnapIdReply> {
        unknown()
    }
    async fn remove_snap_id(&self, _: Request<wire::RemoveSnapIdRequest>) -> Answer<wire::RemoveSnapIdReply> {
        unknown()
    }
    async fn events(&self, _: Request<wire::EventsRequest>) -> Answer<Self::EventsStream> {
        unknown()
    }
}
