//! A flatten of a clone whose parent is full: each object is read from the parent and written to the child.

use anyhow::{Context, Result, anyhow};
use harness::{cluster::Cluster, remote::no_limits};
use tokio::time::Instant;

use crate::{
    figures::Scale,
    limits,
    row::{Row, Unit},
    session::{self, CALL_BOUND},
};

/// Ceph's seconds for one GiB.
const CEPH_SECONDS_PER_GIB: f64 = 1.56;

pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let mebibytes = scale.flatten_mib;
    let cluster = session::start().await?;
    session::create_full(&cluster, "base", mebibytes).await?;
    cluster.clone_image("base", "snap", "warm-up").await?;
    cluster.rbd_ok(&["clone", "rbd/base@snap", "rbd/child"]).await?;
    // Memory that was not touched lately is several times slower.
    flatten(&cluster, "warm-up").await?;
    cluster.rbd_ok(&["rm", "--no-progress", "rbd/warm-up"]).await?;
    let limit = limits::tcp_transfer(2 * (mebibytes << 20)).await?;
    let seconds = flatten(&cluster, "child").await?;
    let ceph = CEPH_SECONDS_PER_GIB * mebibytes as f64 / 1024.0;
    let row = Row::of(format!("flatten of {mebibytes} MiB, 10 at once"), Unit::Seconds, seconds);
    Ok(vec![row.ceph(ceph).limit("all bytes twice over loopback TCP", limit)])
}

/// Seconds from the call to its answer.
async fn flatten(cluster: &Cluster, child: &str) -> Result<f64> {
    let mut client = cluster.serve(child, child, &[]).await?;
    // The lock is not part of it.
    client.discard(0, 0).await?;
    let begun = Instant::now();
    let ended = client.flatten(no_limits()).ended(CALL_BOUND).await?;
    let seconds = begun.elapsed().as_secs_f64();
    ended.map_err(|failure| anyhow!("{failure}")).with_context(|| format!("the flatten of {child}"))?;
    // A client that is just killed leaves a watch behind for a moment.
    client.process.terminate()?;
    client.process.ended(CALL_BOUND).await?;
    Ok(seconds)
}
