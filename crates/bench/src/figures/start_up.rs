//! How long it takes until there is something to talk to, and how much memory that needs.

use std::process::Command;

use anyhow::{Context, Result};
use harness::{cluster::Cluster, cluster::Preset, process::Process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    row::{Row, Unit},
    spread::Latencies,
};

const STARTS: usize = 20;

pub(super) async fn measure() -> Result<Vec<Row>> {
    let directory = TempDir::with_prefix("rbd-sim-bench-")?;
    let options = ["--listen", "127.0.0.1:0"].map(str::to_owned);
    let (mut bare, mut ready, mut created) = (Latencies::new()?, Latencies::new()?, Latencies::new()?);
    let mut resident = 0.0;
    for _ in 0..STARTS {
        let begun = Instant::now();
        Command::new("true").status().context("running true")?;
        bare.record(begun.elapsed())?;

        let start = Process::start("osd-sim", "osd-sim", &options, directory.path());
        let (process, _) = ready.time(start).await?;
        resident = super::resident_bytes(&process.pid().to_string())? / f64::from(1 << 20);
        drop(process);

        let create = async {
            let cluster = Cluster::start_with(Preset::Default, &[], &[]).await?;
            cluster.rbd_ok(&["create", "rbd/vm", "--size", "1G"]).await?;
            Ok(cluster)
        };
        drop(created.time(create).await?);
    }
    let bare = bare.spread().p50;
    Ok(vec![
        Row::latency("osd-sim started and ready", ready.spread()).limit("a process that does nothing", bare),
        Row::latency("nothing to image created", created.spread())
            .ceph(7_400.0)
            .limit("two processes that do nothing", 2.0 * bare),
        Row::of("idle memory of osd-sim", Unit::Mebibytes, resident).ceph(80.0),
    ])
}
