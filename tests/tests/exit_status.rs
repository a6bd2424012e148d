//! Errors that end a verb: the exit status is the errno, and the message names it.

use anyhow::Result;
use errno::Errno;
use harness::{cluster::Cluster, remote::no_limits};
use system_tests::scenario::{BOUND, CHILD, PARENT, SNAPSHOT, Scenario};

async fn check(cluster: &Cluster, verb: &[&str], errno: Errno) -> Result<()> {
    let output = cluster.rbd(verb).await?;
    assert_eq!(output.status, errno.number(), "{verb:?}: {output:?}");
    assert!(output.stderr.contains(errno.name()), "{verb:?}: {output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_of_a_verb_is_the_errno() -> Result<()> {
    let scenario = Scenario::start(4, 1, &[]).await?;
    let cluster = &scenario.cluster;
    let snapshot = format!("rbd/{PARENT}@{SNAPSHOT}");
    let child = format!("rbd/{CHILD}");
    check(cluster, &["info", "rbd/absent"], Errno::ENOENT).await?;
    check(cluster, &["info", "nopool/image"], Errno::ENOENT).await?;
    check(cluster, &["create", "--size", "1M", &child], Errno::EEXIST).await?;
    check(cluster, &["snap", "protect", &snapshot], Errno::EBUSY).await?;
    check(cluster, &["snap", "rm", &snapshot], Errno::EBUSY).await?;
    check(cluster, &["snap", "create", &snapshot], Errno::EEXIST).await?;
    check(cluster, &["flatten", &format!("rbd/{PARENT}")], Errno::EINVAL).await?;
    check(cluster, &["flatten", &snapshot], Errno::EINVAL).await?;
    check(cluster, &["flatten", "--read-only", &child], Errno::EROFS).await?;
    check(cluster, &["rm", &child], Errno::EBUSY).await?;
    Ok(())
}

/// Catalogue row 150 and 10.10 item 10: a manual lock makes operations fail at once instead of looping.
#[tokio::test(flavor = "multi_thread")]
async fn a_manual_lock_makes_maintenance_read_only() -> Result<()> {
    let scenario = Scenario::start(4, 1, &[]).await?;
    let child = format!("rbd/{CHILD}");
    scenario.cluster.rbd_ok(&["lock", "add", &child, "mine"]).await?;
    let calls = [
        scenario.client(1).flatten(no_limits()),
        scenario.client(1).resize(1 << 20, true, no_limits()),
        scenario.client(1).snap_create("s", no_limits()),
    ];
    for call in calls {
        let failure = call.ended(BOUND).await?.unwrap_err();
        assert!(failure.is(Errno::EROFS), "{failure}");
    }
    Ok(())
}

/// Every status of a serving client says which errno it is.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_serving_client_carry_error_info() -> Result<()> {
    let scenario = Scenario::start(4, 1, &[]).await?;
    let failure = scenario.client(1).snap_remove("absent", no_limits()).ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::ENOENT), "{failure}");
    assert_eq!(failure.errno, 2);
    let size = scenario.content.len() as u64;
    let failure = scenario.client(1).write(size, vec![1]).await.unwrap_err();
    assert!(failure.is(Errno::EINVAL), "a write beyond the end: {failure}");
    let failure = scenario.client(1).write(0, vec![0; (1 << 20) + 1]).await.unwrap_err();
    assert!(failure.errno > 0, "a write above the limit names it: {failure}");
    Ok(())
}

/// Catalogue rows 143, 144 and 145: a protected snapshot is not removed; clones of format 2 do not hinder its unprotect.
#[tokio::test(flavor = "multi_thread")]
async fn protection_is_refused_with_the_right_errno() -> Result<()> {
    let scenario = Scenario::start(4, 1, &[]).await?;
    let cluster = &scenario.cluster;
    let (snapshot, absent) = (format!("rbd/{PARENT}@{SNAPSHOT}"), format!("rbd/{PARENT}@absent"));
    for verb in ["protect", "unprotect", "rm"] {
        check(cluster, &["snap", verb, &absent], Errno::ENOENT).await?;
    }
    check(cluster, &["snap", "protect", &snapshot], Errno::EBUSY).await?;
    check(cluster, &["snap", "rm", &snapshot], Errno::EBUSY).await?;
    assert_eq!(scenario.client(1).flatten(no_limits()).ended(BOUND).await?, Ok(1));
    cluster.rbd_ok(&["snap", "unprotect", &snapshot]).await?;
    check(cluster, &["snap", "unprotect", &snapshot], Errno::EINVAL).await?;
    cluster.rbd_ok(&["snap", "rm", &snapshot]).await?;
    check(cluster, &["snap", "rm", &snapshot], Errno::ENOENT).await
}
