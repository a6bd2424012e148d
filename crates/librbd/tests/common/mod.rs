//! An OSD, a session, and images driven through the data path without a lock: each test is their only client.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod faults;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use librbd::{
    Applied, CloneOptions, Config, CreateOptions, DataIo, Error, Features, ImageState, IoError,
    ObjectFlattened, load_state, names, read_header,
};
use proto::cls::rbd::v1 as cls;
use rados::{IoCtx, ObjectOp, Rados};

use faults::Breakable;

/// One OSD and one session.
pub(crate) struct Cluster {
    server: osd_sim::Server,
    pub(crate) rados: Rados,
    pub(crate) io: IoCtx,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        planted::plant_from_environment().unwrap();
        let config = osd_sim::Config { enable_faults: true, ..osd_sim::Config::ci() };
        let server = osd_sim::Server::start(config);
        let rados = Self::connect(&server).await;
        let io = rados.io_ctx("rbd").await.unwrap();
        Self { server, rados, io }
    }

    async fn connect(server: &osd_sim::Server) -> Rados {
        Rados::connect(
            rpc::Network::tcp(rados::Config::ci().silence_max),
            server.address(),
            rados::Config::ci(),
        )
        .await
        .unwrap()
    }

    /// To break it.
    pub(crate) fn osd(&self) -> Breakable {
        Breakable::new(&self.server)
    }

    /// Another client.
    pub(crate) async fn client(&self) -> IoCtx {
        Self::connect(&self.server).await.io_ctx("rbd").await.unwrap()
    }

    /// An image of `size` bytes with objects of 2^order bytes.
    pub(crate) async fn create(&self, name: &str, size: u64, order: u32) -> TestImage {
        let options = CreateOptions { size, order, ..CreateOptions::default() };
        librbd::create(&self.io, name, &options).await.unwrap();
        TestImage::open(&self.io, name, &Config::ci()).await
    }

    /// An image with the same data in HEAD and in snapshot "base", and its clone "child".
    pub(crate) async fn clone_of(&self, data: &[u8], options: &CloneOptions) -> (TestImage, TestImage) {
        let mut parent = self.create("parent", data.len() as u64, 12).await;
        parent.write(0, data).await.unwrap();
        parent.snap_create("base").await;
        let child = self.another_clone(&parent, "base", "child", options).await;
        (parent, child)
    }

    pub(crate) async fn another_clone(
        &self,
        parent: &TestImage,
        snap: &str,
        name: &str,
        options: &CloneOptions,
    ) -> TestImage {
        librbd::clone(&self.io, &parent.name, snap, &self.io, name, options).await.unwrap();
        TestImage::open(&self.io, name, &Config::ci()).await
    }

    pub(crate) async fn stop(self) {
        self.rados.shutdown().await;
        self.server.stop().await;
    }
}

/// Runs a test's story against a fresh OSD.
pub(crate) fn with_cluster<F: Future<Output = ()>>(story: impl FnOnce(Arc<Cluster>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { story(Arc::new(Cluster::start().await)).await });
}

/// An open image.
pub(crate) struct TestImage {
    pub(crate) io: IoCtx,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: DataIo,
    pub(crate) state: Arc<ImageState>,
}

impl TestImage {
    pub(crate) async fn open(io: &IoCtx, name: &str, config: &Config) -> Self {
        let id = librbd::image_id(io, name).await.unwrap();
        let header = read_header(io, &id).await.unwrap();
        let state = load_state(io, &id, header, None).await.unwrap();
        Self { io: io.clone(), name: name.to_owned(), id, data: DataIo::new(io.clone(), config), state }
    }

    pub(crate) async fn refresh(&mut self) {
        let header = read_header(&self.io, &self.id).await.unwrap();
        self.state = load_state(&self.io, &self.id, header, Some(&self.state)).await.unwrap();
        self.data.supersede(self.state.generation);
    }

    async fn change_header(&mut self, op: ObjectOp) {
        self.io.operate(&names::header(&self.id), op).await.unwrap();
        self.refresh().await;
    }

    pub(crate) fn snap_id(&self, name: &str) -> u64 {
        self.state.snapshot_by_name(name).unwrap().id
    }

    pub(crate) async fn snap_create(&mut self, name: &str) {
        let id = self.io.allocate_snap_id().await.unwrap();
        let snapshot = cls::SnapshotAdd { id, name: name.to_owned(), created_unix_ms: 0 };
        self.change_header(ObjectOp::new().exec("rbd", "snapshot_add", &snapshot)).await;
    }

    pub(crate) async fn snap_remove(&mut self, name: &str) {
        let id = self.snap_id(name);
        self.change_header(ObjectOp::new().exec(
            "rbd",
            "snapshot_remove",
            &cls::SnapshotRemove { id, to_trash: false },
        ))
        .await;
        self.io.remove_snap_id(id).await.unwrap();
    }

    pub(crate) async fn rollback(&mut self, snap: &str) {
        let (id, size) = (self.snap_id(snap), self.state.snapshot_by_name(snap).unwrap().size);
        self.resize(size).await;
        self.data.drain_copyups().await;
        for object_no in 0..self.state.layout.object_count(size) {
            self.data.rollback_object(&self.state, object_no, id).await.unwrap();
        }
    }

    pub(crate) async fn resize(&mut self, size: u64) {
        if size < self.state.size {
            self.data.set_shrinking_to(Some(size));
            for object_no in self.first_cut(size)..self.state.layout.object_count(self.state.size) {
                self.data.trim_object(&self.state, object_no, size).await.unwrap();
            }
        }
        self.set_size(size).await;
    }

    /// The last step of a resize.
    pub(crate) async fn set_size(&mut self, size: u64) {
        self.change_header(ObjectOp::new().exec("rbd", "set_size", &cls::SetSize { size })).await;
        self.data.set_shrinking_to(None);
    }

    fn first_cut(&self, size: u64) -> u64 {
        let layout = self.state.layout;
        let is_cut = |no: &u64| layout.object_bytes(*no, size) < layout.object_bytes(*no, self.state.size);
        (0..layout.object_count(self.state.size)).find(is_cut).unwrap_or(0)
    }

    pub(crate) async fn flatten_objects(&self) -> Vec<ObjectFlattened> {
        let mut found = Vec::new();
        for object_no in 0..self.state.layout.object_count(self.state.head_overlap()) {
            found.push(self.data.flatten_object(&self.state, object_no).await.unwrap());
        }
        found
    }

    /// Whether HEAD still has an overlap, be it 0 bytes.
    pub(crate) fn has_head_parent(&self) -> bool {
        self.state.parent.as_ref().is_some_and(|parent| parent.head_overlap.is_some())
    }

    /// All of flatten: objects, registration at the parent, header.
    pub(crate) async fn flatten(&mut self) {
        self.flatten_objects().await;
        let spec = self.state.parent.as_ref().unwrap().spec.clone();
        let child =
            cls::Child { snap_id: spec.snap_id, pool: self.io.pool().to_owned(), image_id: self.id.clone() };
        let deep = self.state.features.contains(Features::DEEP_FLATTEN);
        if deep || self.state.snapshots.is_empty() {
            let op = ObjectOp::new().exec("rbd", "child_detach", &child);
            self.io.operate(&names::header(&spec.image_id), op).await.unwrap();
        }
        self.change_header(ObjectOp::new().exec_empty("rbd", "parent_detach")).await;
    }

    pub(crate) async fn write(&self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        let data = Bytes::copy_from_slice(data);
        self.data.write(&self.state, offset, data, &Applied::default()).await
    }

    pub(crate) async fn discard(&self, offset: u64, length: u64) {
        self.data.discard(&self.state, offset, length).await.unwrap();
    }

    pub(crate) async fn read(&self, offset: u64, length: u64) -> Bytes {
        self.data.read(&self.state, None, offset, length).await.unwrap()
    }

    /// HEAD.
    pub(crate) async fn content(&self) -> Bytes {
        self.read(0, self.state.size).await
    }

    pub(crate) async fn content_at(&self, snap: &str) -> Bytes {
        self.data.read(&self.state, Some(self.snap_id(snap)), 0, u64::MAX).await.unwrap()
    }

    /// Numbers of the data objects that exist at HEAD.
    pub(crate) async fn objects(&self) -> Vec<u64> {
        let prefix = format!("{}.", self.state.object_prefix);
        let mut numbers = Vec::new();
        for name in self.io.list_objects(&prefix).await.unwrap() {
            if self.io.operate(&name, ObjectOp::new().stat()).await.is_ok() {
                numbers.push(u64::from_str_radix(&name[prefix.len()..], 16).unwrap());
            }
        }
        numbers
    }

    pub(crate) async fn remove(&self) -> Result<(), Error> {
        librbd::remove(&self.io, &self.name, &Config::ci(), Arc::new(|_| {})).await
    }
}

/// Bytes in which every position shows, without long runs of zeros.
pub(crate) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8 ^ (at >> 9) as u8 ^ seed | 1).collect()
}
