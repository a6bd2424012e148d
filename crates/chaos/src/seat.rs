//! A place that a client takes: when it dies, another one follows.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use harness::{
    call::Call,
    client::Client,
    cluster::Cluster,
    proxy::{Link, Proxy},
    remote::Remote,
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};

/// How long an orderly end may take: image, session and calls have 5 s each.
const CLOSE_BOUND: Duration = Duration::from_secs(40);

/// One client of the image, with a network of its own to the OSD.
pub struct Seat {
    name: String,
    image: String,
    options: Vec<String>,
    proxy: Proxy,
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
    pub async fn take(cluster: &Cluster, name: &str, image: &str, options: &[String]) -> Result<Self> {
        let seat = Self {
            name: name.to_owned(),
            image: image.to_owned(),
            options: options.to_vec(),
            proxy: Proxy::start(cluster.address.clone()).await?,
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
            client.process.kill()?;
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
        if let Some(status) = client.process.exit_status()? {
            bail!("{} ended by itself with {status}: {}", self.name, client.process.said());
        }
        Ok(())
    }

    /// Starts a client on an empty seat, where the image is called `image`.
    pub async fn fill(&self, cluster: &Cluster, image: &str) -> Result<()> {
        let mut place = self.client.lock().await;
        if place.is_none() {
            let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
            let client = cluster
                .serve_through(self.proxy.address(), &self.name, image, &options)
                .await
                .with_context(|| format!("starting {}", self.name))?;
            self.seated(client.gid);
            self.remote.send_replace(Some(client.remote()));
            *place = Some(client);
        }
        Ok(())
    }

    /// The client has opened its image as another instance.
    pub fn seated(&self, gid: u64) {
        self.gids.lock().unwrap_or_else(PoisonError::into_inner).push(gid);
    }

    /// It has begun a maintenance call.
    pub fn operates(&self, call: &Arc<Call>) {
        *self.operation.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(call);
    }

    /// Whether it has forwarded an operation to the lock owner and waits.
    pub fn is_requester(&self) -> bool {
        let call = self.operation.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        call.is_some_and(|call| call.end().is_none() && call.placements().last() == Some(&true))
    }

    /// SIGSTOP; returns when it has stopped.
    pub async fn freeze(&self) -> Result<()> {
        match &*self.client.lock().await {
            Some(client) => client.process.freeze().await,
            None => Ok(()),
        }
    }

    /// SIGCONT.
    pub async fn wake(&self) -> Result<()> {
        match &*self.client.lock().await {
            Some(client) => client.process.wake(),
            None => Ok(()),
        }
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
        if let Some(mut client) = client {
            client.process.terminate()?;
            let status = client.process.ended(CLOSE_BOUND).await?;
            ensure!(status.success(), "{} ended with {status}: {}", self.name, client.process.said());
        }
        Ok(())
    }

    /// The end of what its newest process wrote to its log.
    pub async fn said(&self) -> String {
        self.client.lock().await.as_ref().map_or_else(String::new, |client| client.process.said())
    }
}
