//! A whole OSD with one pool, and short ways to talk to it.
#![allow(dead_code, reason = "every test program uses its own part")]

use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use osd::op::{Dialect, Op, SnapContext, Terms, Vector};
use osd::{Answer, Config, Effect, Kind, Millis, NotifyReply, OpError, Osd, Request};
use osd::{StreamId, WatchEvent, WatchRequest};
use prost::Message;
use store::{MemoryStore, Name};

pub(crate) struct World {
    pub(crate) osd: Osd<MemoryStore>,
    pub(crate) now: Millis,
    /// Since they were last taken.
    pub(crate) effects: Vec<Effect>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut osd = Osd::open(MemoryStore::new(), config, 4000, Millis(0)).expect("it is empty");
        osd.create_pool(Millis(0), "rbd").0.expect("the first pool");
        Self { osd, now: Millis(1000), effects: Vec::new() }
    }

    /// Lets time pass, stopping wherever the OSD wants to be called.
    pub(crate) fn pass(&mut self, span: u64) {
        let end = Millis(self.now.0 + span);
        while let Some(deadline) = self.osd.next_deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.effects.extend(self.osd.tick(self.now));
        }
        self.now = end;
    }

    pub(crate) fn keep<T>(&mut self, (reply, effects): (T, Vec<Effect>)) -> T {
        self.effects.extend(effects);
        reply
    }

    pub(crate) fn connect(&mut self) -> u64 {
        let connected = self.osd.connect(self.now, "client", "127.0.0.1:1");
        self.keep(connected).expect("there is room").0
    }

    pub(crate) fn send(
        &mut self,
        gid: u64,
        tid: u64,
        watermark: u64,
        object: &str,
        ops: &[Op],
    ) -> Result<Answer, OpError> {
        let vector = vector(object, ops);
        let operated = self.osd.operate(self.now, &Request { gid, tid, watermark, vector });
        Arc::unwrap_or_clone(self.keep(operated)).map_err(|refused| refused.error)
    }

    pub(crate) fn must(&mut self, gid: u64, tid: u64, object: &str, ops: &[Op]) -> Answer {
        self.send(gid, tid, 0, object, ops).expect("the test set this up to succeed")
    }

    /// An object by an operator's client of its own.
    pub(crate) fn create(&mut self, object: &str) {
        let gid = self.connect();
        self.must(gid, 1, object, &[Op::Create { exclusive: true }]);
    }

    pub(crate) fn version(&mut self, object: &str) -> u64 {
        self.send(0, 0, 0, object, &[]).expect("an empty vector reads").version
    }

    pub(crate) fn hello(&mut self, gid: u64) -> StreamId {
        let opened = self.osd.watch_hello(self.now, gid);
        self.keep(opened).expect("the session is live")
    }

    pub(crate) fn up(&mut self, stream: StreamId, request: WatchRequest) {
        let effects = self.osd.watch_request(self.now, stream, request);
        self.effects.extend(effects);
    }

    /// A client with a stream and a watch on the object.
    pub(crate) fn watcher(&mut self, object: &str, cookie: u64) -> (u64, StreamId) {
        let gid = self.connect();
        let stream = self.hello(gid);
        self.up(stream, register(object, cookie, None));
        (gid, stream)
    }

    pub(crate) fn lose(&mut self, stream: StreamId) {
        let effects = self.osd.watch_stream_lost(self.now, stream);
        self.effects.extend(effects);
    }

    pub(crate) fn notify(&mut self, gid: u64, object: &str, payload: &'static str, timeout: u64) -> u64 {
        let payload = Bytes::from_static(payload.as_bytes());
        let started = self.osd.notify(self.now, gid, ("rbd", object), payload, Some(Millis(timeout)));
        self.keep(started).expect("the object exists")
    }

    pub(crate) fn ack(
        &mut self,
        stream: StreamId,
        object: &str,
        notify_id: u64,
        cookie: u64,
        payload: &'static str,
    ) {
        let (pool, object) = ("rbd".to_owned(), object.to_owned());
        let payload = Bytes::from_static(payload.as_bytes());
        self.up(stream, WatchRequest::Ack { pool, object, notify_id, cookie, payload });
    }

    pub(crate) fn fence(&mut self, gid: u64) {
        let added = self.osd.blocklist_add(self.now, gid, None, 0);
        self.keep(added).expect("an operator may fence");
    }

    /// The answer to a notify, if there is one among the effects.
    pub(crate) fn answer(&self, id: u64) -> Option<NotifyReply> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::NotifyDone { notify_id, reply } if *notify_id == id => Some(reply.clone()),
            _ => None,
        })
    }

    /// What was sent down a stream, in order; it is taken away.
    pub(crate) fn down(&mut self, wanted: StreamId) -> Vec<WatchEvent> {
        let mut down = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::ToWatcher { stream, event } if *stream == wanted => {
                down.push(event.clone());
                false
            }
            _ => true,
        });
        down
    }

    /// (cookie, payload) of the notifications that were sent down a stream; everything that was sent is taken away.
    pub(crate) fn heard(&mut self, stream: StreamId) -> Vec<(u64, String)> {
        let heard = self.down(stream).into_iter().filter_map(|event| match event {
            WatchEvent::Notification(heard) => {
                Some((heard.cookie, String::from_utf8(heard.payload.to_vec()).expect("a test's payload")))
            }
            _ => None,
        });
        heard.collect()
    }

    pub(crate) fn watchers(&mut self, object: &str) -> Vec<(u64, u64)> {
        let listed = self.osd.list_watchers(self.now, "rbd", object);
        let watchers = self.keep(listed).expect("the object exists");
        watchers.iter().map(|watcher| (watcher.gid, watcher.cookie)).collect()
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.osd.events_after(0, usize::MAX).iter().filter(|event| event.kind == kind).count()
    }
}

pub(crate) fn register(object: &str, cookie: u64, timeout: Option<u64>) -> WatchRequest {
    let (pool, object) = ("rbd".to_owned(), object.to_owned());
    WatchRequest::Register { pool, object, cookie, timeout: timeout.map(Millis) }
}

pub(crate) fn reconnect(object: &str, cookie: u64) -> WatchRequest {
    WatchRequest::Reconnect { pool: "rbd".to_owned(), object: object.to_owned(), cookie }
}

pub(crate) fn unwatch(object: &str, cookie: u64) -> WatchRequest {
    WatchRequest::Unwatch { pool: "rbd".to_owned(), object: object.to_owned(), cookie }
}

pub(crate) fn result(cookie: u64, errno: Option<Errno>) -> impl Fn(&WatchEvent) -> bool {
    move |event| match event {
        WatchEvent::Result { cookie: of, error } => {
            *of == cookie && error.as_ref().map(|error| error.errno) == errno
        }
        _ => false,
    }
}

pub(crate) fn disconnected(cookie: u64, errno: Errno) -> impl Fn(&WatchEvent) -> bool {
    move |event| match event {
        WatchEvent::Disconnected { cookie: of, error, .. } => *of == cookie && error.errno == errno,
        _ => false,
    }
}

pub(crate) fn write(data: &'static str) -> Op {
    Op::Write { offset: 0, data: Bytes::from_static(data.as_bytes()) }
}

/// At HEAD, without snapshots.
pub(crate) fn vector(object: &str, ops: &[Op]) -> Vector {
    Vector {
        pool: "rbd".to_owned(),
        namespace: Name::default(),
        object: object.into(),
        snap_id: None,
        snap_context: SnapContext::default(),
        terms: Terms::default(),
        ops: ops.to_vec(),
    }
}

pub(crate) fn exec(class: &str, method: &str, input: &impl Message) -> Op {
    Op::Exec {
        class: class.to_owned(),
        method: method.to_owned(),
        dialect: Dialect::Protobuf,
        input: input.encode_to_vec().into(),
    }
}

pub(crate) fn errno<T: std::fmt::Debug>(reply: Result<T, OpError>) -> Errno {
    reply.expect_err("the test set this up to fail").errno
}
