//! A manual clock over real gRPC: everything that a timeout decides happens when time is made to pass, and nobody who lives
//! is harmed by it.

mod common;

use std::time::Duration;

use clock::Clock;
use common::{Osd, Watcher, connect, create, events, notify, session, vector, wait_for};
use osd_sim::fault::{Action, Condition, Direction, Rule};
use osd_sim::{Config, Server};
use proto::clock::v1::{AdvanceClockRequest, GetClockRequest};
use proto::osd::v1::{self as wire, watch_event::Event, watch_request::Request};
use rpc::clock::clock_client::ClockClient;
use tokio::task::JoinHandle;
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);

fn start() -> Server {
    Server::start(Config { clock: Clock::manual(), enable_faults: true, ..Config::default() })
}

/// A client with a watch on "header", which is created by the first one.
async fn watcher(server: &Server, cookie: u64, timeout: Duration) -> (u64, Osd, Watcher) {
    let mut osd = connect(server).await;
    let gid = session(&mut osd).await;
    // The next client finds it there.
    let _ = osd.operate(vector(gid, 1, "header", vec![create()])).await;
    let mut watcher = Watcher::open(&mut osd, gid).await;
    let (pool, object) = ("rbd".to_owned(), "header".to_owned());
    let timeout_ms = u64::try_from(timeout.as_millis()).expect("a short time");
    watcher.say(Request::Register(wire::Register { pool, object, cookie, timeout_ms }));
    assert_eq!(watcher.result().await, (cookie, None));
    (gid, osd, watcher)
}

/// Answers each ask with a ping, and nothing else; ends with the stream.
fn stay_alive(mut watcher: Watcher) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok(Some(event)) = watcher.event().await {
            if matches!(event, Event::Ask(_)) {
                watcher.say(Request::Ping(wire::Ping { sequence: 0 }));
            }
        }
    })
}

async fn watchers(osd: &mut Osd) -> Vec<u64> {
    let request = wire::ListWatchersRequest { pool: "rbd".to_owned(), object: "header".to_owned() };
    let reply = osd.list_watchers(request).await.expect("the object is there").into_inner();
    reply.watchers.into_iter().map(|watcher| watcher.gid).collect()
}

#[tokio::test]
async fn a_silent_watch_expires_at_its_time_and_a_live_one_survives_ten_minutes() {
    let server = start();
    let (live, mut osd, stream) = watcher(&server, 1, Duration::ZERO).await;
    stay_alive(stream);
    let (silent, _other, _unread) = watcher(&server, 1, Duration::ZERO).await;
    let mut log = events(&mut osd, 0).await;

    let unheard = server.clock().advance(SECOND * 29).await.expect("the clock is manual");
    assert_eq!(unheard.iter().map(|watch| watch.gid).collect::<Vec<_>>(), [silent]);
    assert_eq!(watchers(&mut osd).await, [live, silent]);
    let unheard = server.clock().advance(SECOND).await.expect("the clock is manual");
    assert_eq!(unheard, []);
    assert_eq!(watchers(&mut osd).await, [live]);
    let expired = wait_for(&mut log, "watch_expired").await;
    assert_eq!((expired.gid, expired.time_ms), (silent, 30_000));

    let unheard = server.clock().advance(SECOND * 600).await.expect("the clock is manual");
    assert_eq!((unheard, watchers(&mut osd).await), (Vec::new(), vec![live]));
    assert_eq!(server.clock().passed(), SECOND * 630);
}

/// The steps are those that the shortest watch can bear.
#[tokio::test]
async fn a_live_watch_with_a_short_timeout_survives_too() {
    let server = start();
    let (live, mut osd, stream) = watcher(&server, 1, SECOND * 2).await;
    stay_alive(stream);
    assert_eq!(server.clock().advance(SECOND * 60).await.expect("the clock is manual"), []);
    assert_eq!(watchers(&mut osd).await, [live]);
}

#[tokio::test]
async fn a_notify_times_out_when_its_time_has_passed() {
    let server = start();
    let (gid, mut osd, stream) = watcher(&server, 1, Duration::ZERO).await;
    stay_alive(stream);
    let mut log = events(&mut osd, 0).await;
    let mut notifier = osd.clone();
    let asking =
        tokio::spawn(async move { notifier.notify(notify(gid, "header", b"hello".to_vec(), 30_000)).await });
    wait_for(&mut log, "notify_sent").await;
    server.clock().advance(Duration::from_millis(29_999)).await.expect("the clock is manual");
    server.clock().advance(Duration::from_millis(1)).await.expect("the clock is manual");
    let reply = asking.await.expect("it does not panic").expect("it ran").into_inner();
    assert!(reply.timed_out);
    assert_eq!(reply.missed, [wire::WatchId { gid, cookie: 1 }]);
    assert_eq!(wait_for(&mut log, "notify_done").await.time_ms, 30_000);
}

#[tokio::test]
async fn a_blocklist_entry_and_an_unused_session_end_when_their_time_has_passed() {
    let server = start();
    let mut osd = connect(&server).await;
    let unused = session(&mut osd).await;
    let mut log = events(&mut osd, 0).await;
    let fence = wire::BlocklistAddRequest { gid: unused + 1, ..Default::default() };
    osd.blocklist_add(fence).await.expect("an operator may fence");
    server.clock().advance(SECOND * 3600).await.expect("the clock is manual");
    let ended = wait_for(&mut log, "session_ended").await;
    assert_eq!((ended.gid, ended.time_ms), (unused, 600_000));
    let removed = wait_for(&mut log, "blocklist_removed").await;
    assert_eq!((removed.gid, removed.time_ms), (unused + 1, 3_600_000));
    let listed = osd.blocklist_list(wire::BlocklistListRequest {}).await.expect("it lists").into_inner();
    assert_eq!(listed.entries, []);
}

#[tokio::test]
async fn what_a_fault_delays_goes_on_when_its_time_has_passed() {
    let server = start();
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let mut log = events(&mut osd, 0).await;
    let creates = Condition { op: Some("create".to_owned()), ..Condition::all(Direction::Request) };
    server.faults().add(Rule::new(creates, Action::Delay(osd::Millis(20_000)))).expect("faults are on");
    let mut delayed = osd.clone();
    let creating =
        tokio::spawn(async move { delayed.operate(vector(gid, 1, "object", vec![create()])).await });
    wait_for(&mut log, "fault").await;
    server.clock().advance(SECOND * 20).await.expect("the clock is manual");
    creating.await.expect("it does not panic").expect("it went on");
    assert_eq!(wait_for(&mut log, "applied").await.time_ms, 20_000);
}

#[tokio::test]
async fn a_stream_that_is_lost_is_not_waited_for_and_its_grace_passes() {
    let server = start();
    let (_, mut osd, stream) = watcher(&server, 1, Duration::ZERO).await;
    let mut log = events(&mut osd, 0).await;
    drop(stream);
    wait_for(&mut log, "watch_lost").await;
    assert_eq!(server.clock().advance(SECOND * 5).await.expect("the clock is manual"), []);
    assert_eq!(wait_for(&mut log, "watch_expired").await.time_ms, 500, "no deadline is jumped over");
}

#[tokio::test]
async fn a_real_clock_is_shown_and_cannot_be_advanced() {
    let server = Server::start(Config::ci());
    let mut clock = ClockClient::new(common::channel(&server).await);
    let shown = clock.get_clock(GetClockRequest {}).await.expect("it can be asked").into_inner();
    assert_eq!((shown.manual, shown.step_ms, shown.step_below_ms), (false, 500, 3000));
    let request = AdvanceClockRequest { by_ms: 1000, ..Default::default() };
    let refused = clock.advance_clock(request).await.expect_err("the clock is real");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let error = rpc::status::to_error(&refused).expect("it comes from the OSD");
    assert_eq!(error.name, "EPERM");
    assert!(error.text.contains("--clock manual"), "{}", error.text);
}

#[tokio::test]
async fn an_advance_that_breaks_a_rule_is_refused_by_name_and_nothing_moves() {
    let server = start();
    let mut clock = ClockClient::new(common::channel(&server).await);
    let request = |by_ms, step_ms, patience_ms| AdvanceClockRequest { by_ms, step_ms, patience_ms };
    for (request, rule) in [
        (request(0, 0, 0), "by_ms is 0"),
        (request(u64::MAX, 0, 0), "ADVANCE_MAX"),
        (request(60_000, 30_000, 0), "step_ms 30000 is not below the shortest watch timeout"),
        (request(60_000_000, 1, 0), "ADVANCE_STEPS_MAX"),
        (request(1, 0, 60_001), "PATIENCE_MAX"),
    ] {
        let refused = clock.advance_clock(request).await.expect_err("a rule is broken");
        let error = rpc::status::to_error(&refused).expect("it comes from the OSD");
        assert_eq!(error.name, "EINVAL");
        assert!(error.text.contains(rule), "{rule}: {}", error.text);
    }
    assert_eq!(server.clock().passed(), Duration::ZERO);
    let reply = clock.advance_clock(request(7, 0, 0)).await.expect("it is fine").into_inner();
    assert_eq!(reply.now_ms, 7);
}
