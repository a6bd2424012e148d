//! Round trips that carry nothing.

use anyhow::Result;

use crate::{figures::Scale, limits, row::Row, session};

pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let cluster = session::start().await?;
    Ok(vec![
        Row::latency("bare TCP round trip on loopback", limits::tcp_round_trip(scale.rounds).await?),
        Row::latency(
            "bare gRPC round trip to osd-sim",
            limits::grpc_round_trip(&cluster, scale.rounds).await?,
        ),
    ])
}
