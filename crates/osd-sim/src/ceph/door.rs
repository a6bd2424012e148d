//! The door's listeners.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ceph_wire::{AddrVec, EntityAddr, EntityType, Uuid};
use futures_util::StreamExt as _;
use messenger::Local;
use monitor::{Addresses, Identity};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{self, Shared};
use super::daemons::Daemons;
use super::{CephAddresses, CephConfig};
use crate::daemon::Daemon;

/// The door for Ceph's own clients: accepts at once, serves when it is told to.
pub(crate) struct Door {
    daemons: Arc<Daemons>,
    listeners: Vec<(Arc<Shared>, TcpListener)>,
    pub(crate) addresses: CephAddresses,
}

impl Door {
    /// Listens, within a runtime. `fsid` is the cluster's identity.
    pub(crate) fn open(
        config: &CephConfig,
        daemon: &Arc<Daemon>,
        fsid: Uuid,
        started_unix_ms: u64,
    ) -> io::Result<Self> {
        let any_port = SocketAddr::new(config.monitor.ip(), 0);
        let mon = listen(config.monitor)?;
        let osd = listen(config.osd.unwrap_or(any_port))?;
        let mgr = listen(SocketAddr::new(osd.local_addr()?.ip(), 0))?;
        let elsewhere = |listener: &TcpListener| listener.local_addr().is_ok_and(|at| !at.ip().is_loopback());
        let is_reached_from_elsewhere = [&mon, &osd, &mgr].into_iter().any(elsewhere);
        let said = |listener: &TcpListener| said(config.advertise, listener.local_addr()?);
        let (monitor, osd_at, manager) = (said(&mon)?, said(&osd)?, said(&mgr)?);
        let [mon_addr, osd_addr, mgr_addr] = [monitor, osd_at, manager].map(EntityAddr::msgr2);
        let identity = Identity { fsid, started_unix_ms };
        let addresses = CephAddresses { fsid: identity.fsid_text(), monitor, osd: osd_at, manager };
        let places = Addresses { mon: mon_addr, osd: osd_addr, mgr: mgr_addr };
        let daemons = Arc::new(Daemons::new(daemon.clone(), identity, places));
        let arriving = Arc::new(AtomicUsize::new(0));
        let shared = |kind, address: EntityAddr| {
            let local = Local { kind, id: 0, addresses: AddrVec::from(address) };
            let (daemons, limits, arriving) = (daemons.clone(), config.limits, arriving.clone());
            Arc::new(Shared { daemons, local, limits, arriving })
        };
        let listeners = vec![
            (shared(EntityType::Mon, mon_addr), mon),
            (shared(EntityType::Osd, osd_addr), osd),
            (shared(EntityType::Mgr, mgr_addr), mgr),
        ];
        if is_reached_from_elsewhere {
            tracing::warn!(
                "Ceph's clients are let in at {monitor} without authentication: whoever reaches it may do anything"
            );
        }
        Ok(Self { daemons, listeners, addresses })
    }

    /// Lets clients in until the server closes.
    pub(crate) async fn serve(self) {
        let Self { daemons, listeners, .. } = self;
        let mut serving = JoinSet::new();
        for (shared, listener) in listeners {
            serving.spawn(accept(shared, listener));
        }
        let mut revision = daemons.daemon.map_revision();
        loop {
            tokio::select! {
                biased;
                () = daemons.daemon.closing.cancelled() => return,
                changed = revision.changed() => match changed {
                    Ok(()) => daemons.changed(),
                    Err(_) => return,
                },
            }
        }
    }
}

/// Lets clients in; never ends. With it end the connections that it has let in.
async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(shared.limits.connections_max));
    let mut incoming = pin!(rpc::incoming(listener));
    let mut connections = JoinSet::new();
    loop {
        // Whoever comes when there is no room waits with the system.
        let permit = room.clone().acquire_owned().await.expect("it is never closed");
        while connections.try_join_next().is_some() {}
        // Who is gone already has no address.
        let Some(Ok(socket)) = incoming.next().await else { continue };
        let Ok(from) = socket.peer_addr() else { continue };
        let shared = shared.clone();
        connections.spawn(async move {
            connection::serve(&shared, socket, from, permit).await;
        });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("listening on {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What maps say of a listener. A wildcard is nobody's address.
fn said(advertise: Option<IpAddr>, listening: SocketAddr) -> io::Result<SocketAddr> {
    match advertise {
        Some(ip) => Ok(SocketAddr::new(ip, listening.port())),
        None if listening.ip().is_unspecified() => {
            let text =
                format!("{listening} is no address that clients could be told: --ceph-advertise says one");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
        None => Ok(listening),
    }
}
