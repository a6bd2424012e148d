//! The cooperative hand-over: two processes take the exclusive lock from each other, write by write.

use anyhow::{Context, Result, ensure};

use crate::{
    figures::{BLOCK, Scale},
    limits,
    row::Row,
    session,
    spread::Latencies,
};

/// Rounds before those that count.
const WARM_UP_ROUNDS: usize = 20;

/// The write of the client that does not own the lock: RequestLock, drain, unlock, ReleasedLock, lock, write.
pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let cluster = session::start().await?;
    cluster.rbd_ok(&["create", "rbd/vm", "--size", "64M"]).await?;
    let clients = cluster.serve_many(2, "vm", &[]).await?;
    let grpc = limits::grpc_round_trip(&cluster, scale.rounds).await?;
    let mut latencies = Latencies::new()?;
    for round in 0..WARM_UP_ROUNDS + scale.rounds {
        let client = &clients[round % 2];
        let begun = tokio::time::Instant::now();
        client.write(0, BLOCK).await.with_context(|| format!("the write of {}", client.name()))?;
        if round >= WARM_UP_ROUNDS {
            latencies.record(begun.elapsed())?;
        }
        // Outside of the measured time: a write without a hand-over would be another figure.
        let owner = client.lock_owner().await?;
        ensure!(
            owner.as_ref().is_some_and(|owner| owner.gid == client.gid),
            "{} wrote in round {round}, yet the lock belongs to {owner:?}",
            client.name()
        );
    }
    Ok(vec![
        Row::latency("hand-over of the lock, 4 KiB write", latencies.spread())
            .ceph(2.89)
            .limit("one bare gRPC round trip", grpc.p50),
    ])
}
