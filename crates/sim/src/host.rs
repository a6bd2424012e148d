//! The OSD at its place in the network: messages in, messages out. The rules are [`osd::Osd`]'s, the conversions those of the server
//! that ships.

use std::collections::{BTreeMap, VecDeque};

use osd::faults::{Action, Crossing, Direction, Verdict};
use osd::{Effect, Millis, OpError, Osd, StreamId};
use osd_sim::wire as convert;
use proto::osd::v1 as wire;
use rados::{Call, CallAnswer, Error, Failure};
use store::Seq;

use crate::mail::{Down, Place, Up};
use crate::shaky::{Handle, Shaky};

mod lives;

/// The pool that everything is in.
pub(crate) const POOL: &str = "rbd";

/// Where a client is said to come from.
const PEER: &str = "127.0.0.1";

/// What goes out, and what must be durable before.
pub(crate) type Out = Vec<(Place, Down, Seq)>;

/// One OSD and its streams.
pub(crate) struct Host {
    pub(crate) osd: Osd<Shaky>,
    /// By place; the session that an op stream belongs to.
    op_streams: BTreeMap<Place, u64>,
    /// By place; `None` before its Hello.
    watch_streams: BTreeMap<Place, Option<StreamId>>,
    notifies: BTreeMap<u64, Place>,
    /// What its store does.
    store: Handle,
    is_late: bool,
    /// It has crashed, and this is what the crash has left.
    left: Option<(Shaky, Handle)>,
    /// What has not left yet.
    held: VecDeque<(Place, Down, Seq)>,
    /// Of each step with events: the first transaction that they are about, and the newest of them.
    stepped: VecDeque<(Seq, u64)>,
    /// The newest transaction of the steps before.
    stepped_to: Seq,
    /// Events of earlier lives.
    past: Vec<wire::Event>,
    /// Invariants that a step has broken.
    pub(crate) broken: Vec<String>,
}

impl Host {
    /// `is_late`: what it does is durable when [`Host::reach`] says so.
    pub(crate) fn new(config: osd::Config, is_late: bool) -> Self {
        let mut host = Self::on(Shaky::new(), config, Vec::new(), Millis(0), false);
        host.osd.create_pool(Millis(0), POOL).0.expect("it is the first pool");
        host.be_late(is_late);
        host
    }

    /// On a store that is in order, where this happened before.
    pub(crate) fn on(
        (store, handle): (Shaky, Handle),
        config: osd::Config,
        past: Vec<wire::Event>,
        now: Millis,
        is_late: bool,
    ) -> Self {
        let osd = Osd::open(store, config, 0, now).expect("the store is in order");
        let mut host = Self {
            stepped_to: osd.seen(),
            osd,
            op_streams: BTreeMap::new(),
            watch_streams: BTreeMap::new(),
            notifies: BTreeMap::new(),
            store: handle,
            is_late: false,
            left: None,
            held: VecDeque::new(),
            stepped: VecDeque::new(),
            past,
            broken: Vec::new(),
        };
        host.be_late(is_late);
        host
    }

    fn be_late(&mut self, is_late: bool) {
        self.is_late = is_late;
        self.stepped_to = self.osd.seen();
        if is_late {
            self.store.be_late();
        }
    }

    fn say(&self, place: Place, down: Down) -> (Place, Down, Seq) {
        (place, down, self.osd.seen())
    }

    /// Whether there is something that the OSD does by itself at this moment.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        !self.is_down() && (self.osd.has_work() || self.osd.next_deadline().is_some_and(|due| due <= now))
    }

    /// When it does something by itself.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        if self.is_down() { None } else { self.osd.next_deadline() }
    }

    /// Does it.
    pub(crate) fn work(&mut self, now: Millis) -> Out {
        let mut effects = self.osd.tick(now);
        if self.osd.has_work() {
            effects.extend(self.osd.work(now));
        }
        self.carry_out(effects)
    }

    /// A message arrives.
    pub(crate) fn hear(&mut self, now: Millis, place: Place, up: Up) -> Out {
        match up {
            Up::Connect => vec![self.say(place, Down::Connected)],
            Up::Call(call) => self.call(now, place, *call),
            Up::OpenOps { gid } => self.open_ops(now, place, gid),
            Up::Operate(request) => self.operate(now, place, *request),
            Up::OpenWatch => {
                self.watch_streams.insert(place, None);
                vec![self.say(place, Down::Opened(Ok(())))]
            }
            Up::Watch(request) => self.watch(now, place, *request),
            Up::Closed => self.closed(now, place),
            Up::Gone => {
                let is_of = |other: &&Place| other.connection == place.connection;
                let gone: Vec<_> =
                    self.op_streams.keys().chain(self.watch_streams.keys()).filter(is_of).copied().collect();
                gone.into_iter().flat_map(|place| self.closed(now, place)).collect()
            }
        }
    }

    /// The vector was refused on purpose.
    pub(crate) fn refuse(
        &mut self,
        now: Millis,
        place: Place,
        request: &wire::OperateRequest,
        errno: errno::Errno,
    ) -> Out {
        let ops = [String::new()];
        let crossing = Crossing {
            direction: Direction::Request,
            gid: request.gid,
            client: "",
            address: "",
            pool: &request.pool,
            object: &request.object,
            ops: &ops,
            can_fail: true,
            payload: None,
        };
        let effects = self.osd.tell_fault(now, Verdict { rule: 0, action: Action::Error(errno) }, &crossing);
        let mut out = self.carry_out(effects);
        let refusal = OpError { errno, failed_op: None, text: "refused on purpose".to_owned() };
        let reply = wire::OperateReply {
            tid: request.tid,
            version: 0,
            results: Vec::new(),
            error: Some(convert::error(refusal)),
        };
        out.push(self.say(place, Down::Reply(Box::new(reply))));
        out
    }

    fn open_ops(&mut self, now: Millis, place: Place, gid: u64) -> Out {
        let (_, effects) = self.osd.op_stream_opened(now, gid);
        let mut out = self.carry_out(effects);
        let opened = match self.osd.session_over(gid) {
            Some(over) => Err(failure(over)),
            None => {
                self.op_streams.insert(place, gid);
                Ok(())
            }
        };
        out.push(self.say(place, Down::Opened(opened)));
        out
    }

    /// Also what comes behind the end of its stream: it was on its way.
    fn operate(&mut self, now: Millis, place: Place, request: wire::OperateRequest) -> Out {
        let tid = request.tid;
        let (reply, effects, seen) = match convert::request(request) {
            Ok(request) => {
                let (reply, effects) = self.osd.operate(now, &request);
                (std::sync::Arc::unwrap_or_clone(reply), effects, self.osd.seen_by(&request.vector))
            }
            Err(refusal) => (Err(refusal.into()), Vec::new(), self.osd.seen()),
        };
        let mut out = self.carry_out(effects);
        out.push((place, Down::Reply(Box::new(convert::reply(tid, reply))), seen));
        out
    }

    fn watch(&mut self, now: Millis, place: Place, request: wire::WatchRequest) -> Out {
        let Some(&stream) = self.watch_streams.get(&place) else { return Vec::new() };
        match (convert::watch_request(request), stream) {
            (Ok(convert::Up::Hello { gid }), None) => {
                let (opened, effects) = self.osd.watch_hello(now, gid);
                match opened {
                    Ok(stream) => drop(self.watch_streams.insert(place, Some(stream))),
                    Err(refusal) => {
                        self.watch_streams.remove(&place);
                        let event = osd::WatchEvent::Result { cookie: 0, error: Some(refusal) };
                        let mut out = self.carry_out(effects);
                        let told = convert::watch_event(event);
                        out.extend(told.map(|event| self.say(place, Down::Event(Box::new(event)))));
                        out.push(self.say(place, Down::Ended(None)));
                        return out;
                    }
                }
                self.carry_out(effects)
            }
            (Ok(convert::Up::Request(request)), Some(stream)) => {
                let effects = self.osd.watch_request(now, stream, request);
                self.carry_out(effects)
            }
            _ => unreachable!("rados greets once, and knows what to ask for"),
        }
    }

    fn closed(&mut self, now: Millis, place: Place) -> Out {
        if let Some(gid) = self.op_streams.remove(&place) {
            let effects = self.osd.op_stream_closed(now, gid);
            return self.carry_out(effects);
        }
        match self.watch_streams.remove(&place) {
            Some(Some(stream)) => {
                let effects = self.osd.watch_stream_lost(now, stream);
                self.carry_out(effects)
            }
            _ => Vec::new(),
        }
    }

    fn call(&mut self, now: Millis, place: Place, call: Call) -> Out {
        let osd = &mut self.osd;
        let (answer, effects) = match call {
            Call::Connect(request) => {
                let (reply, effects) = osd.connect(now, &request.name, PEER);
                let limits = Some(convert::limits(&osd.config().limits));
                let config = osd.config();
                let reply = reply.map(|(gid, address)| wire::ConnectReply {
                    gid,
                    address,
                    osd_client_watch_timeout_ms: config.osd_client_watch_timeout.0,
                    osd_client_session_timeout_ms: config.osd_client_session_timeout.0,
                    limits,
                });
                (reply.map(CallAnswer::Connect), effects)
            }
            Call::Disconnect(request) => {
                let (reply, effects) = osd.disconnect(now, request.gid);
                (reply.map(|()| CallAnswer::Disconnect(wire::DisconnectReply {})), effects)
            }
            Call::Notify(request) => return self.notify(now, place, request),
            Call::ListWatchers(request) => {
                let (reply, effects) = osd.list_watchers(now, &request.pool, &request.object);
                let watchers = reply.map(|watchers| watchers.into_iter().map(convert::watcher).collect());
                (
                    watchers.map(|watchers| CallAnswer::ListWatchers(wire::ListWatchersReply { watchers })),
                    effects,
                )
            }
            Call::BlocklistAdd(request) => {
                let mut watched = watched_by(osd, now, request.gid);
                let expire = (request.expire_ms != 0).then_some(Millis(request.expire_ms));
                let wire::BlocklistAddRequest { gid, requester_gid, unless_watching, .. } = request;
                let (reply, effects) = match &unless_watching {
                    None => osd.blocklist_add(now, gid, expire, requester_gid),
                    Some(wire::WatchedObject { pool, object }) => {
                        osd.blocklist_add_unless_watching(now, gid, expire, requester_gid, (pool, object))
                    }
                };
                // Its watch of this header may have expired a moment before that of another.
                if let Some(asked) = &unless_watching {
                    watched.retain(|object| *object == asked.object);
                }
                if reply.is_ok() && requester_gid != 0 && !watched.is_empty() {
                    let watched = watched.join(", ");
                    let what = format!(
                        "fenced-while-watching: client {gid} by client {requester_gid} at {} ms while it watched {watched}",
                        now.0
                    );
                    self.broken.push(what);
                }
                (reply.map(|()| CallAnswer::BlocklistAdd(wire::BlocklistAddReply {})), effects)
            }
            Call::BlocklistRemove(request) => {
                let effects = osd.blocklist_remove(now, request.gid);
                (Ok(CallAnswer::BlocklistRemove(wire::BlocklistRemoveReply {})), effects)
            }
            Call::BlocklistList(_) => {
                let (entries, effects) = osd.blocklist(now);
                let entry = |(gid, left): (u64, Millis)| wire::BlocklistEntry { gid, expires_in_ms: left.0 };
                let entries = entries.into_iter().map(entry).collect();
                (Ok(CallAnswer::BlocklistList(wire::BlocklistListReply { entries })), effects)
            }
            Call::ListSessions(_) => {
                let sessions = osd.sessions().into_iter().map(convert::session).collect();
                (Ok(CallAnswer::ListSessions(wire::ListSessionsReply { sessions })), Vec::new())
            }
            Call::CreatePool(request) => {
                let (reply, effects) = osd.create_pool(now, &request.name);
                (reply.map(|id| CallAnswer::CreatePool(wire::CreatePoolReply { id })), effects)
            }
            Call::ListPools(_) => {
                let pools = osd.pools().into_iter().map(convert::pool).collect();
                (Ok(CallAnswer::ListPools(wire::ListPoolsReply { pools })), Vec::new())
            }
            Call::ListObjects(request) => {
                let wire::ListObjectsRequest { pool, after, prefix, max } = request;
                let listed = osd.list_objects(&pool, &prefix, &after, max).map(|(names, more)| {
                    let names = names.into_iter().map(store::Name::into_text).collect();
                    CallAnswer::ListObjects(wire::ListObjectsReply { names, more })
                });
                (listed, Vec::new())
            }
            Call::AllocateSnapId(request) => {
                let (reply, effects) = osd.allocate_snap_id(now, &request.pool, request.gid, request.tid);
                let answer = |snap_id| CallAnswer::AllocateSnapId(wire::AllocateSnapIdReply { snap_id });
                (reply.map(answer), effects)
            }
            Call::RemoveSnapId(request) => {
                let (reply, effects) = osd.remove_snap_id(now, &request.pool, request.snap_id, request.gid);
                (reply.map(|()| CallAnswer::RemoveSnapId(wire::RemoveSnapIdReply {})), effects)
            }
        };
        let mut out = self.carry_out(effects);
        out.push(self.say(place, Down::Answer(Box::new(answer.map_err(failure)))));
        out
    }

    fn notify(&mut self, now: Millis, place: Place, request: wire::NotifyRequest) -> Out {
        let wire::NotifyRequest { gid, pool, object, payload, timeout_ms } = request;
        let timeout = (timeout_ms != 0).then_some(Millis(timeout_ms));
        let (begun, effects) = self.osd.notify(now, gid, (&pool, &object), payload, timeout);
        match begun {
            Ok(notify_id) => {
                self.notifies.insert(notify_id, place);
                self.carry_out(effects)
            }
            Err(refusal) => {
                let mut out = self.carry_out(effects);
                out.push(self.say(place, Down::Answer(Box::new(Err(failure(refusal))))));
                out
            }
        }
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> Out {
        let mut out = Vec::new();
        for effect in effects {
            match effect {
                Effect::ToWatcher { stream, event } => {
                    if let (Some(place), Some(event)) = (self.place_of(stream), convert::watch_event(event)) {
                        out.push(self.say(place, Down::Event(Box::new(event))));
                    }
                }
                Effect::CutStream { stream, reason } => {
                    if let Some(place) = self.place_of(stream) {
                        self.watch_streams.remove(&place);
                        out.push(self.say(place, Down::Ended(Some(failure(reason)))));
                    }
                }
                Effect::NotifyDone { notify_id, reply } => {
                    if let Some(place) = self.notifies.remove(&notify_id) {
                        let reply = CallAnswer::Notify(convert::notify_reply(notify_id, reply));
                        out.push(self.say(place, Down::Answer(Box::new(Ok(reply)))));
                    }
                }
                Effect::SessionEnded { .. } => {}
            }
        }
        out
    }

    fn place_of(&self, stream: StreamId) -> Option<Place> {
        self.watch_streams.iter().find(|(_, known)| **known == Some(stream)).map(|(place, _)| *place)
    }
}

/// Headers that an instance watches. Who does so lives, or will be found out by the OSD: nobody else is to fence it.
fn watched_by(osd: &mut Osd<Shaky>, now: Millis, gid: u64) -> Vec<String> {
    let (headers, _) = osd.list_objects(POOL, "rbd_header.", "", u32::MAX).unwrap_or_default();
    let headers = headers.into_iter().map(store::Name::into_text);
    let is_watched = |header: &String| {
        let (watchers, _) = osd.list_watchers(now, POOL, header);
        watchers.is_ok_and(|watchers| watchers.iter().any(|watcher| watcher.gid == gid))
    };
    headers.filter(is_watched).collect()
}

fn failure(refusal: OpError) -> Failure {
    Failure::Answer(Error::from_wire(convert::error(refusal), ""))
}
