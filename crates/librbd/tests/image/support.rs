//! An OSD, clients of it, and clients that can be killed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use errno::Errno;
use librbd::{
    CallOptions, CloneOptions, Config, CreateOptions, Features, Image, ImageEvent, OpenOptions,
    OperationEvent,
};
use proto::cls::rbd::v1 as cls;
use proto::osd::v1::{FaultCondition, FaultDirection};
use rados::{IoCtx, ObjectOp, Rados};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc};

use crate::faults::{Breakable, Held, Requests};
use crate::valve::Valve;

/// No step of a test takes this long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const ORDER: u32 = 12;
pub(crate) const OBJECT: u64 = 1 << ORDER;

/// Fails the test instead of hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("must come to an end")
}

pub(crate) struct Cluster {
    server: osd_sim::Server,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        planted::plant_from_environment().unwrap();
        let config = osd_sim::Config { enable_faults: true, ..osd_sim::Config::ci() };
        Self { server: osd_sim::Server::start(config) }
    }

    pub(crate) fn osd(&self) -> Breakable {
        Breakable::new(&self.server)
    }

    /// Number of the OSD's newest event.
    pub(crate) async fn now(&self) -> u64 {
        self.osd().now().await
    }

    /// The next of these requests is refused.
    pub(crate) async fn refuse_next(&self, requests: Requests<'_>, errno: Errno) {
        self.osd().refuse_next(requests, errno).await;
    }

    /// The next of these requests is held.
    pub(crate) async fn hold_next(&self, requests: Requests<'_>) -> Held {
        self.osd().hold_next(requests).await
    }

    /// A session of its own.
    pub(crate) async fn client(&self, name: &str) -> IoCtx {
        connect(self.server.address(), name.to_owned()).await
    }

    /// A session whose connections can be made to hang.
    pub(crate) async fn client_behind(&self, name: &str, valve: &Valve) -> IoCtx {
        let config = rados::Config { client_name: name.to_owned(), ..rados::Config::ci() };
        let network = rpc::Network::custom(valve.dial(), config.silence_max);
        let rados = Rados::connect(network, self.server.address(), config).await.unwrap();
        rados.io_ctx("rbd").await.unwrap()
    }

    /// A client that can be killed.
    pub(crate) async fn mortal(&self, name: &str) -> Mortal {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connecting = runtime.spawn(connect(self.server.address(), name.to_owned()));
        let io = connecting.await.unwrap();
        Mortal { runtime: Some(runtime), io }
    }
}

async fn connect(address: rpc::Address, name: String) -> IoCtx {
    let config = rados::Config { client_name: name, ..rados::Config::ci() };
    let rados = Rados::connect(rpc::Network::tcp(config.silence_max), address, config).await.unwrap();
    rados.io_ctx("rbd").await.unwrap()
}

/// The watches of one session on image "img" expire at once; everything else goes on.
pub(crate) async fn expire_watches(cluster: &Cluster, of: &IoCtx, other: &IoCtx) {
    let when = FaultCondition {
        direction: FaultDirection::Ack.into(),
        gid: of.rados().gid(),
        ..FaultCondition::default()
    };
    cluster.osd().expire_watch_at(when).await;
    let header = librbd::names::header(&librbd::image_id(other, "img").await.unwrap());
    other.notify(&header, Bytes::new(), Config::ci().notify_timeout).await.unwrap();
}

/// A client in a runtime of its own: killing it leaves the OSD with broken connections and nothing else.
pub(crate) struct Mortal {
    runtime: Option<Runtime>,
    pub(crate) io: IoCtx,
}

impl Mortal {
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.as_ref().unwrap().spawn(future)
    }

    pub(crate) async fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        soon(self.spawn(future)).await.unwrap()
    }

    pub(crate) async fn open(&self, name: &'static str, config: Config) -> Image {
        let io = self.io.clone();
        self.run(async move { open_with(&io, name, config).await }).await
    }

    /// Its threads have ended when this returns: not even the drop of an image that the test still holds closes it.
    pub(crate) async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Default features: layering, exclusive-lock, deep-flatten.
pub(crate) async fn create(io: &IoCtx, name: &str, objects: u64) {
    create_with(io, name, objects, Features::default()).await;
}

pub(crate) async fn create_with(io: &IoCtx, name: &str, objects: u64, features: Features) {
    let options =
        CreateOptions { size: objects * OBJECT, order: ORDER, features, ..CreateOptions::default() };
    librbd::create(io, name, &options).await.unwrap();
}

/// Image "parent" full of `pattern`, its snapshot "base", and its clone "child" with these features.
pub(crate) async fn clone_with(io: &IoCtx, objects: u64, features: Features) {
    create(io, "parent", objects).await;
    let parent = open(io, "parent").await;
    soon(parent.write(0, pattern(objects))).await.unwrap();
    soon(parent.snap_create("base", CallOptions::default())).await.unwrap();
    soon(parent.close()).await;
    let options = CloneOptions { features: Some(features), ..CloneOptions::default() };
    librbd::clone(io, "parent", "base", io, "child", &options).await.unwrap();
}

pub(crate) async fn clone(io: &IoCtx, objects: u64) {
    clone_with(io, objects, Features::default()).await;
}

/// Bytes in which every object and position shows.
pub(crate) fn pattern(objects: u64) -> Bytes {
    (0..objects * OBJECT).map(|at| (at / OBJECT) as u8 ^ (at % 251) as u8 | 1).collect()
}

pub(crate) async fn open(io: &IoCtx, name: &str) -> Image {
    open_with(io, name, Config::ci()).await
}

pub(crate) async fn open_with(io: &IoCtx, name: &str, config: Config) -> Image {
    soon(Image::open(io, name, OpenOptions::default(), config)).await.unwrap()
}

/// Works on one object at a time, and asks for few at once.
pub(crate) fn slow() -> Config {
    Config { rbd_concurrent_management_ops: 1, ..Config::ci() }
}

pub(crate) async fn write(image: &Image, object: u64, byte: u8) {
    soon(image.write(object * OBJECT, vec![byte; OBJECT as usize].into())).await.unwrap();
}

pub(crate) async fn read(image: &Image, object: u64) -> Bytes {
    soon(image.read(object * OBJECT, OBJECT)).await.unwrap()
}

pub(crate) async fn content(image: &Image) -> Bytes {
    let size = soon(image.size()).await.unwrap();
    soon(image.read(0, size)).await.unwrap()
}

pub(crate) fn errno_of<T: std::fmt::Debug>(result: Result<T, librbd::Error>) -> Errno {
    result.expect_err("must fail").errno()
}

/// Options of one call, and what happens to it.
pub(crate) fn watched_call() -> (CallOptions, mpsc::UnboundedReceiver<OperationEvent>) {
    let (sink, events) = mpsc::unbounded_channel();
    let progress = Arc::new(move |event| drop(sink.send(event)));
    (CallOptions { progress, ..CallOptions::default() }, events)
}

pub(crate) fn one_attempt() -> CallOptions {
    CallOptions { attempts_max: Some(1), ..CallOptions::default() }
}

/// Waits for an event of a call.
pub(crate) async fn heard(
    events: &mut mpsc::UnboundedReceiver<OperationEvent>,
    wanted: impl Fn(&OperationEvent) -> bool,
) -> OperationEvent {
    soon(async {
        loop {
            let event = events.recv().await.expect("the call ended before the event came");
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

/// Everything that has happened to a call that ended.
pub(crate) fn all_heard(mut events: mpsc::UnboundedReceiver<OperationEvent>) -> Vec<OperationEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

/// Waits for an event of an image.
pub(crate) async fn seen(events: &mut broadcast::Receiver<ImageEvent>, wanted: impl Fn(&ImageEvent) -> bool) {
    soon(async {
        loop {
            match events.recv().await {
                Ok(event) if wanted(&event) => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => panic!("the image ended before the event came"),
            }
        }
    })
    .await;
}

pub(crate) fn is_state(name: &'static str) -> impl Fn(&ImageEvent) -> bool {
    move |event| *event == ImageEvent::LockState(name)
}

/// The done records in the header of an image.
pub(crate) async fn done_records(io: &IoCtx, name: &str) -> Vec<String> {
    let header = librbd::names::header(&librbd::image_id(io, name).await.unwrap());
    let reply = io.operate(&header, ObjectOp::new().omap_list("", "done_", 0)).await.unwrap();
    reply.omap(0).unwrap().entries.into_keys().collect()
}

pub(crate) async fn children_of_base(io: &IoCtx) -> usize {
    librbd::children(io, "parent", Some("base")).await.unwrap().len()
}

/// Children of snapshot "base" as the parent's header has them, right or wrong.
pub(crate) async fn entries_at_parent(io: &IoCtx) -> usize {
    let id = librbd::image_id(io, "parent").await.unwrap();
    let snap_id = librbd::read_header(io, &id).await.unwrap().snapshots[0].id;
    let op = ObjectOp::new().exec("rbd", "children_list", &cls::ChildrenList { snap_id });
    let reply = io.operate(&librbd::names::header(&id), op).await.unwrap();
    reply.exec::<cls::ChildrenListReply>(0).unwrap().children.len()
}
