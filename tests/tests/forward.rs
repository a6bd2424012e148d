//! Maintenance operations that are forwarded to the lock owner.

use anyhow::Result;
use errno::Errno;
use harness::{osd::spec, remote::no_limits};
use proto::rbd::v1::CallLimits;
use system_tests::scenario::{BOUND, PARENT, Scenario};

/// Catalogue rows 123, 129, 161, 163, 184, 189: run by the owner, detached at both ends. Guards I3 and I4.
#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_flatten_is_run_by_the_owner_and_detaches_both_ends() -> Result<()> {
    let mut scenario = Scenario::start(48, 2, &[]).await?;
    scenario.make_owner(1).await?;
    let (owner, requester) = (scenario.client(1).gid, scenario.client(2).gid);
    let call = scenario.client(2).flatten(no_limits());
    assert_eq!(call.ended(BOUND).await?, Ok(1));
    assert_eq!(call.placements(), [true]);

    let story = scenario.story().await?;
    assert_eq!(story.owners(), [owner], "the requester never owned the lock");
    let requests = story.messages("FlattenPayload");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].1.gid, requester);
    assert_eq!(story.answers(requests[0].1.notify_id), [(owner, 0)]);
    assert!(story.completions(requester).iter().all(|&result| result == 0));
    assert!(!story.completions(requester).is_empty());
    assert!(scenario.client(1).info().await?.parent.is_none());
    assert!(scenario.client(2).info().await?.parent.is_none());
    scenario.check_detached().await?;
    scenario.cluster.rbd_ok(&["rm", "--no-progress", &spec(PARENT)]).await?;
    scenario.check_content().await
}

/// Catalogue row 180: the callback is called with (n, total).
#[tokio::test(flavor = "multi_thread")]
async fn progress_of_a_forwarded_flatten_reaches_the_requester_in_order() -> Result<()> {
    let mut scenario = Scenario::start(64, 2, &system_tests::scenario::ONE_AT_A_TIME).await?;
    scenario.make_owner(1).await?;
    let call = scenario.client(2).flatten(no_limits());
    assert_eq!(call.ended(BOUND).await?, Ok(1));
    let offsets: Vec<u64> = call
        .events()
        .into_iter()
        .filter_map(|event| match event {
            proto::rbd::v1::operation_event::Event::Progress(progress) => {
                assert_eq!(progress.total, 64);
                Some(progress.offset)
            }
            _ => None,
        })
        .collect();
    assert!(!offsets.is_empty());
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert!(offsets.iter().all(|&offset| offset <= 64));
    Ok(())
}

/// Catalogue row 164: resize and snapshots of a follower are run by the owner.
#[tokio::test(flavor = "multi_thread")]
async fn resize_and_snapshots_of_a_follower_are_run_by_the_owner() -> Result<()> {
    let mut scenario = Scenario::start(16, 2, &[]).await?;
    scenario.make_owner(1).await?;
    let follower = scenario.client(2);
    assert_eq!(follower.snap_create("s1", no_limits()).ended(BOUND).await?, Ok(1));
    assert_eq!(follower.resize(2 << 20, true, no_limits()).ended(BOUND).await?, Ok(1));
    let info = scenario.client(1).info().await?;
    assert_eq!(info.size, 2 << 20);
    assert_eq!(info.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect::<Vec<_>>(), ["s1"]);
    assert_eq!(follower.snap_remove("s1", no_limits()).ended(BOUND).await?, Ok(1));
    assert_eq!(follower.info().await?.snapshots, []);
    assert_eq!(scenario.story().await?.owners(), [scenario.client(1).gid]);
    Ok(())
}

/// Catalogue rows 22, 30 and 132 across processes: an error of the owner's run is the error of the follower's call.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_the_owner_ends_the_followers_call_with_its_name() -> Result<()> {
    let mut scenario = Scenario::start(4, 2, &[]).await?;
    scenario.make_owner(1).await?;
    assert_eq!(scenario.client(1).snap_create("s1", no_limits()).ended(BOUND).await?, Ok(1));
    let failure = scenario.client(2).snap_create("s1", no_limits()).ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::EEXIST), "{failure}");
    assert_eq!(failure.errno, Errno::EEXIST.number());
    let failure = scenario.client(2).resize(4096, false, no_limits()).ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::EINVAL), "{failure}");
    Ok(())
}

/// Catalogue row 166: an explicit owner keeps the lock; another writer is refused, and its flatten is forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_owner_refuses_writers_and_runs_their_operations() -> Result<()> {
    let scenario = Scenario::start(8, 2, &[]).await?;
    scenario.client(1).acquire_lock().await?;
    let failure = scenario.client(2).write(0, vec![9]).await.unwrap_err();
    assert!(failure.is(Errno::EROFS), "{failure}");
    assert_eq!(scenario.client(2).flatten(no_limits()).ended(BOUND).await?, Ok(1));
    scenario.client(1).release_lock().await?;
    scenario.client(2).write(0, vec![9]).await?;
    Ok(())
}

/// Catalogue row 176: flatten of an image without parent is an invalid argument, forwarded or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_flatten_finds_no_parent() -> Result<()> {
    let mut scenario = Scenario::start(8, 2, &[]).await?;
    scenario.make_owner(1).await?;
    assert_eq!(scenario.client(2).flatten(no_limits()).ended(BOUND).await?, Ok(1));
    for number in [1, 2] {
        let failure = scenario.client(number).flatten(no_limits()).ended(BOUND).await?.unwrap_err();
        assert!(failure.is(Errno::EINVAL), "client {number}: {failure}");
    }
    Ok(())
}

/// A caller's deadline is honoured although the owner is frozen and nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_that_nobody_answers() -> Result<()> {
    let mut scenario = Scenario::start(8, 2, &["--osd-client-watch-timeout", "60s"]).await?;
    scenario.make_owner(1).await?;
    scenario.client(1).process.freeze().await?;
    let limits = CallLimits { attempts_max: 0, deadline_ms: 1500 };
    let failure = scenario.client(2).flatten(limits).ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::ETIMEDOUT), "{failure}");
    Ok(())
}
