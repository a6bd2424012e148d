//! Nothing leaves before it is durable: on a store that is late.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, poll, stream};
use osd::op::{Op, SnapContext, Terms, Vector};
use osd::{Millis, OpError, WatchEvent, WatchRequest};
use proto::osd::v1 as wire;
use rpc::osd::osd_server::Osd as _;
use store::{Name, Seq};
use tonic::Request;

use crate::Config;
use crate::daemon::Daemon;
use crate::service::Service;
use crate::shaky::{Handle, Shaky};

const OBJECT: &str = "object";

/// An OSD with an object, on a store that is late from here on.
struct World {
    daemon: Arc<Daemon>,
    store: Handle,
    gid: u64,
}

impl World {
    fn new() -> Self {
        let (store, handle) = Shaky::new();
        let daemon =
            Daemon::with_store(Box::new(store), &Config::ci(), 1).expect("the configuration is valid");
        let (gid, _) = daemon.connect("test", "peer").expect("there is room");
        let world = Self { daemon: Arc::new(daemon), store: handle, gid };
        world
            .daemon
            .step(|osd, now| osd.operate(now, &world.request(1, write())))
            .as_ref()
            .as_ref()
            .expect("room");
        world.store.be_late();
        world
    }

    fn request(&self, tid: u64, op: Op) -> osd::Request {
        self.request_on(OBJECT, tid, op)
    }

    fn request_on(&self, object: &str, tid: u64, op: Op) -> osd::Request {
        let (pool, namespace, object) = ("rbd".to_owned(), Name::default(), Name::from(object));
        let (snap_context, terms) = (SnapContext::default(), Terms::default());
        let vector = Vector { pool, namespace, object, snap_id: None, snap_context, terms, ops: vec![op] };
        osd::Request { gid: self.gid, tid, watermark: 0, vector }
    }

    async fn operate(&self, tid: u64, op: Op) -> Result<u64, OpError> {
        self.operate_on(OBJECT, tid, op).await
    }

    async fn operate_on(&self, object: &str, tid: u64, op: Op) -> Result<u64, OpError> {
        let (reply, seen) = self.daemon.operate(&self.request_on(object, tid, op));
        self.daemon.until_durable(seen).await;
        Arc::unwrap_or_clone(reply).map(|answer| answer.version).map_err(|refused| refused.error)
    }

    /// What the timer does when the store wakes it.
    fn wake(&self) {
        self.daemon.step(|osd, now| ((), osd.tick(now)));
    }

    fn catch_up(&self) {
        self.store.catch_up();
        self.wake();
    }
}

fn write() -> Op {
    Op::WriteFull { data: Bytes::from_static(b"data") }
}

#[tokio::test]
async fn a_reply_leaves_when_its_change_is_durable() {
    let world = World::new();
    let mut reply = pin!(world.operate(2, write()));
    assert!(poll!(&mut reply).is_pending());
    world.catch_up();
    reply.await.expect("it is written");
}

#[tokio::test]
async fn a_read_waits_for_what_it_has_read() {
    let world = World::new();
    world.operate(2, Op::Stat {}).await.expect("it is durable");
    let mut written = pin!(world.operate(3, write()));
    assert!(poll!(&mut written).is_pending());
    let mut read = pin!(world.operate(4, Op::Stat {}));
    assert!(poll!(&mut read).is_pending());
    let mut listed = pin!(world.daemon.find(|osd| osd.list_objects("rbd", "", "", 0)));
    assert!(poll!(&mut listed).is_pending());
    world.catch_up();
    assert_eq!(read.await.expect("it is there"), written.await.expect("it is written"));
    listed.await.expect("the pool is there");
}

#[tokio::test]
async fn a_read_does_not_wait_for_what_it_has_not_read() {
    let world = World::new();
    {
        let mut other = pin!(world.operate_on("other", 2, write()));
        assert!(poll!(&mut other).is_pending());
        world.catch_up();
        other.await.expect("it is written");
    }
    let mut written = pin!(world.operate(3, write()));
    assert!(poll!(&mut written).is_pending());
    let mut read_other = pin!(world.operate_on("other", 4, Op::Stat {}));
    assert!(poll!(&mut read_other).is_ready(), "it has seen nothing of it");
    let mut write_other = pin!(world.operate_on("other", 5, write()));
    assert!(poll!(&mut write_other).is_pending(), "a change comes behind all that happened before");
    world.catch_up();
    world.daemon.connect("other", "peer").expect("there is room");
    let mut read_other = pin!(world.operate_on("other", 6, Op::Stat {}));
    assert!(poll!(&mut read_other).is_pending(), "it has seen who is there");
    world.catch_up();
    read_other.await.expect("it is there");
}

#[tokio::test]
async fn a_client_is_told_its_gid_when_that_is_durable() {
    let world = World::new();
    let service = Service::new(world.daemon.clone(), Config::ci());
    let mut connected = pin!(service.connect(Request::new(wire::ConnectRequest::default())));
    assert!(poll!(&mut connected).is_pending());
    world.catch_up();
    connected.await.expect("there is room");
}

/// Invariant I1: the answer is the fence.
#[tokio::test]
async fn a_fence_is_answered_when_all_that_was_applied_before_is_durable() {
    let world = World::new();
    world.daemon.step(|osd, now| osd.operate(now, &world.request(2, write())));
    let fence = world.daemon.answer(|osd, now| osd.blocklist_add(now, world.gid, None, 0));
    let mut fence = pin!(fence);
    assert!(poll!(&mut fence).is_pending());
    world.catch_up();
    fence.await.expect("an operator may fence");
}

#[tokio::test]
async fn a_notify_leaves_when_what_was_written_before_it_is_durable() {
    let world = World::new();
    let (outlet, mut inlet) = world.daemon.channel();
    let stream = world.daemon.hello(world.gid, outlet).expect("the session is live");
    let (pool, object) = ("rbd".to_owned(), OBJECT.to_owned());
    world.daemon.watch_request(stream, WatchRequest::Register { pool, object, cookie: 1, timeout: None });
    world.catch_up();
    for _ in ["hello", "registered"] {
        assert!(matches!(inlet.next().await, Some(WatchEvent::Result { error: None, .. })));
    }
    let written = world.daemon.step(|osd, now| osd.operate(now, &world.request(2, write())));
    written.as_ref().as_ref().expect("it is written");
    let notify =
        |osd: &mut osd::Osd<_>, now: Millis| osd.notify(now, world.gid, ("rbd", OBJECT), Bytes::new(), None);
    world.daemon.notify(notify).expect("the object exists");
    {
        let mut heard = pin!(inlet.next());
        assert!(poll!(&mut heard).is_pending());
        world.catch_up();
        assert!(matches!(heard.await, Some(WatchEvent::Notification(_))));
    }
}

/// Replies of a stream need not wait for each other: the next op runs meanwhile.
#[tokio::test]
async fn ops_of_a_stream_run_while_the_replies_of_earlier_ones_wait() {
    let world = World::new();
    let create = |tid: u64| wire::OperateRequest {
        gid: world.gid,
        tid,
        pool: "rbd".to_owned(),
        object: format!("object {tid}"),
        ops: vec![wire::Op { op: Some(wire::op::Op::Create(wire::Create { exclusive: true })) }],
        ..Default::default()
    };
    let before = world.store.newest();
    let requests = stream::iter([Ok(create(2)), Ok(create(3))]).chain(stream::pending());
    let mut replies = pin!(
        crate::op_stream::open(world.daemon.clone(), None, requests, Default::default()).expect("it opens")
    );
    let applied = |_: &u64| world.store.newest() >= Seq(before.0 + 2);
    world.daemon.newest_event().wait_for(applied).await.expect("the daemon lives");
    assert!(poll!(replies.next()).is_pending());
    world.store.reach(Seq(before.0 + 1));
    world.wake();
    assert_eq!(replies.next().await.expect("it is durable").expect("it is created").tid, 2);
    assert!(poll!(replies.next()).is_pending());
    world.catch_up();
    assert_eq!(replies.next().await.expect("it is durable").expect("it is created").tid, 3);
}

#[tokio::test]
async fn the_timer_looks_again_when_the_store_says_so() {
    let world = World::new();
    let mut reply = pin!(world.operate(2, write()));
    assert!(poll!(&mut reply).is_pending());
    let mut timer = pin!(world.daemon.keep_time());
    assert!(poll!(&mut timer).is_pending());
    world.store.catch_up();
    tokio::select! {
        biased;
        reply = reply => drop(reply.expect("it is written")),
        () = timer => unreachable!("the timer never ends"),
    }
}
