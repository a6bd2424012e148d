//! A client that speaks the protocol itself, message by message.

use std::net::SocketAddr;

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, OsdOpReply, OsdOpRequest, Watch, WatchNotify, code, notify_op, watch_op};
use ceph_wire::{
    AddrKind, EntityAddr, FEATURES, Message, MessageHeader, Payload, from_bytes, kind, to_bytes,
};
use messenger::{AuthClaim, AuthRequest, BANNER, ClientIdent, Decoder, Tag, banner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lab::CLIENT_TIME_MAX;
use crate::peer;

/// `rados put obj1` of 100,000 bytes, as 16.2.15 asked for it.
const PUT: &str = "010112000000 01 0100000000000000 1f000000 ffffffff ff
    ffdef86c 09000000 24004000
    020215000000 000000000000000000 0000000000000000 00000000
    000000000000000000000000000000000000000000000000 00000000 5fc4096b 5b491a26
    06031c000000 0100000000000000 ffffffff 00000000 00000000 ffffffffffffffff
    04000000 6f626a31 0100
    0222 00000000 0000000000000000 a086010000000000 0000000000000000 00000000 a0860100
    feffffffffffffff 0000000000000000 00000000 00000000 fffffdffbdcf013f";
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A client, until it is dropped.
pub(crate) struct Client {
    socket: TcpStream,
    arrived: Decoder,
    sequence: u64,
}

impl Client {
    /// Connects to a daemon as the client of this global id; its address has the same nonce.
    pub(crate) async fn open(at: SocketAddr, gid: u32) -> Self {
        let mut socket = TcpStream::connect(at).await.expect("it accepts");
        let claim = AuthClaim { form: 10, name: peer::name(), gid: gid.into() };
        let auth = AuthRequest { method: 1, modes: vec![1], payload: to_bytes(&claim) };
        let address = EntityAddr {
            kind: AddrKind::Any,
            nonce: gid,
            socket: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let ident = ClientIdent {
            addresses: address.into(),
            target: EntityAddr::msgr2(at),
            gid: gid.into(),
            global_seq: 2,
            features: FEATURES,
            features_required: 0,
            flags: 1,
            cookie: 0,
        };
        let (auth, ident) = (peer::frame(Tag::AuthRequest, &auth), peer::frame(Tag::ClientIdent, &ident));
        let said = [banner(), peer::hello(), auth, peer::signature(), ident].concat();
        socket.write_all(&said).await.expect("it listens");
        let mut theirs = [0; BANNER.len() + 2 + 16];
        socket.read_exact(&mut theirs).await.expect("it says what it speaks");
        let mut client = Self { socket, arrived: Decoder::default(), sequence: 0 };
        while client.frame().await.expect("it is let in").0 != Tag::ServerIdent.number() {}
        client
    }

    pub(crate) async fn say(&mut self, tid: u64, what: &impl Payload, data: Bytes) {
        self.sequence += 1;
        let message = peer::message(self.sequence, &Message::with_data(tid, what, data));
        self.socket.write_all(&message).await.expect("it listens");
    }

    /// The next message; `None` when the connection ends instead.
    pub(crate) async fn heard(&mut self) -> Option<Message> {
        loop {
            let (tag, [header, front, _, data]) = self.frame().await?;
            if tag == Tag::Message.number() {
                let header: MessageHeader = from_bytes(&header).expect("it is one");
                let MessageHeader { tid, kind, version, compat, .. } = header;
                return Some(Message { tid, kind, version, compat, front, data });
            }
        }
    }

    /// The next message, which is of this kind.
    pub(crate) async fn hear<P: Payload>(&mut self) -> (u64, P, Bytes) {
        let message = self.heard().await.expect("the connection goes on");
        assert_eq!(message.kind, P::KIND);
        (message.tid, message.read().expect("it decodes"), message.data)
    }

    async fn frame(&mut self) -> Option<(u8, [Bytes; 4])> {
        loop {
            if let Some(frame) = self.arrived.next_frame(FRAME_BYTES_MAX).expect("it keeps to the protocol") {
                return Some((frame.tag, frame.segments));
            }
            let mut bytes = [0; 4096];
            let reading = timeout(CLIENT_TIME_MAX, self.socket.read(&mut bytes));
            match reading.await.expect("something comes in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.arrived.push(&bytes[..count]),
            }
        }
    }
}

/// What a client of the OSD asks.
impl Client {
    pub(crate) async fn ask(&mut self, tid: u64, object: &str, op: OsdOp, data: Bytes) {
        let mut request: OsdOpRequest = from_bytes(&fuzz::unhex(PUT)).expect("it is real");
        request.head.oid = Bytes::copy_from_slice(object.as_bytes());
        request.ops = vec![op];
        self.say(tid, &request, data).await;
    }

    /// A number that no test names.
    fn fresh(&self) -> u64 {
        1000 + self.sequence
    }

    pub(crate) async fn write(&mut self, tid: u64, object: &str, text: &'static str) {
        let op = OsdOp::new(code::WRITEFULL, &(0_u64, text.len() as u64), text.len() as u32);
        self.ask(tid, object, op, Bytes::from_static(text.as_bytes())).await;
    }

    /// The next answer: to what, its result, and what it carries.
    pub(crate) async fn answer(&mut self) -> (u64, i32, Bytes) {
        let (tid, reply, data) = self.hear::<OsdOpReply>().await;
        (tid, reply.result, data)
    }

    pub(crate) async fn watch(&mut self, object: &str, cookie: u64) {
        let watch = Watch { cookie, version: 0, op: watch_op::WATCH, generation: 0, timeout: 0 };
        self.ask(self.fresh(), object, OsdOp::new(code::WATCH, &watch, 0), Bytes::new()).await;
        assert_eq!(self.answer().await.1, 0);
    }

    /// Notifies, as the watch of this cookie, with so many seconds of patience.
    pub(crate) async fn notify(&mut self, object: &str, cookie: u64, payload: Bytes, seconds: u32) {
        let data = to_bytes(&((1_u32, seconds), payload));
        self.ask(self.fresh(), object, OsdOp::new(code::NOTIFY, &cookie, data.len() as u32), data).await;
    }

    /// The next notify, acked.
    pub(crate) async fn ack(&mut self, object: &str, cookie: u64) -> Bytes {
        let heard = self.told(notify_op::NOTIFY).await.0;
        let data = to_bytes(&((heard.notify_id, cookie), Bytes::new()));
        self.ask(self.fresh(), object, OsdOp::new(code::NOTIFY_ACK, &0_u64, data.len() as u32), data).await;
        heard.payload
    }

    /// What became of its notify: its result, and gid and cookie of those who did not answer.
    pub(crate) async fn completed(&mut self) -> (i32, Vec<(u64, u64)>) {
        let (done, data) = self.told(notify_op::NOTIFY_COMPLETE).await;
        let (_answers, missed): (Vec<((u64, u64), Bytes)>, _) = from_bytes(&data).expect("it decodes");
        (done.result, missed)
    }

    /// The next of what the OSD says by itself; answers to ops come in between.
    async fn told(&mut self, op: u8) -> (WatchNotify, Bytes) {
        loop {
            let message = self.heard().await.expect("the connection goes on");
            if message.kind == kind::WATCH_NOTIFY {
                let said: WatchNotify = message.read().expect("it decodes");
                assert_eq!(said.op, op, "{said:?}");
                return (said, message.data);
            }
        }
    }
}
