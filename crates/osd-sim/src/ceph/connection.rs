//! One connection: its bytes go to the messenger's value, what that says goes to the socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Buf;
use ceph_wire::{EntityType, Message};
use futures_util::FutureExt;
use messenger::{Broken, Connection, Event, Local};
use monitor::ConnectionId;
use osd::OpError;
use store::Seq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::CephLimits;
use super::daemons::Daemons;
use super::mon_client::{Came, MonitorInlet, Who};
use super::osd_client::{Answer, OsdClient, Told};
use super::reply::Letter;
use crate::replies::Underway;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Bytes that wait to be sent before more of what has arrived is looked at.
const FLUSHED_BYTES: usize = 1 << 20;

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
    Refused(#[from] OpError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("frames of all connections would hold more than arriving_bytes_max = {0} bytes")]
    TooMuch(usize),
    #[error("it does not read what it is sent")]
    Slow,
    #[error("others wait for the room of its replies, and it has not read for reply_stall_time_max")]
    Stalled,
    #[error("the OSD ended it: {0}")]
    Cut(String),
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

impl Subscriber {
    /// Its connection has ended; what it asked and faults have made late.
    async fn leave(self, mut inlet: MonitorInlet) {
        let Self { daemons, id } = &self;
        daemons.closed(*id);
        while let Some(came) = inlet.next_asked(&daemons.daemon).await {
            // It has decoded when it came.
            let _ = daemons.go_on(*id, came);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.daemons.closed(self.id);
    }
}

/// Serves one connection until it ends. What faults have made late arrives also after that, when the place of the connection is
/// given back.
pub(super) async fn serve(shared: &Shared, socket: TcpStream, from: SocketAddr, place: OwnedSemaphorePermit) {
    let frames = messenger::Limits { frame_bytes_max: shared.limits.frame_bytes_max, ..Default::default() };
    let connection = Connection::new(shared.local.clone(), from, frames);
    let (cut, underway) = (CancellationToken::new(), Vec::new());
    let mut served = Served { shared, socket, from, connection, client: Client::Unknown, underway, cut };
    if let Err(why) = served.run().await {
        tracing::debug!(%from, "a connection to the {} ended: {why}", shared.local.kind);
    }
    let Served { client, socket, .. } = served;
    drop((socket, place));
    match client {
        Client::Unknown => {}
        Client::Osd(client) => client.leave().await,
        Client::Monitor(subscriber, inlet) => subscriber.leave(inlet).await,
    }
}

/// Takes what has arrived, the bytes of a long frame without copying them; how many there were, 0 = the client sends no more. Nothing is lost
/// when it is dropped.
async fn receive(
    socket: &mut TcpStream,
    connection: &mut Connection,
    buffer: &mut [u8],
) -> io::Result<usize> {
    if connection.lacking_bytes() > buffer.len() {
        return socket.read_buf(connection.room()).await;
    }
    let read = socket.read(buffer).await?;
    connection.receive(&buffer[..read]);
    Ok(read)
}

/// A connection, and who is at its other end.
struct Served<'a> {
    shared: &'a Shared,
    socket: TcpStream,
    from: SocketAddr,
    connection: Connection,
    client: Client,
    /// Of the answers that wait to be sent.
    underway: Vec<Underway>,
    /// Says that others wait for the room of these.
    cut: CancellationToken,
}

/// Whose client it is.
enum Client {
    /// It has not said who it is, or it is the manager's, which says nothing by itself.
    Unknown,
    Monitor(Subscriber, MonitorInlet),
    Osd(OsdClient),
}

impl Client {
    /// What is to be sent to it besides answers; `None` = its connection has to end.
    async fn next(&mut self) -> Option<Told> {
        match self {
            Self::Unknown => std::future::pending().await,
            Self::Monitor(subscriber, inlet) => Some(match inlet.next(&subscriber.daemons.daemon).await? {
                Came::Told(message, _) => Told::Message(message),
                asked @ (Came::Asked(_) | Came::AskedAgain(_)) => Told::Asked(asked),
            }),
            Self::Osd(client) => client.next().await,
        }
    }

    /// Why nothing more is sent to it.
    fn ended(&self) -> Ended {
        match self {
            Self::Osd(client) => Ended::Cut(client.why_cut()),
            Self::Unknown | Self::Monitor(..) => Ended::Slow,
        }
    }
}

impl Served<'_> {
    /// Until it ends; `Ok` when the client ended it.
    async fn run(&mut self) -> Result<(), Ended> {
        let limits = &self.shared.limits;
        let mut share = Share { all: self.shared.arriving.clone(), own: 0 };
        let handshake_ends = Instant::now() + limits.handshake_time_max;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.flush().await?;
            tokio::select! {
                read = receive(&mut self.socket, &mut self.connection, &mut buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(event) = self.connection.next_event()? {
                        self.take(event).await?;
                    }
                    if !share.set(self.connection.arrived_bytes(), limits.arriving_bytes_max) {
                        return Err(Ended::TooMuch(limits.arriving_bytes_max));
                    }
                }
                told = self.client.next() => {
                    self.tell(told).await?;
                    // What is to be said by now goes with it.
                    while self.connection.output_bytes() < FLUSHED_BYTES
                        && let Some(told) = self.client.next().now_or_never()
                    {
                        self.tell(told).await?;
                    }
                }
                () = sleep_until(handshake_ends), if !self.connection.is_open() => return Err(Ended::Handshake),
            }
        }
    }

    async fn tell(&mut self, told: Option<Told>) -> Result<(), Ended> {
        match told {
            Some(Told::Message(message)) => self.connection.send(&message),
            Some(Told::Answers) => self.send_answers().await?,
            Some(Told::Asked(came)) => self.go_on(came)?,
            Some(Told::Ask) => self.connection.ask(self.shared.daemons.wall_clock()),
            None => return Err(self.client.ended()),
        }
        Ok(())
    }

    /// Sends what is to be sent.
    async fn flush(&mut self) -> Result<(), Ended> {
        let mut output = self.connection.take_output();
        if !output.has_remaining() {
            return Ok(());
        }
        let sending = async {
            while output.has_remaining() {
                if self.socket.write_buf(&mut output).await? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.underway.iter().for_each(Underway::moved);
            }
            io::Result::Ok(())
        };
        tokio::select! {
            sent = timeout(self.shared.limits.write_time_max, sending) => sent.map_err(|_| Ended::Slow)??,
            () = self.cut.cancelled() => return Err(Ended::Stalled),
        }
        self.underway.clear();
        Ok(())
    }

    /// Room for an answer of so many bytes. What its own connection has not sent does not keep it waiting.
    async fn make_room(&mut self, bytes: usize) -> Result<(), Ended> {
        let replies = self.shared.daemons.daemon.replies.clone();
        let underway = match replies.try_fill(bytes, &self.cut) {
            Some(underway) => underway,
            None => {
                self.flush().await?;
                replies.fill(bytes, &self.cut).await
            }
        };
        self.underway.push(underway);
        Ok(())
    }

    /// Takes what has happened to whom it concerns.
    async fn take(&mut self, event: Event) -> Result<(), Ended> {
        let (daemons, kind, from) = (&self.shared.daemons, self.shared.local.kind, self.from);
        match event {
            Event::Claimed { name, gid } => self.connection.welcome(name, daemons.gid(gid).await?),
            Event::Unwelcome { method } => tracing::warn!(
                %from,
                "a client offers authentication method {method} only: put 'auth_client_required = none' into its \
                 configuration"
            ),
            Event::Open(peer) => {
                tracing::debug!(%from, gid = peer.gid, name = peer.name.id, "a client of the {kind}");
                self.client = match kind {
                    EntityType::Mon => {
                        let (parcels, inlet) = mpsc::channel(self.shared.limits.waiting_messages_max);
                        let id = daemons.opened(Who::of(&peer), parcels);
                        let subscriber = Subscriber { id, daemons: daemons.clone() };
                        Client::Monitor(subscriber, MonitorInlet::new(inlet))
                    }
                    EntityType::Osd => Client::Osd(OsdClient::open(daemons, &peer)?),
                    _ => Client::Unknown,
                };
            }
            Event::Message(message) => self.take_message(&message).await?,
            Event::Asked(asked) => self.connection.alive(asked),
            Event::Lives => {
                if let Client::Osd(client) = &self.client {
                    client.lives();
                }
            }
        }
        Ok(())
    }

    async fn take_message(&mut self, message: &Message) -> Result<(), Ended> {
        let kind = self.shared.local.kind;
        if let Client::Monitor(Subscriber { id, daemons }, _) = &self.client {
            return Ok(daemons.take(*id, message.clone())?);
        }
        if let Client::Osd(client) = &mut self.client
            && message.kind == ceph_wire::kind::OSD_OP
        {
            if let Some((answer, seen)) = client.take(message)? {
                self.send_answer(answer, seen).await?;
            }
            self.send_answers().await?;
        } else if let Some(answer) = Daemons::answer(kind, message)? {
            self.connection.send(&answer);
        }
        // What waits to be sent is bounded, however much is asked for at once.
        if self.connection.output_bytes() >= FLUSHED_BYTES { self.flush().await } else { Ok(()) }
    }

    /// What was asked of the monitor and was late.
    fn go_on(&self, came: Came) -> Result<(), Ended> {
        match &self.client {
            Client::Monitor(Subscriber { id, daemons }, _) => Ok(daemons.go_on(*id, came)?),
            Client::Unknown | Client::Osd(_) => Ok(()),
        }
    }

    /// Answers keep the order of what they answer, unless faults have delayed them.
    async fn send_answer(&mut self, answer: Answer, seen: Seq) -> Result<(), Ended> {
        self.shared.daemons.daemon.until_durable(seen).await;
        self.make_room(answer.bytes()).await?;
        let Letter { message, data } = answer.encoded();
        self.connection.send_with(&message, &data);
        Ok(())
    }

    /// What faults were asked about.
    async fn send_answers(&mut self) -> Result<(), Ended> {
        while let Client::Osd(client) = &mut self.client {
            let Some((answer, seen)) = client.answered() else { break };
            self.send_answer(answer, seen).await?;
        }
        match &self.client {
            Client::Osd(client) if client.is_cut() => Err(self.client.ended()),
            _ => Ok(()),
        }
    }
}
