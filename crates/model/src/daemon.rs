//! The OSD, as it ships, with one cloned image on it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use errno::Errno;
use osd::op::{Op, Output, Vector};
use osd::{Config, Effect, Millis, Osd, Request, StreamId, WatchRequest};
use proto::cls::rbd::v1 as rbd;
use rbd_protocol::{ClientId, Message};
use store::MemoryStore;

use crate::ask::{self, Answer, Ask, HEADER, OBJECTS, PARENT_HEADER, POOL};
use crate::messages;
use crate::shared::{HasNotifies, fingerprint};

/// A time that does not come: watches and sessions end by an action of the search.
const NEVER: Millis = Millis(1 << 40);
/// log2 of the bytes of an object.
const ORDER: u32 = 12;
/// Layering and exclusive lock.
const FEATURES: u64 = 1 | 4;
/// Client instance that makes the image.
const MAKER: &str = "maker";

/// The OSD. Time passes on it only where notifies are to time out.
#[derive(Clone, Debug)]
pub struct Daemon {
    osd: Osd<Arc<MemoryStore>>,
    now: Millis,
    /// What has no answer may be sent again.
    has_reconnects: bool,
    /// Hash of what is stored.
    objects: u128,
}

/// What is stored.
struct Objects<'a>(&'a Osd<Arc<MemoryStore>>);

impl Hash for Objects<'_> {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.0.project_objects(into);
    }
}

impl HasNotifies for Daemon {
    fn lowest_notify(&self) -> Option<u64> {
        self.osd.pending_notifies().first().map(|(number, _)| *number)
    }
}

/// What properties look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// HEAD has a parent.
    pub has_parent: bool,
    /// The parent has the image in its list of children.
    pub is_listed: bool,
    /// First byte of each object that exists; 0 = it reads as zeros.
    pub objects: Vec<Option<u8>>,
    /// Instances on the blocklist.
    pub fenced: Vec<u64>,
}

impl Hash for Daemon {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.osd.project(into, self.has_reconnects);
        self.objects.hash(into);
    }
}

impl Daemon {
    /// With the image and its parent. Fails if the OSD refuses to make them.
    pub fn new(has_reconnects: bool) -> anyhow::Result<Self> {
        let config = Config {
            osd_client_watch_timeout: NEVER,
            osd_client_watch_grace: NEVER,
            osd_default_notify_timeout: Millis(1),
            mon_osd_blocklist_default_expire: NEVER,
            osd_client_session_timeout: NEVER,
            events_kept_max: 0,
            ..Config::default()
        };
        let osd = Osd::open(Arc::new(MemoryStore::new()), config, 0, Millis(0)).map_err(refused)?;
        let mut daemon = Self { osd, now: Millis(0), has_reconnects, objects: 0 };
        daemon.osd.create_pool(daemon.now, POOL).0.map_err(refused)?;
        let maker = daemon.osd.connect(daemon.now, MAKER, "127.0.0.1:1").0.map_err(refused)?.0;
        for (tid, vector) in (1..).zip(image()) {
            let request = Request { gid: maker, tid, watermark: tid, vector };
            let (reply, _) = daemon.osd.operate(daemon.now, &request);
            reply.as_ref().as_ref().map_err(|refusal| refused(refusal.error.clone()))?;
        }
        daemon.osd.disconnect(daemon.now, maker).0.map_err(refused)?;
        daemon.osd.work(daemon.now);
        Ok(daemon)
    }

    /// A session, with its watch stream and a watch on the header under this cookie.
    pub fn connect(&mut self, cookie: u64) -> anyhow::Result<(u64, StreamId)> {
        let gid = self.osd.connect(self.now, "client", "127.0.0.1:1").0.map_err(refused)?.0;
        self.osd.op_stream_opened(self.now, gid);
        let stream = self.osd.watch_hello(self.now, gid).0.map_err(refused)?;
        self.watch(stream, self.register(cookie));
        Ok((gid, stream))
    }

    /// A request for a watch.
    pub fn register(&self, cookie: u64) -> WatchRequest {
        let (pool, object) = (POOL.to_owned(), HEADER.to_owned());
        WatchRequest::Register { pool, object, cookie, timeout: None }
    }

    /// One request of a watch stream.
    pub fn watch(&mut self, stream: StreamId, request: WatchRequest) -> Vec<Effect> {
        self.osd.watch_request(self.now, stream, request)
    }

    /// Opens another watch stream.
    pub fn hello(&mut self, gid: u64) -> (Result<StreamId, Errno>, Vec<Effect>) {
        let (stream, effects) = self.osd.watch_hello(self.now, gid);
        (stream.map_err(|error| error.errno), effects)
    }

    /// The connection of a watch stream is gone.
    pub fn lose(&mut self, stream: StreamId) -> Vec<Effect> {
        self.osd.watch_stream_lost(self.now, stream)
    }

    /// Whether an instance's session lives.
    pub fn lives(&self, gid: u64) -> bool {
        self.osd.session_over(gid).is_none()
    }

    /// The client's watches of the header expire.
    pub fn expire(&mut self, gid: u64) -> Vec<Effect> {
        self.osd.expire_watches(self.now, gid, POOL, HEADER)
    }

    /// Time passes until all notifies that wait have timed out.
    pub fn time_out_notifies(&mut self) -> Vec<Effect> {
        self.now.0 += 1;
        self.osd.tick(self.now)
    }

    /// Notifies that wait, with the watches (gid, cookie) that have not answered.
    pub fn pending_notifies(&self) -> Vec<(u64, Vec<(u64, u64)>)> {
        self.osd.pending_notifies()
    }

    /// Whether the instance has a watch on the header.
    pub fn is_watched_by(&self, gid: u64) -> bool {
        self.osd.is_watched_by(POOL, HEADER, gid)
    }

    /// Starts a notify; its number.
    pub fn notify(&mut self, gid: u64, message: &Message) -> (Result<u64, Errno>, Vec<Effect>) {
        let payload = messages::encode_message(message);
        let (begun, effects) = self.osd.notify(self.now, gid, (POOL, HEADER), payload, None);
        (begun.map_err(|error| error.errno), effects)
    }

    /// Anything but a notify, as the client's `tid`, of which all below `watermark` are answered.
    pub fn answer(&mut self, gid: u64, (tid, watermark): (u64, u64), ask: &Ask) -> (Answer, Vec<Effect>) {
        let failed = |errno| Answer::Failed(errno, None);
        match (ask, ask.vector()) {
            (_, Some(vector)) => {
                let lives = matches!(ask, Ask::LookUp(id) if self.lives(id.gid));
                let (reply, effects) = self.osd.operate(self.now, &Request { gid, tid, watermark, vector });
                (ask.answer(&reply, lives), effects)
            }
            (Ask::Fence { gid: whom, unless_watching }, _) => {
                let (added, effects) = match unless_watching {
                    true => {
                        self.osd.blocklist_add_unless_watching(self.now, *whom, None, gid, (POOL, HEADER))
                    }
                    false => self.osd.blocklist_add(self.now, *whom, None, gid),
                };
                (added.map_or_else(|error| failed(error.errno), |()| Answer::Done), effects)
            }
            _ => {
                let (watchers, effects) = self.osd.list_watchers(self.now, POOL, HEADER);
                let client =
                    |watcher: osd::WatcherInfo| ClientId { gid: watcher.gid, handle: watcher.cookie };
                let watchers = watchers.map(|watchers| watchers.into_iter().map(client).collect());
                (watchers.map_or_else(|error| failed(error.errno), Answer::Watchers), effects)
            }
        }
    }

    /// Whether something was stored that the other one does not have, of which this one was a clone.
    pub fn has_stored_more(&self, other: &Self) -> bool {
        self.osd.seen() != other.osd.seen()
    }

    /// Reads what properties look at, and hashes what is stored. Both change with what is stored only.
    pub fn view(&mut self) -> View {
        self.objects = fingerprint(&Objects(&self.osd), 0);
        let header = self.read(HEADER, ask::exec("rbd", "get_header", &()));
        let children =
            self.read(PARENT_HEADER, ask::exec("rbd", "children_list", &rbd::ChildrenList { snap_id: 1 }));
        let objects = (0..OBJECTS).map(|number| self.first_byte(&ask::data_object(number)));
        let objects = objects.collect();
        let exec = |output: Option<Output>| match output {
            Some(Output::Exec { output }) => output,
            _ => Default::default(),
        };
        let is_listed = children.is_some_and(|output| !exec(Some(output)).is_empty());
        let fenced = self.osd.blocklist(self.now).0.into_iter().map(|(gid, _)| gid).collect();
        View { has_parent: ask::has_parent(&exec(header)), is_listed, objects, fenced }
    }

    fn first_byte(&mut self, object: &str) -> Option<u8> {
        self.read(object, Op::AssertExists {})?;
        match self.read(object, Op::Read { offset: 0, length: 1 }) {
            Some(Output::Read { data, .. }) => Some(data.to_bytes(0, 1).first().copied().unwrap_or(0)),
            _ => Some(0),
        }
    }

    /// The output of an op that only reads.
    fn read(&mut self, object: &str, op: Op) -> Option<Output> {
        let request = Request { gid: 0, tid: 0, watermark: 0, vector: ask::vector(object, vec![op]) };
        let (reply, _) = self.osd.operate(self.now, &request);
        reply.as_ref().as_ref().ok()?.results.last().map(|result| result.output.clone())
    }
}

/// The vectors that make the parent, its snapshot 1 and the clone.
fn image() -> Vec<Vector> {
    let size = OBJECTS << ORDER;
    let create = |id: &str| rbd::Create {
        size,
        order: ORDER,
        features: FEATURES,
        object_prefix: format!("rbd_data.{id}"),
        ..Default::default()
    };
    let made = |id: &str| vec![Op::Create { exclusive: true }, ask::exec("rbd", "create", &create(id))];
    let snapshot = rbd::SnapshotAdd { name: "s".to_owned(), ..Default::default() };
    let spec = rbd::ParentSpec { pool: POOL.to_owned(), image_id: "p".to_owned(), snap_id: 1 };
    let attach = rbd::ParentAttach { spec: Some(spec), parent_size: size };
    let mut clone = made(ask::IMAGE);
    clone.push(ask::exec("rbd", "parent_attach", &attach));
    vec![
        ask::vector(PARENT_HEADER, made("p")),
        ask::vector(PARENT_HEADER, vec![ask::exec("rbd", "snapshot_add", &snapshot)]),
        ask::vector(PARENT_HEADER, vec![ask::exec("rbd", "child_attach", &ask::child())]),
        ask::vector(HEADER, clone),
    ]
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: osd::OpError) -> anyhow::Error {
    anyhow::anyhow!("the OSD refused to make the image: {}", error.text)
}
