//! What goes on beside a flatten: snapshots, resizes, and watchers that say nothing.

use std::fs;

use anyhow::Result;
use errno::Errno;
use harness::{osd::spec, remote::no_limits};
use system_tests::scenario::{BOUND, CHILD, OBJECT_BYTES, ONE_AT_A_TIME, Scenario};

/// 10.10 item 12: model-checked against a byte array. Guards I2, I4.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_a_resize_in_the_middle_of_a_flatten_keep_every_byte() -> Result<()> {
    const OBJECTS: u64 = 192;
    let mut scenario = Scenario::start(OBJECTS, 3, &ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let call = scenario.client(2).flatten(no_limits());
    call.progress_beyond(10, BOUND).await?;
    assert_eq!(scenario.client(3).snap_create("s", no_limits()).ended(BOUND).await?.map(drop), Ok(()));
    assert_eq!(call.end(), None, "the flatten was still under way");
    let snapshot = scenario.content.clone();
    scenario.write(1, 150 * OBJECT_BYTES, b"after the snapshot").await?;
    scenario.write(1, 3, b"after the snapshot").await?;
    for objects in [96, OBJECTS] {
        let resize = scenario.client(3).resize(objects * OBJECT_BYTES, true, no_limits());
        assert_eq!(resize.ended(BOUND).await?.map(drop), Ok(()));
    }
    // What was cut off reads as zeros, not as the parent's data.
    scenario.content[(96 * OBJECT_BYTES) as usize..].fill(0);
    let end = call.ended(BOUND).await?;
    assert!(end.is_ok(), "{end:?}");
    scenario.check_content().await?;
    let file = scenario.cluster.export(&format!("{CHILD}@s")).await?;
    assert!(fs::read(file)? == snapshot, "the snapshot never changes");
    Ok(())
}

/// 10.10 item 13. Guards I5.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_acks_stops_nobody_else() -> Result<()> {
    let mut scenario = Scenario::start(24, 3, &["--osd-client-watch-timeout", "10min"]).await?;
    let silent = scenario.client(3).gid;
    scenario.client(3).process.freeze().await?;
    scenario.make_owner(1).await?;
    scenario.write(2, OBJECT_BYTES, b"the lock moves").await?;
    let end = scenario.client(1).flatten(no_limits()).ended(BOUND).await?;
    assert!(end.is_ok(), "{end:?}");
    let watchers = scenario.cluster.watchers(&scenario.header).await?;
    assert!(watchers.iter().any(|watcher| watcher.gid == silent), "it watches to the end");
    assert!(scenario.cluster.blocklist().await?.is_empty());
    scenario.check_content().await?;
    scenario.client(3).process.wake()?;
    Ok(())
}

/// Catalogue rows 146 and 185: roll-back is not forwarded: it takes the lock, and fails where the owner keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_followers_roll_back_is_read_only_while_the_owner_keeps_the_lock() -> Result<()> {
    let mut scenario = Scenario::start(4, 1, &[]).await?;
    scenario.make_owner(1).await?;
    assert_eq!(scenario.client(1).snap_create("s", no_limits()).ended(BOUND).await?, Ok(1));
    let before = scenario.content.clone();
    scenario.write(1, OBJECT_BYTES, b"to be rolled back").await?;
    scenario.client(1).acquire_lock().await?;
    let snapshot = format!("{}@s", spec(CHILD));
    let refused = scenario.cluster.rbd(&["snap", "rollback", "--no-progress", &snapshot]).await?;
    assert_eq!(refused.status, Errno::EROFS.number(), "{refused:?}");
    scenario.client(1).release_lock().await?;
    scenario.cluster.rbd_ok(&["snap", "rollback", "--no-progress", &snapshot]).await?;
    scenario.content = before;
    scenario.check_content().await
}
