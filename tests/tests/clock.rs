//! Ceph's own constants on manual clocks, across processes: what takes half a minute there takes moments here, and nobody who
//! lives is harmed by the time that passes.

use anyhow::{Context, Result};
use errno::Errno;
use harness::{
    client::Client,
    cluster::{Cluster, Preset},
    remote::no_limits,
};
use proto::{
    clock::v1::AdvanceClockRequest,
    rbd::v1::{CallLimits, ClientEvent, EventsRequest, client_event},
};
use rpc::{Network, clock::clock_client::ClockClient};
use system_tests::scenario::{BOUND, OBJECT_BYTES, Scenario};
use tokio::time::timeout;
use tonic::Streaming;

const MANUAL: [&str; 2] = ["--clock", "manual"];

/// Seconds that may pass until a requester has noticed, tried again and fenced: a few retry delays of 1 s.
const SECONDS_MAX: usize = 20;

async fn start(objects: u64, clients: usize) -> Result<Scenario> {
    let cluster = Cluster::start_with(Preset::Ceph, &MANUAL, &[]).await?;
    let options = ["--clock", "manual", "--rbd-concurrent-management-ops", "1"];
    Scenario::start_on(cluster, objects, clients, &options).await
}

/// Lets time pass, second by second, until something like this has happened at the OSD.
async fn pass_until(scenario: &Scenario, clients: &[&Client], kind: &str) -> Result<()> {
    for _ in 0..SECONDS_MAX {
        if !scenario.story().await?.events().iter().any(|event| event.kind == kind) {
            scenario.cluster.advance("1s", clients).await?;
        }
    }
    let story = scenario.story().await?;
    let happened = story.events().iter().any(|event| event.kind == kind);
    anyhow::ensure!(happened, "no {kind} after {SECONDS_MAX} s");
    Ok(())
}

/// The watch timeout of 30 s and the requester's 30 s without progress, in the order in which Ceph has them. Guards I1, I3, I4,
/// I5.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_freezes_in_a_forwarded_flatten_is_replaced_after_thirty_seconds() -> Result<()> {
    let mut scenario = start(256, 3).await?;
    scenario.make_owner(1).await?;
    let (owner, requester) = (scenario.client(1).gid, scenario.client(2).gid);
    let alive = [scenario.client(2), scenario.client(3)];
    let call = scenario.client(2).flatten(no_limits());
    call.progress_beyond(25, BOUND).await?;
    scenario.client(1).process.freeze().await?;

    assert_eq!(scenario.cluster.advance("29s", &alive).await?, [owner]);
    assert!(scenario.story().await?.first("watch_expired", owner).is_none(), "its time is not over");
    assert_eq!(call.restarts(), [""; 0], "neither is the requester's");
    assert_eq!(scenario.cluster.advance("1s", &alive).await?, [0; 0], "the owner's watch has expired");
    pass_until(&scenario, &alive, "blocklisted").await?;
    let end = call.ended(BOUND).await?;
    assert_eq!(end, Ok(2), "{:?}", call.restarts());
    assert_eq!(call.restarts(), ["ERESTART: no progress at the lock owner for 30s"]);
    assert_eq!(call.placements(), [true, false]);

    let story = scenario.story().await?;
    let expired = story.first("watch_expired", owner).context("the frozen owner's watch expired")?;
    let fenced = story.first("blocklisted", owner).context("the frozen owner was fenced")?;
    let broken = story.of_kind("lock_broken").first().context("its lock was broken")?.sequence;
    let taken = story.first("lock", requester).context("the requester took the lock")?.sequence;
    assert_eq!(expired.time_ms, 30_000);
    assert!(expired.sequence < fenced.sequence && fenced.sequence < broken && broken < taken);
    assert_eq!(scenario.cluster.blocklist().await?, [owner]);
    let watchers = scenario.cluster.watchers(&scenario.header).await?;
    assert_eq!(
        watchers.iter().map(|watcher| watcher.gid).collect::<Vec<_>>(),
        alive.map(|client| client.gid)
    );
    scenario.check_content().await?;
    scenario.check_detached().await
}

/// Time that passes does not kill those who are alive. Guards I1, I6.
#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes_in_one_call_kill_nobody_and_the_owner_stays_owner() -> Result<()> {
    let mut scenario = start(8, 3).await?;
    scenario.make_owner(1).await?;
    let before = scenario.cluster.watchers(&scenario.header).await?;
    let clients: Vec<&Client> = scenario.clients.iter().collect();
    assert_eq!(scenario.cluster.advance("10m", &clients).await?, [0; 0]);
    let after = scenario.cluster.watchers(&scenario.header).await?;
    let ids = |watchers: &[proto::osd::v1::Watcher]| {
        watchers.iter().map(|watcher| (watcher.gid, watcher.cookie)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&before), ids(&after), "no watch was registered anew");
    let held = scenario.client(1).lock_owner().await?.context("somebody owns the lock")?;
    assert!(held.is_self);
    let call = scenario.client(2).flatten(no_limits());
    assert_eq!(call.ended(BOUND).await?, Ok(1));
    assert_eq!(call.placements(), [true], "it was forwarded to the owner");
    let story = scenario.story().await?;
    for kind in ["watch_lost", "watch_expired", "blocklisted", "lock_broken"] {
        assert!(!story.events().iter().any(|event| event.kind == kind), "{kind}");
    }
    scenario.check_content().await?;
    scenario.check_detached().await
}

/// Guards I5: what the caller bounded ends at its bound, by the clock of his client.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_over_when_its_time_has_passed_and_not_before() -> Result<()> {
    let mut scenario = start(8, 2).await?;
    scenario.make_owner(1).await?;
    scenario.client(1).process.freeze().await?;
    let alive = [scenario.client(2)];
    let (log, requester) = (&scenario.cluster.log, scenario.client(2).gid);
    let before = log.catch_up().await?;
    let call = scenario.client(2).flatten(CallLimits { attempts_max: 0, deadline_ms: 20_000 });
    let is_request = |event: &proto::osd::v1::Event| event.kind == "notify" && event.gid == requester;
    log.wait_for(before, BOUND, "the request", is_request).await?;
    scenario.cluster.advance("19s", &alive).await?;
    assert_eq!(call.end(), None);
    scenario.cluster.advance("1s", &alive).await?;
    let failure = call.ended(BOUND).await?.unwrap_err();
    assert!(failure.is(Errno::ETIMEDOUT) && failure.text.contains("20s"), "{failure}");
    let served = scenario.client(2).read(0, OBJECT_BYTES).await?;
    assert_eq!(served.len() as u64, OBJECT_BYTES, "the client goes on");
    Ok(())
}

/// A client's own watch in its own time: an OSD that is frozen is given up after `objecter_timeout` = 15 s and not before, and
/// found again when it wakes up. Guards I5.
#[tokio::test(flavor = "multi_thread")]
async fn an_osd_that_does_not_answer_is_given_up_when_its_time_has_passed() -> Result<()> {
    let scenario = start(4, 1).await?;
    let client = scenario.client(1);
    let handle = client.info().await?.watch_handle;
    let mut events = client.stub().events(EventsRequest {}).await?.into_inner();
    let mut clock = ClockClient::new(Network::tcp(BOUND).connect(&client.address).await?);
    let five_seconds = AdvanceClockRequest { by_ms: 5_000, step_ms: 0, patience_ms: 100 };

    scenario.cluster.process.freeze().await?;
    for _ in 0..2 {
        let silent = clock.advance_clock(five_seconds).await?.into_inner().silent;
        let ids: Vec<_> = silent.iter().map(|watch| (watch.gid, watch.cookie)).collect();
        assert_eq!(ids, [(client.gid, handle)]);
    }
    clock.advance_clock(five_seconds).await?;
    assert_eq!(watch_state(&mut events).await?, "interrupted");
    scenario.cluster.process.wake()?;
    assert_eq!(watch_state(&mut events).await?, "resumed");
    assert_eq!(scenario.cluster.advance("10m", &[client]).await?, [0; 0]);
    assert_eq!(client.info().await?.watch_handle, handle);
    Ok(())
}

/// The next change of the client's watch.
async fn watch_state(events: &mut Streaming<ClientEvent>) -> Result<String> {
    let next = async {
        loop {
            let event = events.message().await?.context("the stream of events goes on")?;
            if let Some(client_event::Event::WatchState(watch)) = event.event {
                return anyhow::Ok(watch.state);
            }
        }
    };
    timeout(BOUND, next).await.context("a change of the watch")?
}
