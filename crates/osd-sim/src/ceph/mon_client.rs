//! A client of the monitor, as long as its connection is open: what waits to be sent to it, and what it has asked and faults have
//! made late.

use std::sync::Arc;

use ceph_wire::Message;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use messenger::Peer;
use osd::faults::{Crossing, Direction};
use store::Seq;
use tokio::sync::{mpsc, oneshot};

use crate::daemon::Daemon;

/// Who it is, for faults.
pub(super) struct Who {
    pub(super) gid: u64,
    /// After `--id`.
    pub(super) name: String,
    pub(super) address: String,
}

/// Something of one client.
pub(super) enum Came {
    /// It is sent this, when everything that it may have seen is durable.
    Told(Message, Seq),
    /// It asked this.
    Asked(Message),
    /// The same once more: nobody takes the answer.
    AskedAgain(Message),
}

/// Something, and the word for which it waits.
pub(super) struct Parcel {
    pub(super) came: Came,
    pub(super) word: Option<oneshot::Receiver<()>>,
}

/// Where what concerns a client comes out.
pub(super) struct MonitorInlet {
    parcels: mpsc::Receiver<Parcel>,
    /// What is next and waits until it may be told.
    held: Option<Parcel>,
    /// What faults have made late: it is overtaken.
    late: FuturesUnordered<BoxFuture<'static, Came>>,
}

impl Who {
    pub(super) fn of(peer: &Peer) -> Self {
        Self { gid: peer.gid, name: peer.name.id.clone(), address: peer.address.to_string() }
    }

    /// Something of this client at a door.
    pub(super) fn crossing<'a>(
        &'a self,
        direction: Direction,
        ops: &'a [String],
        can_fail: bool,
    ) -> Crossing<'a> {
        let Self { gid, name, address } = self;
        Crossing {
            direction,
            gid: *gid,
            client: name,
            address,
            pool: "",
            object: "",
            ops,
            can_fail,
            payload: None,
        }
    }
}

impl Came {
    async fn may_go(self, daemon: &Daemon) -> Self {
        if let Self::Told(_, seen) = &self {
            daemon.until_durable(*seen).await;
        }
        self
    }
}

impl MonitorInlet {
    pub(super) fn new(parcels: mpsc::Receiver<Parcel>) -> Self {
        Self { parcels, held: None, late: FuturesUnordered::new() }
    }

    /// What comes next; `None` when the client's connection has to end. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self, daemon: &Arc<Daemon>) -> Option<Came> {
        let Self { parcels, held, late } = self;
        loop {
            let in_order = async {
                if held.is_none() {
                    *held = Some(parcels.recv().await?);
                }
                if let Some(Parcel { came: Came::Told(_, seen), word: None }) = held {
                    daemon.until_durable(*seen).await;
                }
                held.take()
            };
            let Parcel { came, word } = tokio::select! {
                biased;
                Some(came) = late.next() => return Some(came),
                parcel = in_order => parcel?,
            };
            let Some(word) = word else { return Some(came) };
            let daemon = daemon.clone();
            late.push(word.then(|_word| async move { came.may_go(&daemon).await }).boxed());
        }
    }

    /// The next that it asked and that is late, when it is gone itself.
    pub(super) async fn next_asked(&mut self, daemon: &Arc<Daemon>) -> Option<Came> {
        self.parcels.close();
        while let Ok(Parcel { came, word }) = self.parcels.try_recv() {
            if let Some(word) = word {
                let daemon = daemon.clone();
                self.late.push(word.then(|_word| async move { came.may_go(&daemon).await }).boxed());
            }
        }
        self.late.next().await
    }
}
