//! A TCP proxy whose connections can be cut and stalled.

use std::io;

use rpc::Address;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Between clients and one server. Stops when dropped.
pub(crate) struct Proxy {
    address: Address,
    state: watch::Sender<State>,
    /// How many connections there are.
    connections: watch::Sender<usize>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections made before the latest cut are closed.
    cuts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Connections stay open, nothing moves.
    Stalled,
    /// Connections are closed as soon as they are accepted.
    Cut,
}

impl Proxy {
    pub(crate) async fn start(server: Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (state, watched) = watch::channel(State { mode: Mode::Pass, cuts: 0 });
        let connections = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, watched, connections.clone()));
        Self { address, state, connections, accepting }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// Closes every connection and lets none through until `resume`.
    pub(crate) async fn cut(&self) {
        self.state.send_modify(|state| *state = State { mode: Mode::Cut, cuts: state.cuts + 1 });
        let mut connections = self.connections.subscribe();
        super::soon(connections.wait_for(|count| *count == 0)).await.expect("the sender lives");
    }

    /// Closes every connection; new ones pass.
    pub(crate) async fn cut_once(&self) {
        self.cut().await;
        self.resume();
    }

    /// Keeps every connection open and moves nothing.
    pub(crate) fn stall(&self) {
        self.state.send_modify(|state| state.mode = Mode::Stalled);
    }

    pub(crate) fn resume(&self) {
        self.state.send_modify(|state| state.mode = Mode::Pass);
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
    connections: watch::Sender<usize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let now = *state.borrow();
        if now.mode == Mode::Cut {
            continue;
        }
        connections.send_modify(|count| *count += 1);
        let connecting = connection(client, server.clone(), state.clone(), now.cuts);
        let connections = connections.clone();
        tokio::spawn(async move {
            connecting.await;
            connections.send_modify(|count| *count -= 1);
        });
    }
}

async fn connection(client: TcpStream, server: Address, state: watch::Receiver<State>, cuts: u64) {
    let mut cut = state.clone();
    let moving = async {
        let server = TcpStream::connect(server.to_string()).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_reader, client_writer) = client.into_split();
        let (server_reader, server_writer) = server.into_split();
        tokio::try_join!(
            pass(client_reader, server_writer, state.clone()),
            pass(server_reader, client_writer, state.clone()),
        )
        .map(drop)
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|state| state.cuts > cuts) => {}
        _ = moving => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let _ = state.wait_for(|state| state.mode != Mode::Stalled).await;
        to.write_all(&buffer[..length]).await?;
    }
}
