//! A place that a client takes: when it dies, another one follows.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use harness::{
    call::Call,
    cluster::Cluster,
    librbd::Librbd,
    proxy::{Link, Proxy},
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};

use crate::client::{Client, Kind, Remote};

/// How long an orderly end may take: image, session and calls have 5 s each.
const CLOSE_BOUND: Duration = Duration::from_secs(40);

/// One client of the image, with a network of its own to the OSD: a librbd's is what rules of the OSD make of it, for Ceph's maps say
/// the same address of an OSD to everybody.
pub struct Seat {
    name: String,
    image: String,
    kind: Kind,
    proxy: Proxy,
    /// Rules of the OSD that are a librbd's network.
    rules: Mutex<Vec<u64>>,
    /// `None` while it is empty.
    client: AsyncMutex<Option<Client>>,
    remote: watch::Sender<Option<Remote>>,
    /// Every client instance that sat here, the newest last.
    gids: Mutex<Vec<u64>>,
    /// Its newest maintenance call.
    operation: Mutex<Weak<Call>>,
    /// Held while its image is opened anew.
    reviving: AsyncMutex<()>,
}

impl Seat {
    /// Starts the first client.
    pub async fn take(cluster: &Cluster, name: &str, image: &str, kind: Kind) -> Result<Self> {
        let seat = Self {
            name: name.to_owned(),
            image: image.to_owned(),
            kind,
            proxy: Proxy::start(cluster.address.clone()).await?,
            rules: Mutex::default(),
            client: AsyncMutex::new(None),
            remote: watch::Sender::new(None),
            gids: Mutex::new(Vec::new()),
            operation: Mutex::default(),
            reviving: AsyncMutex::new(()),
        };
        seat.fill(cluster, image).await?;
        Ok(seat)
    }

    /// E.g. "client 2".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a real librbd sits here.
    pub fn is_librbd(&self) -> bool {
        matches!(self.kind, Kind::Librbd(..))
    }

    /// Name of the image in the history, e.g. "rbd/child": its first one.
    pub fn image(&self) -> String {
        harness::osd::spec(&self.image)
    }

    /// The same without its pool.
    pub fn image_name(&self) -> &str {
        &self.image
    }

    /// Held by whoever opens the image anew.
    pub async fn reviving(&self) -> MutexGuard<'_, ()> {
        self.reviving.lock().await
    }

    /// The newest client instance.
    pub fn gid(&self) -> u64 {
        self.gids().last().copied().unwrap_or(0)
    }

    /// Every client instance that sat here.
    pub fn gids(&self) -> Vec<u64> {
        self.gids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client's calls; waits while the seat is empty.
    pub async fn remote(&self) -> Remote {
        let mut remote = self.remote.subscribe();
        loop {
            if let Some(remote) = remote.borrow_and_update().clone() {
                return remote;
            }
            // The sender is a part of this seat.
            let _ = remote.changed().await;
        }
    }

    /// SIGKILL, and waits until the process is gone. Nothing happens to an empty seat.
    pub async fn kill(&self) -> Result<()> {
        let client = self.client.lock().await.take();
        self.remote.send_replace(None);
        if let Some(mut client) = client {
            self.check_running(&mut client)?;
            client.process().kill()?;
        }
        Ok(())
    }

    /// An error if its client's process ended by itself.
    pub async fn check_alive(&self) -> Result<()> {
        match &mut *self.client.lock().await {
            Some(client) => self.check_running(client),
            None => Ok(()),
        }
    }

    fn check_running(&self, client: &mut Client) -> Result<()> {
        if let Some(status) = client.process().exit_status()? {
            bail!("{} ended by itself with {status}: {}", self.name, client.process().said());
        }
        Ok(())
    }

    /// Starts a client on an empty seat, where the image is called `image`.
    pub async fn fill(&self, cluster: &Cluster, image: &str) -> Result<()> {
        let mut place = self.client.lock().await;
        if place.is_none() {
            let client = self.start(cluster, image).await;
            let client = client.with_context(|| format!("starting {}", self.name))?;
            self.seated(client.gid());
            self.remote.send_replace(Some(client.remote()));
            *place = Some(client);
        }
        Ok(())
    }

    async fn start(&self, cluster: &Cluster, image: &str) -> Result<Client> {
        Ok(match &self.kind {
            Kind::Grpc(options) => {
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                let address = self.proxy.address();
                Client::Grpc(cluster.serve_through(address, &self.name, image, &options).await?)
            }
            Kind::Librbd(conf, settings) => {
                Client::Librbd(Librbd::start(&self.name, image, conf, settings, cluster.directory()).await?)
            }
        })
    }

    /// The client has opened its image as another instance.
    pub fn seated(&self, gid: u64) {
        self.gids.lock().unwrap_or_else(PoisonError::into_inner).push(gid);
    }

    /// It has begun a maintenance call.
    pub fn operates(&self, call: &Arc<Call>) {
        *self.operation.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(call);
    }

    /// Whether it has forwarded an operation to the lock owner and waits. A librbd does not say so: it is one that has an operation
    /// under way.
    pub fn is_requester(&self) -> bool {
        let call = self.operation.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let is_forwarded = |call: &Call| self.is_librbd() || call.placements().last() == Some(&true);
        call.is_some_and(|call| call.end().is_none() && is_forwarded(&call))
    }

    /// Whether its librbd waits for nothing that it has asked the cluster for. Of one that is frozen nobody knows.
    pub async fn awaits_nothing(&self) -> bool {
        match &*self.client.lock().await {
            Some(Client::Librbd(librbd)) => librbd.awaits().await.is_ok_and(|awaited| awaited.is_empty()),
            _ => false,
        }
    }

    /// SIGSTOP; returns when it has stopped.
    pub async fn freeze(&self) -> Result<()> {
        match &mut *self.client.lock().await {
            Some(client) => client.process().freeze().await,
            None => Ok(()),
        }
    }

    /// SIGCONT.
    pub async fn wake(&self) -> Result<()> {
        match &mut *self.client.lock().await {
            Some(client) => client.process().wake(),
            None => Ok(()),
        }
    }

    /// The rules that are its network from here on, if it is a librbd's; those that were it before.
    pub fn ruled_by(&self, rules: Vec<u64>) -> Vec<u64> {
        std::mem::replace(&mut *self.rules.lock().unwrap_or_else(PoisonError::into_inner), rules)
    }

    /// Its network is like this from here on.
    pub fn link(&self, link: Link) {
        self.proxy.set(link);
    }

    /// Closes its connections to the OSD.
    pub async fn reset(&self) -> Result<()> {
        self.proxy.reset().await
    }

    /// Ends its client in an orderly way.
    pub async fn close(&self) -> Result<()> {
        let client = self.client.lock().await.take();
        self.remote.send_replace(None);
        match client {
            Some(client) => client.close(CLOSE_BOUND).await.with_context(|| self.name.clone()),
            None => Ok(()),
        }
    }
}
