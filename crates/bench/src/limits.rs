//! What the machine itself needs, measured in the same run as the figures that are held against it.

use std::time::Duration;

use anyhow::{Context, Result};
use harness::cluster::Cluster;
use rpc::Network;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::spread::{Latencies, Spread};

/// Calls before those that count.
pub const WARM_UP_CALLS: usize = 50;

/// Bytes of one write of a long transfer.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes of a small message.
const MESSAGE_BYTES: usize = 64;

/// Round trips of a small message between two tasks of this process over TCP on loopback.
pub async fn tcp_round_trip(calls: usize) -> Result<Spread> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        while stream.read_exact(&mut message).await.is_ok() {
            stream.write_all(&message).await?;
        }
        anyhow::Ok(())
    });
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Latencies::new()?;
    let mut message = [7; MESSAGE_BYTES];
    for call in 0..WARM_UP_CALLS + calls {
        let begun = Instant::now();
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
        if call >= WARM_UP_CALLS {
            latencies.record(begun.elapsed())?;
        }
    }
    drop(stream);
    echo.await??;
    Ok(latencies.spread())
}

/// A channel of its own to the OSD, for calls that ask nothing of it.
pub async fn bare_channel(cluster: &Cluster) -> Result<HealthClient<Channel>> {
    let network = Network::tcp(Duration::from_secs(15));
    let channel = network.connect(&cluster.address).await.context("connecting to the OSD")?;
    Ok(HealthClient::new(channel))
}

/// The smallest unary gRPC call to another process: a health check.
pub async fn bare_call(client: &mut HealthClient<Channel>) -> Result<()> {
    client.check(HealthCheckRequest::default()).await.context("a health check")?;
    Ok(())
}

/// Round trips of the smallest gRPC call.
pub async fn grpc_round_trip(cluster: &Cluster, calls: usize) -> Result<Spread> {
    let mut client = bare_channel(cluster).await?;
    for _ in 0..WARM_UP_CALLS {
        bare_call(&mut client).await?;
    }
    let mut latencies = Latencies::new()?;
    for _ in 0..calls {
        latencies.time(bare_call(&mut client)).await?;
    }
    Ok(latencies.spread())
}

/// Seconds to send `bytes` through one TCP connection on loopback, from one task of this process to another.
pub async fn tcp_transfer(bytes: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let begun = Instant::now();
    let reader = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut piece = vec![0; PIECE_BYTES];
        while stream.read(&mut piece).await? > 0 {}
        anyhow::Ok(())
    });
    let mut stream = TcpStream::connect(address).await?;
    let piece = vec![7; PIECE_BYTES];
    for _ in 0..bytes.div_ceil(PIECE_BYTES as u64) {
        stream.write_all(&piece).await?;
    }
    drop(stream);
    reader.await??;
    Ok(begun.elapsed().as_secs_f64())
}
