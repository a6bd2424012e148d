//! The harness itself: what it starts is ready, what it drops is gone, and what it waits for has a bound.

use std::time::Duration;

use anyhow::Result;
use harness::{
    cluster::Cluster,
    program::{self, is_alive},
};
use proto::osd::v1::ConnectRequest;
use system_tests::scenario::BOUND;

#[tokio::test]
async fn a_dropped_cluster_leaves_no_process_and_no_directory() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (pid, directory) = (cluster.process.pid(), cluster.directory().to_owned());
    assert!(is_alive(pid) && directory.is_dir());
    drop(cluster);
    assert!(!is_alive(pid) && !directory.exists());
    Ok(())
}

#[tokio::test]
async fn a_frozen_process_is_dropped_too() -> Result<()> {
    let cluster = Cluster::start().await?;
    let pid = cluster.process.pid();
    cluster.process.freeze().await?;
    drop(cluster);
    assert!(!is_alive(pid));
    Ok(())
}

/// Whoever started it may have been killed: nothing else tells a program.
#[tokio::test]
async fn a_program_ends_with_its_standard_input() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.rbd_ok(&["create", "--size", "1M", "rbd/image"]).await?;
    let mut client = cluster.serve("client 1", "image", &[]).await?;
    client.process.hang_up();
    assert!(client.process.ended(BOUND).await?.success());
    cluster.process.hang_up();
    assert!(cluster.process.ended(BOUND).await?.success());
    Ok(())
}

#[test]
fn a_missing_program_is_named_with_the_script_that_builds_it() {
    let error = program::find("no-such-program").unwrap_err().to_string();
    assert!(error.contains("no-such-program") && error.contains("scripts/test"), "{error}");
}

#[tokio::test]
async fn the_event_log_shows_what_happened_and_a_wait_has_a_bound() -> Result<()> {
    let cluster = Cluster::start().await?;
    let before = cluster.log.catch_up().await?;
    let gid = cluster.stub().connect(ConnectRequest { name: "judge".to_owned() }).await?.into_inner().gid;
    let is_ours = |event: &proto::osd::v1::Event| event.kind == "session_started" && event.gid == gid;
    let event = cluster.log.wait_for(before, BOUND, "the session", is_ours).await?;
    assert!(event.sequence > before);
    let never = cluster.log.wait_for(before, Duration::from_millis(50), "the impossible", |_| false).await;
    assert!(never.unwrap_err().to_string().contains("the impossible"));
    Ok(())
}
