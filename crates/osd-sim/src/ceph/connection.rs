//! One connection: its bytes go to the messenger's value, what that says goes to the socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ceph_wire::{EntityAddr, EntityType, Message};
use messenger::{Broken, Connection, Event, Local};
use monitor::ConnectionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::CephLimits;
use super::daemons::Daemons;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("it did not say who it is within the time for a handshake")]
    Handshake,
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("{0}")]
    Wire(#[from] ceph_wire::WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("frames of all connections would hold more than arriving_bytes_max = {0} bytes")]
    TooMuch(usize),
    #[error("it cannot be numbered: {0}")]
    Gid(#[from] osd::OpError),
    #[error("it does not read what it is sent")]
    Slow,
}

/// What all connections to one daemon share.
pub(super) struct Shared {
    pub(super) daemons: Arc<Daemons>,
    pub(super) local: Local,
    pub(super) limits: CephLimits,
    /// Bytes of frames that have not arrived whole, of all daemons.
    pub(super) arriving: Arc<AtomicUsize>,
}

/// What of `arriving` is one connection's own; given back with it.
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Share {
    /// False when all together would exceed the limit.
    fn set(&mut self, own: usize, max: usize) -> bool {
        let others = self.all.fetch_sub(self.own, Ordering::Relaxed) - self.own;
        self.own = own;
        self.all.fetch_add(own, Ordering::Relaxed);
        own == 0 || others + own <= max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// A client of the monitor, until its connection ends.
struct Subscriber {
    daemons: Arc<Daemons>,
    id: ConnectionId,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.daemons.closed(self.id);
    }
}

/// Serves one connection until it ends; `Ok` when the client ended it.
pub(super) async fn serve(shared: &Shared, mut socket: TcpStream, from: SocketAddr) -> Result<(), Ended> {
    let limits = &shared.limits;
    let frames = messenger::Limits { frame_bytes_max: limits.frame_bytes_max, ..Default::default() };
    let mut connection = Connection::new(shared.local.clone(), from, frames);
    let mut share = Share { all: shared.arriving.clone(), own: 0 };
    let (outlet, mut inlet) = mpsc::channel(limits.waiting_messages_max);
    let mut client =
        Client { from, outlet: Some(outlet), subscriber: None, address: EntityAddr::msgr2(from) };
    let handshake_ends = Instant::now() + limits.handshake_time_max;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let output = connection.take_output();
        timeout(limits.write_time_max, socket.write_all(&output)).await.map_err(|_| Ended::Slow)??;
        tokio::select! {
            read = socket.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                connection.receive(&buffer[..read]);
                while let Some(event) = connection.next_event()? {
                    client.take(shared, &mut connection, event)?;
                }
                if !share.set(connection.arrived_bytes(), limits.arriving_bytes_max) {
                    return Err(Ended::TooMuch(limits.arriving_bytes_max));
                }
            }
            message = inlet.recv(), if client.subscriber.is_some() => match message {
                Some(message) => connection.send(&message),
                None => return Err(Ended::Slow),
            },
            () = sleep_until(handshake_ends), if !connection.is_open() => return Err(Ended::Handshake),
        }
    }
}

/// Who is at the other end.
struct Client {
    /// Where the connection comes from.
    from: SocketAddr,
    /// Where messages from the monitor go; taken when the connection opens.
    outlet: Option<mpsc::Sender<Message>>,
    /// In connections to the monitor that are open.
    subscriber: Option<Subscriber>,
    /// What it says of itself when the connection opens.
    address: EntityAddr,
}

impl Client {
    /// Takes what has happened to whom it concerns.
    fn take(&mut self, shared: &Shared, connection: &mut Connection, event: Event) -> Result<(), Ended> {
        let (daemons, kind, from) = (&shared.daemons, shared.local.kind, self.from);
        match event {
            Event::Claimed { name, gid } => connection.welcome(name, daemons.gid(gid)?),
            Event::Unwelcome { method } => tracing::warn!(
                %from,
                "a client offers authentication method {method} only: put 'auth_client_required = none' into its \
                 configuration"
            ),
            Event::Open(peer) => {
                tracing::debug!(%from, gid = peer.gid, name = peer.name.id, "a client of the {kind}");
                self.address = peer.address;
                if kind == EntityType::Mon {
                    let outlet = self.outlet.take().expect("a connection opens once");
                    let id = daemons.opened(outlet);
                    self.subscriber = Some(Subscriber { daemons: daemons.clone(), id });
                }
            }
            Event::Message(message) => match &self.subscriber {
                Some(Subscriber { id, .. }) => daemons.tell(monitor::Event::Message(*id, message))?,
                None => {
                    if let Some(answer) = daemons.answer(kind, &self.address, &message)? {
                        connection.send(&answer);
                    }
                }
            },
            Event::Asked(asked) => connection.alive(asked),
        }
        Ok(())
    }
}
