//! A client of the OSD, as long as its connection is open.

use std::sync::Arc;

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, WatchNotify, notify_op};
use ceph_wire::{EntityAddr, Message, Wire, WireError, Writer, kind};
use errno::Errno;
use messenger::Peer;
use osd::op::Door;
use osd::vector::mutates;
use osd::{Effect, Entity, NotifyReply, OpError, Reply, Request, StreamId, WatchEvent, WatchRequest};
use store::Seq;

use super::daemons::Daemons;
use super::listings::{Listing, Listings};
use super::mon_client::Came;
use super::reply::Letter;
use super::request::{Asked, What};
use crate::across;
use crate::daemon::Inlet;
use crate::passing::{Answered, Beside, Passing};
use crate::wire;

pub(super) struct OsdClient {
    daemons: Arc<Daemons>,
    gid: u64,
    /// Its watch stream; `None` for an instance that is fenced: it is told so by each of its ops.
    stream: Option<StreamId>,
    inlet: Option<Inlet>,
    /// Its vectors, while there are faults.
    passing: Passing<Question>,
    listings: Listings,
}

/// A vector as it was asked for.
#[derive(Clone)]
struct Question {
    asked: Box<Asked>,
    mutates: bool,
}

impl Beside for Question {
    fn twin(&self) -> Self {
        self.clone()
    }

    fn bytes(&self) -> usize {
        size_of::<Asked>() + self.asked.request.ops.len() * size_of::<OsdOp>()
    }
}

impl OsdClient {
    /// Its session begins, or goes on. The error is why its connection has to end.
    pub(super) fn open(daemons: &Arc<Daemons>, peer: &Peer) -> Result<Self, OpError> {
        let Peer { name, gid, address, .. } = peer;
        let (outlet, inlet) = daemons.daemon.channel();
        let address = shown(address);
        let entity = Entity { gid: *gid, name: &name.id, address: &address };
        let opened = daemons.daemon.entity_connected(entity, outlet);
        let passing = Passing::new(daemons.daemon.clone());
        let listings = Listings::new(daemons.clone(), *gid);
        let client =
            |stream, inlet| Self { daemons: daemons.clone(), gid: *gid, stream, inlet, passing, listings };
        match opened {
            Ok(stream) => Ok(client(Some(stream), Some(inlet))),
            Err(refusal) if refusal.errno == Errno::EBLOCKLISTED => Ok(client(None, None)),
            Err(refusal) => Err(refusal),
        }
    }

    /// The answer to a message, and what that may have seen; `None` = nobody waits for one, or it comes by
    /// [`OsdClient::answered`].
    pub(super) fn take(&mut self, message: &Message) -> Result<Option<(Answer, Seq)>, WireError> {
        if message.kind != kind::OSD_OP {
            return Ok(None);
        }
        let mut asked = Asked::read(message)?;
        let epoch = self.daemons.epoch();
        let what = std::mem::replace(&mut asked.what, What::Refused(Errno::EOPNOTSUPP));
        Ok(Some(match what {
            What::Vector(vector) => {
                let mutates = mutates(&vector.ops);
                let mut request = Request { gid: self.gid, tid: asked.tid, watermark: 0, vector };
                let pool = asked.pool();
                if !self.passing.is_clear() {
                    // One that is gone is refused by its empty name.
                    let name = self.daemons.daemon.look(|osd| osd.pool_name(pool).map(str::to_owned));
                    request.vector.pool = name.unwrap_or_default();
                    self.passing.come(request, Question { asked: Box::new(asked), mutates });
                    return Ok(None);
                }
                let (reply, seen) = self.daemons.daemon.step(|osd, now| {
                    let Some(name) = osd.pool_name(pool) else {
                        return ((Arc::new(Reply::Err(no_pool(pool).into())), osd.seen()), NO_EFFECTS);
                    };
                    name.clone_into(&mut request.vector.pool);
                    let (reply, effects) = osd.operate(now, &request);
                    ((reply, osd.seen_by(&request.vector)), effects)
                });
                (Answer::Vector { asked: Box::new(asked), reply, epoch, mutates }, seen)
            }
            What::List(list) => {
                self.listings.come(Listing { asked, list });
                return Ok(None);
            }
            What::Refused(errno) => (Answer::Made(asked.refuse(errno, epoch)), Seq(0)),
        }))
    }

    /// The next answer to a listing, or to a vector that faults were asked about, and what it may have seen.
    pub(super) fn answered(&mut self) -> Option<(Answer, Seq)> {
        if let Some((page, seen)) = self.listings.answered() {
            return Some((Answer::Made(page), seen));
        }
        let Answered { reply, seen, beside: Question { asked, mutates }, .. } = self.passing.answered()?;
        Some((Answer::Vector { asked, reply, epoch: self.daemons.epoch(), mutates }, seen))
    }

    /// Its connection has ended; what is still on its way.
    pub(super) fn leave(mut self) -> impl Future<Output = ()> {
        let nothing = Passing::new(self.daemons.daemon.clone());
        std::mem::replace(&mut self.passing, nothing).finish()
    }

    /// The client lives: it has answered when it was asked.
    pub(super) fn lives(&self) {
        if let Some(stream) = self.stream {
            self.daemons.daemon.watch_request(stream, WatchRequest::Ping { sequence: 0 });
        }
    }

    /// What the OSD has to say by itself; `None` when the connection has to end.
    pub(super) async fn next(&mut self) -> Option<Told> {
        let Self { inlet, passing, listings, .. } = self;
        loop {
            let event = async {
                match inlet {
                    Some(inlet) => inlet.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = event => if let Some(told) = told(event?) {
                    return Some(told);
                },
                Some(late) = passing.next() => {
                    passing.go_on(late);
                    return Some(Told::Answers);
                }
                Some(late) = listings.next() => {
                    listings.go_on(late);
                    return Some(Told::Answers);
                }
            }
        }
    }
}

impl OsdClient {
    /// The OSD has ended its connection: nothing that came after that is heard.
    pub(super) fn is_cut(&self) -> bool {
        self.inlet.as_ref().is_some_and(|inlet| inlet.cut.get().is_some())
    }

    /// Why the OSD has nothing more to say.
    pub(super) fn why_cut(&self) -> String {
        let cut = self.inlet.as_ref().and_then(|inlet| inlet.cut.get());
        cut.map_or_else(String::new, |reason| reason.message().to_owned())
    }
}

/// An answer before it is encoded.
pub(super) enum Answer {
    /// Its bytes are those of the store.
    Vector { asked: Box<Asked>, reply: Arc<Reply>, epoch: u32, mutates: bool },
    /// What is small.
    Made(Letter),
}

impl Answer {
    /// What it takes when it is encoded.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Vector { reply, .. } => wire::reply_bytes(reply),
            Self::Made(Letter { message, data }) => {
                message.front.len() + data.iter().map(Bytes::len).sum::<usize>()
            }
        }
    }

    pub(super) fn encoded(self) -> Letter {
        match self {
            Self::Vector { asked, reply, epoch, mutates } => asked.answer(&reply, epoch, mutates),
            Self::Made(letter) => letter,
        }
    }
}

const NO_EFFECTS: Vec<Effect> = Vec::new();

impl Drop for OsdClient {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            self.daemons.daemon.stream_lost(stream);
        }
    }
}

/// What a client is told without having asked.
pub(super) enum Told {
    Message(Message),
    /// It is asked whether it lives.
    Ask,
    /// Answers that were late: [`OsdClient::answered`].
    Answers,
    /// It is not told but has asked something of the monitor that was late.
    Asked(Came),
}

/// An event as its client reads it; `None` for what the answers to its ops say.
fn told(event: WatchEvent) -> Option<Told> {
    let (notify, data) = match event {
        WatchEvent::Notification(heard) => {
            let osd::Notification { object, cookie, version, notify_id, payload, notifier_gid, door, .. } =
                heard;
            let payload = across::heard(&object, door, Door::Ceph, payload);
            let op = notify_op::NOTIFY;
            let notifier = notifier_gid;
            (
                WatchNotify { form: FORM, op, cookie, version, notify_id, payload, result: 0, notifier },
                Bytes::new(),
            )
        }
        WatchEvent::NotifyDone { cookie, notify_id, reply } => {
            let result = if reply.timed_out { Errno::ETIMEDOUT.result() } else { 0 };
            let of = WatchNotify { cookie, notify_id, result, ..about(notify_op::NOTIFY_COMPLETE) };
            (of, answers(&reply))
        }
        WatchEvent::Disconnected { cookie, .. } => {
            (WatchNotify { cookie, ..about(notify_op::DISCONNECT) }, Bytes::new())
        }
        WatchEvent::Ask => return Some(Told::Ask),
        WatchEvent::Result { .. } | WatchEvent::Pong { .. } => return None,
    };
    Some(Told::Message(Message::with_data(0, &notify, data)))
}

/// Of every [`WatchNotify`].
const FORM: u8 = 1;

fn about(op: u8) -> WatchNotify {
    let payload = Bytes::new();
    WatchNotify { form: FORM, op, cookie: 0, version: 0, notify_id: 0, payload, result: 0, notifier: 0 }
}

/// Who answered what, and who did not.
fn answers(reply: &NotifyReply) -> Bytes {
    let mut out = Writer::new();
    (reply.replies.len() as u32).put(&mut out);
    for ack in &reply.replies {
        (ack.gid, ack.cookie).put(&mut out);
        across::answered(&reply.object, Door::Ceph, ack).put(&mut out);
    }
    reply.missed.put(&mut out);
    out.finish()
}

/// An address as Ceph shows it.
fn shown(address: &EntityAddr) -> String {
    address.to_string()
}

pub(super) fn no_pool(pool: u64) -> OpError {
    OpError { errno: Errno::ENOENT, failed_op: None, text: format!("there is no pool {pool}") }
}
