//! A TCP proxy between one client and its server: a network that can be cut, slowed and lost one way, without root.

use std::{collections::BTreeMap, io, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use rpc::Address;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks under way in one direction; beyond that the sender's window closes, as on a real link.
const CHUNKS_MAX: usize = 256;
/// How long the end of all connections may take.
const CLOSE_BOUND: Duration = Duration::from_secs(10);

/// What a network does to the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// They are lost. TCP sends again until it gets through: what was under way arrives, in order, when the loss ends; also what
    /// its sender gave up meanwhile.
    pub lost: bool,
    /// So much later.
    pub delay: Duration,
}

/// Both directions of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// From the client to the server.
    pub up: Flow,
    /// From the server to the client.
    pub down: Flow,
    /// New connections are refused.
    pub refused: bool,
}

impl Link {
    /// Nothing passes, and nobody is told.
    pub fn cut() -> Self {
        let lost = Flow { lost: true, ..Flow::default() };
        Self { up: lost, down: lost, refused: false }
    }

    /// Everything comes so much later, each way.
    pub fn slow(delay: Duration) -> Self {
        let slow = Flow { lost: false, delay };
        Self { up: slow, down: slow, refused: false }
    }

    /// What the client sends is lost.
    pub fn up_lost() -> Self {
        Self { up: Flow { lost: true, ..Flow::default() }, ..Self::default() }
    }

    /// What the server sends is lost.
    pub fn down_lost() -> Self {
        Self { down: Flow { lost: true, ..Flow::default() }, ..Self::default() }
    }

    /// A connection is made by packets in both directions.
    fn connects(&self) -> bool {
        !self.up.lost && !self.down.lost
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    link: Link,
    /// Connections made before the newest reset are closed.
    resets: u64,
}

/// Between a client and one server. It and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    state: watch::Sender<State>,
    /// Resets that the oldest connection has not seen; of none, `u64::MAX`.
    oldest: watch::Receiver<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(server: Address) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")?;
        let address = listener.local_addr()?.to_string().parse()?;
        let (state, watched) = watch::channel(State::default());
        let (announce, oldest) = watch::channel(u64::MAX);
        let accepting = tokio::spawn(accept(listener, server, watched, announce));
        Ok(Self { address, state, oldest, accepting })
    }

    /// Where the client connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The link is like this from here on.
    pub fn set(&self, link: Link) {
        self.state.send_modify(|state| state.link = link);
    }

    /// The link is as good as it gets; what was lost arrives.
    pub fn heal(&self) {
        self.set(Link::default());
    }

    /// Closes every connection and refuses others until the link is healed.
    pub async fn refuse(&self) -> Result<()> {
        self.set(Link { refused: true, ..Link::default() });
        self.reset().await
    }

    /// Closes every connection, so that both ends know; answered when they are closed. Others may have been made by then.
    pub async fn reset(&self) -> Result<()> {
        self.state.send_modify(|state| state.resets += 1);
        let resets = self.state.borrow().resets;
        let mut oldest = self.oldest.clone();
        let closed = timeout(CLOSE_BOUND, oldest.wait_for(|made_after| *made_after >= resets)).await;
        closed.context("connections of the proxy did not end")?.context("the proxy is gone")?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: Address,
    state: watch::Receiver<State>,
    oldest: watch::Sender<u64>,
) {
    // Dropped, and its tasks with it, when the proxy is. How many there are is counted by the resets before them.
    let mut connections = JoinSet::new();
    let mut made: BTreeMap<u64, usize> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = connections.join_next() => {
                let Ok(resets) = ended else { return };
                let left = made.entry(resets).or_default();
                *left -= 1;
                made.retain(|_, count| *count > 0);
            }
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let now = *state.borrow();
                if !now.link.refused {
                    *made.entry(now.resets).or_default() += 1;
                    connections.spawn(connection(client, server.clone(), state.clone(), now.resets));
                }
            }
        }
        oldest.send_replace(made.keys().next().copied().unwrap_or(u64::MAX));
    }
}

/// Ends with its streams or with the first reset after `resets`, which it returns.
async fn connection(
    client: TcpStream,
    server: Address,
    mut state: watch::Receiver<State>,
    resets: u64,
) -> u64 {
    let mut reset = state.clone();
    let moving = async {
        let _ = state.wait_for(|state| state.link.connects()).await;
        let server = TcpStream::connect(server.to_string()).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_reader, client_writer) = client.into_split();
        let (server_reader, server_writer) = server.into_split();
        tokio::try_join!(
            pass(client_reader, server_writer, state.clone(), |link| link.up),
            pass(server_reader, client_writer, state.clone(), |link| link.down),
        )
        .map(drop)
    };
    tokio::select! {
        biased;
        _ = reset.wait_for(|state| state.resets > resets) => {}
        _ = moving => {}
    }
    resets
}

/// Moves one direction until its end.
async fn pass(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: watch::Receiver<State>,
    flow: fn(&Link) -> Flow,
) -> io::Result<()> {
    let (chunks, due) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(take(from, chunks, state.clone(), flow), give(due, to, state, flow)).map(drop)
}

async fn take(
    mut from: OwnedReadHalf,
    chunks: mpsc::Sender<(Instant, Bytes)>,
    state: watch::Receiver<State>,
    flow: fn(&Link) -> Flow,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let due = Instant::now() + flow(&state.borrow().link).delay;
        // An empty chunk is the end of the stream, which travels like the rest.
        if chunks.send((due, Bytes::copy_from_slice(&buffer[..length]))).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn give(
    mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    flow: fn(&Link) -> Flow,
) -> io::Result<()> {
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        let _ = state.wait_for(|state| !flow(&state.link).lost).await;
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&chunk).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    /// An echo server, a proxy before it, and a connection through it.
    async fn connected() -> (Proxy, BufReader<TcpStream>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let echo = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        let proxy = Proxy::start(address).await.unwrap();
        let stream = TcpStream::connect(proxy.address().to_string()).await.unwrap();
        (proxy, BufReader::new(stream), echo)
    }

    async fn say(stream: &mut BufReader<TcpStream>, line: &str) {
        stream.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn hear(stream: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        timeout(BOUND, stream.read_line(&mut line)).await.expect("a line in time").unwrap();
        line.trim_end().to_owned()
    }

    #[tokio::test]
    async fn what_a_cut_link_lost_arrives_in_order_when_it_is_healed() {
        let (proxy, mut stream, echo) = connected().await;
        for link in [Link::cut(), Link::up_lost(), Link::down_lost()] {
            say(&mut stream, "before").await;
            assert_eq!(hear(&mut stream).await, "before");
            proxy.set(link);
            say(&mut stream, "one").await;
            say(&mut stream, "two").await;
            assert!(stream.buffer().is_empty());
            let silence = timeout(Duration::from_millis(50), stream.fill_buf()).await;
            assert!(silence.is_err(), "nothing passes: {silence:?}");
            proxy.heal();
            assert_eq!((hear(&mut stream).await.as_str(), hear(&mut stream).await.as_str()), ("one", "two"));
        }
        echo.abort();
    }

    #[tokio::test]
    async fn a_slow_link_delays_each_way_and_does_not_add_up() {
        let (proxy, mut stream, echo) = connected().await;
        let delay = Duration::from_millis(100);
        proxy.set(Link::slow(delay));
        let begin = Instant::now();
        for number in 0..20 {
            say(&mut stream, &number.to_string()).await;
        }
        for number in 0..20 {
            assert_eq!(hear(&mut stream).await, number.to_string());
        }
        assert!(begin.elapsed() >= delay * 2, "{:?}", begin.elapsed());
        assert!(
            begin.elapsed() < delay * 20,
            "{:?}: the delays of chunks under way overlap",
            begin.elapsed()
        );
        echo.abort();
    }

    #[tokio::test]
    async fn a_reset_ends_connections_and_lets_others_be_made() {
        let (proxy, mut stream, echo) = connected().await;
        say(&mut stream, "accepted").await;
        assert_eq!(hear(&mut stream).await, "accepted");
        proxy.reset().await.unwrap();
        assert_eq!(timeout(BOUND, stream.read_line(&mut String::new())).await.unwrap().unwrap_or(0), 0);
        let other = TcpStream::connect(proxy.address().to_string()).await.unwrap();
        let mut other = BufReader::new(other);
        say(&mut other, "again").await;
        assert_eq!(hear(&mut other).await, "again");
        proxy.refuse().await.unwrap();
        let refused = TcpStream::connect(proxy.address().to_string()).await.unwrap();
        let mut refused = BufReader::new(refused);
        assert_eq!(timeout(BOUND, refused.read_line(&mut String::new())).await.unwrap().unwrap_or(0), 0);
        echo.abort();
    }

    #[tokio::test]
    async fn a_reset_ends_although_others_connect_all_the_time() {
        let (proxy, mut stream, echo) = connected().await;
        say(&mut stream, "accepted").await;
        assert_eq!(hear(&mut stream).await, "accepted");
        let address = proxy.address().to_string();
        let connecting = tokio::spawn(async move {
            let mut kept = Vec::new();
            for number in 0..50 {
                let mut other = BufReader::new(TcpStream::connect(&address).await.unwrap());
                say(&mut other, &number.to_string()).await;
                kept.push(other);
                tokio::task::yield_now().await;
            }
            kept
        });
        proxy.reset().await.unwrap();
        drop(connecting.await.unwrap());
        echo.abort();
    }
}
