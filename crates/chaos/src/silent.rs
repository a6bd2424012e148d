//! A watcher that never acks.

use anyhow::{Context, Result};
use harness::{cluster::Preset, osd::POOL};
use rados::{Config, Rados, WatchEvent};
use rpc::Network;
use tokio::task::JoinHandle;

use crate::stage::Stage;

/// Watches the image's header, keeps its watch alive, and answers no notify.
pub struct SilentWatcher {
    rados: Rados,
    listening: JoinHandle<()>,
}

impl SilentWatcher {
    /// Registers its watch.
    pub async fn start(stage: &Stage) -> Result<Self> {
        let constants = match stage.setting.preset {
            Preset::Ceph | Preset::Default => Config::ceph(),
            Preset::Ci => Config::ci(),
        };
        let config = Config { client_name: "silent-watcher".to_owned(), ..constants };
        let network = Network::tcp(config.silence_max);
        let address = stage.cluster.address.clone();
        let rados =
            Rados::connect(network, address, config).await.context("connecting the silent watcher")?;
        let io = rados.io_ctx(POOL).await?;
        let mut watch = io.watch(&stage.header, None).await.context("its watch")?;
        let listening = tokio::spawn(async move {
            // An ack that is dropped is sent: they are kept until the session has ended.
            let mut kept = Vec::new();
            loop {
                match watch.next().await {
                    WatchEvent::Notify(notification) => kept.push(notification.ack),
                    WatchEvent::Lost(_) => return,
                    _ => {}
                }
            }
        });
        Ok(Self { rados, listening })
    }

    /// Its client instance.
    pub fn gid(&self) -> u64 {
        self.rados.gid()
    }

    /// Ends its watch and its session.
    pub async fn leave(self) {
        self.rados.shutdown().await;
    }
}

impl Drop for SilentWatcher {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
