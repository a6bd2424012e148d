//! A clone with its clients: what most whole-system tests begin with.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};

use crate::model::pattern;
use harness::{client::Client, cluster::Cluster, osd::header_of, story::Story};

/// Bound of one wait in a whole-system test. Debug builds on a busy machine are slow; a hang is longer.
pub const BOUND: Duration = Duration::from_secs(60);
/// Size of the objects of every image here.
pub const OBJECT_BYTES: u64 = 64 << 10;
/// The clone's name.
pub const CHILD: &str = "child";
/// The parent's name.
pub const PARENT: &str = "parent";
/// The parent's snapshot.
pub const SNAPSHOT: &str = "snap";

/// One object at a time: slow enough to be interrupted.
pub const ONE_AT_A_TIME: [&str; 2] = ["--rbd-concurrent-management-ops", "1"];

/// A clone of a full parent, and serving clients that have it open.
pub struct Scenario {
    /// "client 1" and so on.
    pub clients: Vec<Client>,
    /// The OSD.
    pub cluster: Cluster,
    /// The clone's header object.
    pub header: String,
    /// What the clone must hold.
    pub content: Vec<u8>,
    begin: u64,
}

impl Scenario {
    /// A parent of `objects` objects without holes, its clone, and `clients` clients.
    pub async fn start(objects: u64, clients: usize, options: &[&str]) -> Result<Self> {
        Self::start_on(Cluster::start().await?, objects, clients, options).await
    }

    /// The same on an OSD with other constants.
    pub async fn start_on(cluster: Cluster, objects: u64, clients: usize, options: &[&str]) -> Result<Self> {
        let content = pattern(objects, usize::try_from(objects * OBJECT_BYTES)?);
        cluster.import(PARENT, &content, OBJECT_BYTES).await?;
        cluster.clone_image(PARENT, SNAPSHOT, CHILD).await?;
        let begin = cluster.log.catch_up().await?;
        let clients = cluster.serve_many(clients, CHILD, options).await?;
        let header = header_of(&clients[0].info().await?.id);
        Ok(Self { clients, cluster, header, content, begin })
    }

    /// Client `number`, from 1.
    pub fn client(&self, number: usize) -> &Client {
        &self.clients[number - 1]
    }

    /// The same, to wait for its end.
    pub fn client_mut(&mut self, number: usize) -> &mut Client {
        &mut self.clients[number - 1]
    }

    /// A write through client `number` that must be acknowledged.
    pub async fn write(&mut self, number: usize, offset: u64, data: &[u8]) -> Result<()> {
        self.client(number).write(offset, data.to_vec()).await?;
        let at = usize::try_from(offset)?;
        self.content[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    /// Client `number` becomes the lock owner, by writing a byte.
    pub async fn make_owner(&mut self, number: usize) -> Result<()> {
        self.write(number, 0, &[number as u8]).await
    }

    /// What happened to the clone since its clients were started.
    pub async fn story(&self) -> Result<Story> {
        Story::since(&self.cluster.log, self.begin, &self.header).await
    }

    /// The clone, as a client that comes later sees it, holds exactly what it must.
    pub async fn check_content(&self) -> Result<()> {
        let file = self.cluster.export(CHILD).await?;
        let found = fs::read(&file)?;
        ensure!(found.len() == self.content.len(), "{} bytes instead of {}", found.len(), self.content.len());
        let difference = found.iter().zip(&self.content).position(|(found, expected)| found != expected);
        ensure!(difference.is_none(), "the clone differs from the model at byte {difference:?}");
        Ok(())
    }

    /// The clone has no parent, and the parent's snapshot no child: it can be removed.
    pub async fn check_detached(&self) -> Result<()> {
        let children = self.cluster.children(PARENT, SNAPSHOT).await?;
        ensure!(children.is_empty(), "the parent still has the children {children:?}");
        let info = self.cluster.rbd_ok(&["info", "--format", "json", &harness::osd::spec(CHILD)]).await?;
        let info: serde_json::Value = serde_json::from_str(&info)?;
        ensure!(
            info.get("parent").is_none_or(serde_json::Value::is_null),
            "the clone still has a parent: {info}"
        );
        let snapshot = format!("{}@{SNAPSHOT}", harness::osd::spec(PARENT));
        self.cluster.rbd_ok(&["snap", "unprotect", &snapshot]).await?;
        self.cluster.rbd_ok(&["snap", "rm", &snapshot]).await?;
        Ok(())
    }
}
