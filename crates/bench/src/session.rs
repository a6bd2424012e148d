//! Sessions and images within this process, for figures that Ceph's own tools take without a process in between.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use harness::{
    cluster::{Cluster, Preset},
    osd::{POOL, spec},
};
use librbd::{Image, OpenOptions};
use rados::{IoCtx, Rados};
use rpc::Network;

/// Bytes of one write that fills an image.
const FILL_BYTES: usize = 4 << 20;

/// An OSD with Ceph's constants whose events nobody follows: telling them would be part of what is measured.
pub(crate) async fn start() -> Result<Cluster> {
    let cluster = Cluster::start_with(Preset::Default, &[], &[]).await?;
    cluster.log.stop();
    Ok(cluster)
}

/// A session with Ceph's constants, at the pool that every OSD has.
pub(crate) async fn connect(cluster: &Cluster) -> Result<IoCtx> {
    let config = rados::Config { client_name: "bench".to_owned(), ..rados::Config::ceph() };
    let network = Network::tcp(config.silence_max);
    let rados = Rados::connect(network, cluster.address.clone(), config).await.context("connecting")?;
    Ok(rados.io_ctx(POOL).await?)
}

/// An image open for writing.
pub(crate) async fn open(io: &IoCtx, image: &str) -> Result<Image> {
    Ok(Image::open(io, image, OpenOptions::default(), librbd::Config::ceph()).await?)
}

/// Creates an image of `mebibytes`, writes all of it, and leaves it closed.
pub(crate) async fn create_full(cluster: &Cluster, name: &str, mebibytes: u64) -> Result<()> {
    let size = format!("{mebibytes}M");
    cluster.rbd_ok(&["create", &spec(name), "--size", &size]).await?;
    let io = connect(cluster).await?;
    let image = open(&io, name).await?;
    let data = Bytes::from(vec![0x5a; FILL_BYTES]);
    let size = mebibytes << 20;
    for offset in (0..size).step_by(FILL_BYTES) {
        let length = FILL_BYTES.min(usize::try_from(size - offset)?);
        image.write(offset, data.slice(..length)).await?;
    }
    image.close().await;
    io.rados().shutdown().await;
    Ok(())
}

/// How long one call may take that goes on until it is decided.
pub(crate) const CALL_BOUND: Duration = Duration::from_secs(600);
