//! A session over a transport that is no network, on a runtime without timers and sockets: nothing else is used.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clock::Clock;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use proto::osd::v1 as wire;
use proto::osd::v1::{watch_event::Event, watch_request::Request};
use rados::{Call, CallAnswer, Config, Connection, Down, Failure, ObjectOp, Rados, Transport, WatchEvent};
use tokio::sync::mpsc;

/// An OSD that says yes to everything, and notifies each watch once when it is registered.
#[derive(Clone, Debug, Default)]
struct Agreeable {
    /// What it was asked, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Agreeable {
    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }
}

impl Transport for Agreeable {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, String>> {
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        async move { Ok(connection) }.boxed()
    }

    fn peer(&self) -> String {
        "an agreeable OSD".to_owned()
    }
}

impl Connection for Agreeable {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<CallAnswer, Failure>> {
        let answer = match call {
            Call::Connect(_) => {
                let limits = wire::Limits {
                    payload_bytes_max: 1 << 20,
                    ops_per_vector_max: 16,
                    in_flight_ops_per_session_max: 4,
                    ..wire::Limits::default()
                };
                let limits = Some(limits);
                CallAnswer::Connect(wire::ConnectReply { gid: 7, limits, ..wire::ConnectReply::default() })
            }
            Call::ListPools(_) => {
                let pools = vec![wire::Pool { name: "rbd".to_owned(), ..wire::Pool::default() }];
                CallAnswer::ListPools(wire::ListPoolsReply { pools })
            }
            Call::Disconnect(_) => {
                self.note("disconnect");
                CallAnswer::Disconnect(wire::DisconnectReply::default())
            }
            call => panic!("nobody asks for {call:?}"),
        };
        async move { Ok(answer) }.boxed()
    }

    fn operate_stream(
        &self,
        gid: u64,
        mut up: mpsc::UnboundedReceiver<wire::OperateRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::OperateReply>, Failure>> {
        let osd = self.clone();
        let down = stream::poll_fn(move |context| up.poll_recv(context)).map(move |request| {
            osd.note(format!("{gid} {} {}", request.tid, request.object));
            Ok(wire::OperateReply { tid: request.tid, version: 5, ..wire::OperateReply::default() })
        });
        async move { Ok(down.boxed()) }.boxed()
    }

    fn watch(
        &self,
        mut up: mpsc::UnboundedReceiver<wire::WatchRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::WatchEvent>, Failure>> {
        let osd = self.clone();
        let down = stream::poll_fn(move |context| up.poll_recv(context)).flat_map(move |request| {
            let result = |cookie| Event::Result(wire::WatchResult { cookie, ..wire::WatchResult::default() });
            let events = match request.request.unwrap() {
                Request::Hello(_) => vec![result(0)],
                Request::Register(register) => {
                    let notify =
                        wire::Notification { cookie: register.cookie, ..wire::Notification::default() };
                    vec![result(register.cookie), Event::Notify(notify)]
                }
                Request::Unwatch(unwatch) => vec![result(unwatch.cookie)],
                Request::Ack(ack) => {
                    osd.note(format!("ack {}", String::from_utf8_lossy(&ack.payload)));
                    Vec::new()
                }
                _ => Vec::new(),
            };
            stream::iter(events).map(|event| Ok(wire::WatchEvent { event: Some(event) }))
        });
        async move { Ok(down.boxed()) }.boxed()
    }
}

#[test]
fn a_session_needs_no_network_and_no_timers() {
    let osd = Agreeable::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let config = Config { clock: Clock::manual(), machine: Clock::manual(), ..Config::ci() };
        let rados = Rados::over(Arc::new(osd.clone()), config).await.unwrap();
        assert_eq!(rados.gid(), 7);
        let io = rados.io_ctx("rbd").await.unwrap();
        let (first, second) =
            (io.operate("a", ObjectOp::new().stat()), io.operate("b", ObjectOp::new().stat()));
        assert_eq!(second.await.unwrap().version, 5);
        assert_eq!(first.await.unwrap().version, 5);
        let mut watch = io.watch("a", None).await.unwrap();
        match watch.next().await {
            WatchEvent::Notify(notification) => notification.ack.send(Bytes::from_static(b"heard")),
            event => panic!("{event:?}"),
        }
        watch.unwatch().await.unwrap();
        rados.shutdown().await;
    });
    assert_eq!(*osd.asked.lock().unwrap(), ["7 1 a", "7 2 b", "ack heard", "disconnect"]);
}
