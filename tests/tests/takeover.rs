//! Owners and requesters that die, freeze, or leave.

use anyhow::{Context, Result};
use errno::Errno;
use harness::{
    cluster::{Cluster, Preset},
    osd::spec,
    remote::no_limits,
    wait::until,
};
use proto::rbd::v1::CallLimits;
use system_tests::scenario::{BOUND, CHILD, OBJECT_BYTES, ONE_AT_A_TIME, Scenario};

/// Catalogue row 4 and 10.10 item 7 across processes. Guards I1, I3, I4, I5.
#[tokio::test(flavor = "multi_thread")]
async fn requester_finishes_the_flatten_when_the_owner_is_killed() -> Result<()> {
    let mut scenario = Scenario::start(256, 2, &ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let (owner, requester) = (scenario.client(1).gid, scenario.client(2).gid);
    let call = scenario.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    scenario.client(1).process.kill()?;
    let end = call.ended(BOUND).await?;
    assert!(matches!(end, Ok(2..)), "{end:?}");
    assert!(call.restarts()[0].starts_with("ERESTART"), "{:?}", call.restarts());
    assert_eq!(call.placements().first(), Some(&true));
    assert_eq!(call.placements().last(), Some(&false));

    let story = scenario.story().await?;
    let expired = story.first("watch_expired", owner).context("the dead owner's watch expired")?.sequence;
    let fenced = story.first("blocklisted", owner).context("the dead owner was fenced")?.sequence;
    let broken = story.of_kind("lock_broken").first().context("its lock was broken")?.sequence;
    let taken = story.first("lock", requester).context("the requester took the lock")?.sequence;
    assert!(expired < fenced && fenced < broken && broken < taken, "{expired} {fenced} {broken} {taken}");
    assert_eq!(scenario.cluster.blocklist().await?, [owner]);
    scenario.check_content().await?;
    scenario.check_detached().await
}

/// The lock changes hands in the middle: AsyncComplete(ERESTART), once round the loop, success. Guards I3, I4.
#[tokio::test(flavor = "multi_thread")]
async fn a_flatten_cancelled_by_a_hand_over_starts_over_and_ends() -> Result<()> {
    let mut scenario = Scenario::start(256, 3, &ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let call = scenario.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    scenario.write(3, 200 * OBJECT_BYTES, b"from client 3").await?;
    let end = call.ended(BOUND).await?;
    assert!(matches!(end, Ok(2..)), "{end:?}");
    let story = scenario.story().await?;
    let cancelled = Errno::ERESTART.result();
    assert!(
        story.completions(scenario.client(2).gid).contains(&cancelled),
        "AsyncComplete(ERESTART) was sent"
    );
    assert!(story.of_kind("lock_broken").is_empty(), "nobody was fenced");
    scenario.check_content().await?;
    scenario.check_detached().await
}

/// Guards I6: the owner goes on, finishes, and keeps nothing of a requester that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_requester_killed_in_the_middle_leaves_nothing_behind_at_the_owner() -> Result<()> {
    let cluster = Cluster::start_with(Preset::Ci, &["--osd-client-session-timeout", "1s"], &[]).await?;
    let mut scenario = Scenario::start_on(cluster, 256, 2, &ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let (owner, requester) = (scenario.client(1).gid, scenario.client(2).gid);
    let call = scenario.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    scenario.client(2).process.kill()?;
    until("the owner's flatten", BOUND, || async {
        Ok(scenario.client(1).info().await?.parent.is_none().then_some(()))
    })
    .await?;
    let record = format!("done_{requester}.");
    assert_eq!(
        scenario.cluster.header_keys(&scenario.header, &record).await?.len(),
        1,
        "it ended and says so"
    );
    until("the requester's session to end", BOUND, || async {
        let sessions = scenario.cluster.sessions().await?;
        Ok(sessions.iter().all(|session| session.gid != requester).then_some(()))
    })
    .await?;
    let watchers = scenario.cluster.watchers(&scenario.header).await?;
    assert_eq!(watchers.iter().map(|watcher| watcher.gid).collect::<Vec<_>>(), [owner]);
    // Whoever takes the lock next throws away what belongs to nobody.
    scenario.client(1).acquire_lock().await?;
    scenario.client(1).release_lock().await?;
    scenario.client(1).acquire_lock().await?;
    until("the requester's record to go", BOUND, || async {
        let left = scenario.cluster.header_keys(&scenario.header, &record).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    assert!(scenario.cluster.blocklist().await?.is_empty());
    scenario.check_content().await
}

/// Catalogue row 170. Guards I6.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_closes_cleanly_leaves_no_lock_and_no_watch() -> Result<()> {
    let mut scenario = Scenario::start(4, 2, &[]).await?;
    scenario.make_owner(1).await?;
    assert_eq!(scenario.cluster.watchers(&scenario.header).await?.len(), 2);
    let owner = scenario.client(1).gid;
    scenario.client(1).process.terminate()?;
    let status = scenario.client_mut(1).process.ended(BOUND).await?;
    assert!(status.success(), "{status}");
    assert!(scenario.cluster.lock(&scenario.header).await?.lockers.is_empty());
    let watchers = scenario.cluster.watchers(&scenario.header).await?;
    assert_eq!(watchers.iter().map(|watcher| watcher.gid).collect::<Vec<_>>(), [scenario.client(2).gid]);
    assert!(scenario.cluster.sessions().await?.iter().all(|session| session.gid != owner));
    assert!(scenario.cluster.blocklist().await?.is_empty(), "nobody had to be fenced");
    // The other one takes over without waiting for anybody's death.
    scenario.make_owner(2).await?;
    assert!(scenario.story().await?.of_kind("lock_broken").is_empty());
    Ok(())
}

/// Catalogue row 169 and 10.10 item 11. Guards I1.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_wakes_up_fenced_and_works_again_after_reopen() -> Result<()> {
    let mut scenario = Scenario::start(16, 2, &[]).await?;
    scenario.make_owner(1).await?;
    scenario.client(1).process.freeze().await?;
    scenario.write(2, OBJECT_BYTES, b"from client 2").await?;
    scenario.client(1).process.wake()?;
    let failure = scenario.client(1).write(OBJECT_BYTES, b"too late".to_vec()).await.unwrap_err();
    assert!(failure.is(Errno::EBLOCKLISTED), "{failure}");
    let gid = scenario.client(1).reopen().await?;
    assert_ne!(gid, scenario.client(1).gid);
    scenario.write(1, 2 * OBJECT_BYTES, b"from client 1 again").await?;
    scenario.check_content().await
}

/// `--attempts 1` shows ERESTART: the owner died in the middle and the call may not go round.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_attempt_a_dead_owner_is_erestart() -> Result<()> {
    let mut scenario = Scenario::start(256, 2, &ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let call = scenario.client(2).flatten(CallLimits { attempts_max: 1, deadline_ms: 0 });
    call.progress_beyond(25, BOUND).await?;
    scenario.client(1).process.kill()?;
    let failure = call.ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::ERESTART), "{failure}");
    assert_eq!(failure.errno, 85);
    Ok(())
}

/// `--attempts 1` shows ETIMEDOUT: a lock owner that is alive for the OSD and answers nobody.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_attempt_a_silent_owner_is_etimedout() -> Result<()> {
    let mut scenario = Scenario::start(8, 1, &["--osd-client-watch-timeout", "60s"]).await?;
    scenario.make_owner(1).await?;
    scenario.client(1).process.freeze().await?;
    let output = scenario.cluster.rbd(&["flatten", "--no-progress", "--attempts", "1", &spec(CHILD)]).await?;
    assert_eq!(output.status, Errno::ETIMEDOUT.number(), "{output:?}");
    assert!(output.stderr.contains("ETIMEDOUT"), "{output:?}");
    Ok(())
}
