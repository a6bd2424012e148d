//! The round trip of notify2: to every watcher and, when all have acked, back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rados::{IoCtx, ObjectOp, Watch, WatchEvent};

use crate::{
    figures::Scale,
    limits::{self, WARM_UP_CALLS},
    row::Row,
    session,
    spread::Latencies,
};

/// Watchers, and Ceph's milliseconds.
const CASES: [(usize, f64); 4] = [(1, 0.29), (2, 0.31), (8, 0.55), (32, 1.69)];

const OBJECT: &str = "watched";

/// librbd's own.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn measure(scale: &Scale) -> Result<Vec<Row>> {
    let cluster = session::start().await?;
    let grpc = limits::grpc_round_trip(&cluster, scale.rounds).await?.p50;
    let notifier = session::connect(&cluster).await?;
    notifier.operate(OBJECT, ObjectOp::new().create(true)).await?;
    let mut rows = Vec::new();
    let mut watchers = Vec::new();
    for (count, ceph) in CASES {
        while watchers.len() < count {
            let io = session::connect(&cluster).await?;
            let watch = io.watch(OBJECT, None).await?;
            watchers.push(tokio::spawn(ack_all(watch)));
        }
        let found = round_trips(&notifier, count, scale.rounds).await?;
        let what = format!("notify2, {count} watcher{}", if count == 1 { "" } else { "s" });
        rows.push(Row::latency(what, found.spread()).ceph(ceph).limit("one bare gRPC round trip", grpc));
    }
    watchers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(rows)
}

async fn round_trips(notifier: &IoCtx, watchers: usize, rounds: usize) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    for call in 0..WARM_UP_CALLS + rounds {
        let notify = async { Ok(notifier.notify(OBJECT, Bytes::from_static(b"hello"), TIMEOUT).await?) };
        let reply = if call < WARM_UP_CALLS { notify.await? } else { latencies.time(notify).await? };
        ensure!(reply.replies.len() == watchers, "{} of {watchers} watchers acked", reply.replies.len());
    }
    Ok(latencies)
}

/// Acks until it is aborted.
async fn ack_all(mut watch: Watch) -> Result<()> {
    loop {
        match watch.next().await {
            WatchEvent::Notify(notification) => notification.ack.send(Bytes::new()),
            WatchEvent::Lost(error) => return Err(error).context("a watch was lost"),
            _ => {}
        }
    }
}
