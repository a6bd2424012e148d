//! A write of 4 KiB by the client that owns the lock.

use anyhow::Result;

use crate::{
    figures::{BLOCK, Scale},
    limits::{self, WARM_UP_CALLS},
    row::Row,
    session,
    spread::Latencies,
};

pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let cluster = session::start().await?;
    for image in ["rbd/near", "rbd/served"] {
        cluster.rbd_ok(&["create", image, "--size", "64M"]).await?;
    }
    let grpc = limits::grpc_round_trip(&cluster, scale.rounds).await?.p50;
    let limit_is = "one bare gRPC round trip";

    let io = session::connect(&cluster).await?;
    let image = session::open(&io, "near").await?;
    let mut near = Latencies::new()?;
    for call in 0..WARM_UP_CALLS + scale.rounds {
        let write = async { Ok(image.write(0, BLOCK).await?) };
        if call < WARM_UP_CALLS { write.await? } else { near.time(write).await? }
    }
    image.close().await;

    let client = cluster.serve("client 1", "served", &[]).await?;
    let mut served = Latencies::new()?;
    for call in 0..WARM_UP_CALLS + scale.rounds {
        let write = async { Ok(client.write(0, BLOCK).await?) };
        if call < WARM_UP_CALLS { write.await? } else { served.time(write).await? }
    }
    Ok(vec![
        Row::latency("4 KiB write, lock held", near.spread()).ceph(0.39).limit(limit_is, grpc),
        Row::latency("the same, to rbd-client serve", served.spread())
            .limit("two bare gRPC round trips", 2.0 * grpc),
    ])
}
