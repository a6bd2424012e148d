//! The server over real gRPC: what only the transport can get wrong.

mod common;

use common::{Osd, Watcher, ack_of, connect, create, events, notify, session, vector, wait_for};
use osd_sim::{Config, Server};
use proto::osd::v1::{self as wire, op::Op as W};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

#[tokio::test]
async fn what_was_written_is_read() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let data = bytes::Bytes::from(vec![7; 4 << 20]);
    let write = W::Write(wire::Write { offset: 0, data: data.clone() });
    osd.operate(vector(gid, 1, "object", vec![write])).await.expect("it is written");
    let read = W::Read(wire::Read { offset: 0, length: 0 });
    let reply = osd.operate(vector(0, 0, "object", vec![read])).await.expect("it is read").into_inner();
    let Some(wire::op_result::Result::Read(read)) = &reply.results[0].result else { panic!("{reply:?}") };
    assert!(read.data == data);
    server.stop().await;
}

#[tokio::test]
async fn a_unary_error_carries_its_name_and_the_failing_op() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let ops = vec![W::AssertExists(wire::AssertExists {}), W::Remove(wire::Remove {})];
    let status = osd.operate(vector(gid, 1, "nothing", ops)).await.expect_err("there is no such object");
    assert_eq!(status.code(), Code::NotFound);
    let error = rpc::status::to_error(&status).expect("it comes from the OSD");
    assert_eq!((error.name.as_str(), error.number, error.failed_op), ("ENOENT", 2, Some(0)));
    assert!(error.text.contains("rbd/nothing"), "{}", error.text);
}

#[tokio::test]
async fn an_op_stream_goes_on_after_ops_that_fail() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let unknown =
        wire::OperateRequest { ops: vec![wire::Op { op: None }], ..vector(gid, 2, "object", vec![]) };
    let nowhere =
        wire::OperateRequest { pool: "nowhere".to_owned(), ..vector(gid, 3, "object", vec![create()]) };
    let ended = vector(gid + 1, 1, "object", vec![create()]);
    let requests = vec![vector(gid, 1, "object", vec![W::Remove(wire::Remove {})]), unknown, nowhere, ended];
    let requests = [requests, vec![vector(gid, 4, "object", vec![create()])]].concat();
    let mut replies = osd.operate_stream(tokio_stream::iter(requests)).await.expect("it opens").into_inner();
    let mut names = Vec::new();
    while let Some(reply) = replies.message().await.expect("the stream does not fail") {
        names.push(reply.error.map_or_else(String::new, |error| error.name));
    }
    assert_eq!(names, ["ENOENT", "EINVAL", "ENOENT", "ENOTCONN", ""]);
}

#[tokio::test]
async fn an_answer_lost_with_its_connection_is_given_again() {
    let server = Server::start(Config::ci());
    let mut first = connect(&server).await;
    let gid = session(&mut first).await;
    let (requests, stream) = mpsc::unbounded_channel();
    let replies = first.operate_stream(UnboundedReceiverStream::new(stream)).await.expect("it opens");
    requests.send(vector(gid, 1, "object", vec![create()])).expect("the stream is open");
    let mut second = connect(&server).await;
    let mut log = events(&mut second, 0).await;
    wait_for(&mut log, "applied").await;
    drop((replies, requests, first));
    let reply = second.operate(vector(gid, 1, "object", vec![create()])).await;
    assert!(reply.expect("the first result is reported").into_inner().version > 0);
    wait_for(&mut log, "duplicate").await;
}

#[tokio::test]
async fn a_notify_reaches_a_watcher_and_brings_back_its_ack() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut watcher = Watcher::open(&mut osd, gid).await;
    watcher.register("header", 1);
    assert_eq!(watcher.result().await, (1, None));
    let mut notifier = osd.clone();
    let asking = async { notifier.notify(notify(gid, "header", b"hello".to_vec(), 5000)).await };
    let answering = async {
        let Ok(Some(wire::watch_event::Event::Notify(heard))) = watcher.event().await else {
            panic!("no notify")
        };
        watcher.say(ack_of(&heard));
    };
    let (reply, ()) = tokio::join!(asking, answering);
    let reply = reply.expect("it ran").into_inner();
    assert!(!reply.timed_out && reply.missed.is_empty());
    assert_eq!(reply.replies, [wire::NotifyAnswer { gid, cookie: 1, payload: "hello".into() }]);
}

#[tokio::test]
async fn a_stream_that_ends_without_unwatch_is_a_loss() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut log = events(&mut osd, 0).await;
    let mut watcher = Watcher::open(&mut osd, gid).await;
    watcher.register("header", 1);
    assert_eq!(watcher.result().await, (1, None));
    drop(watcher);
    wait_for(&mut log, "watch_lost").await;
    let expired = wait_for(&mut log, "watch_expired").await;
    assert_eq!((expired.gid, expired.cookie), (gid, 1));
}

#[tokio::test]
async fn a_notify_finishes_although_its_caller_has_gone() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut log = events(&mut osd, 0).await;
    let mut watcher = Watcher::open(&mut osd, gid).await;
    watcher.register("header", 1);
    assert_eq!(watcher.result().await, (1, None));
    let mut other = connect(&server).await;
    let asking = tokio::spawn(async move { other.notify(notify(gid, "header", Vec::new(), 100)).await });
    wait_for(&mut log, "notify_sent").await;
    asking.abort();
    assert_eq!(wait_for(&mut log, "notify_done").await.error, "ETIMEDOUT");
}

#[tokio::test]
async fn a_full_queue_cuts_only_its_stream() {
    let server = Server::start(Config { watch_queue_events_max: 4, ..Config::ci() });
    let mut osd = connect(&server).await;
    let (stuck_gid, gid) = (session(&mut osd).await, session(&mut osd).await);
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut log = events(&mut osd, 0).await;
    let mut stuck = Watcher::open(&mut connect(&server).await, stuck_gid).await;
    stuck.register("header", 1);
    assert_eq!(stuck.result().await, (1, None));
    let mut quick = Watcher::open(&mut connect(&server).await, gid).await;
    quick.register("header", 2);
    assert_eq!(quick.result().await, (2, None));
    // Nobody reads the first stream: what the transport does not take waits in the queue until that is full.
    let mut lost = false;
    for _ in 0..64 {
        let mut notifier = osd.clone();
        let asking =
            tokio::spawn(async move { notifier.notify(notify(gid, "header", vec![0; 2 << 20], 1)).await });
        let heard = quick.event().await.expect("the second stream is not cut");
        assert!(matches!(heard, Some(wire::watch_event::Event::Notify(_))), "{heard:?}");
        asking.await.expect("it does not panic").expect("it ran");
        let mut known =
            osd.events(wire::EventsRequest { after: 0, until_now: true }).await.expect("a log").into_inner();
        while let Some(event) = known.message().await.expect("the log goes on") {
            lost |= event.kind == "watch_lost" && event.gid == stuck_gid;
            assert!(event.kind != "watch_lost" || event.gid == stuck_gid, "{event:?}");
        }
        if lost {
            break;
        }
    }
    assert_eq!(wait_for(&mut log, "watch_lost").await.gid, stuck_gid);
    let ended = loop {
        match stuck.event().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    let error = rpc::status::to_error(&ended.expect_err("it was cut")).expect("by the OSD");
    assert_eq!(error.name, "EAGAIN");
    assert!(error.text.contains("watch_queue_events_max"), "{}", error.text);
}

#[tokio::test]
async fn a_watch_stream_begins_with_hello() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let ping = wire::watch_request::Request::Ping(wire::Ping { sequence: 1 });
    let requests = tokio_stream::iter([wire::WatchRequest { request: Some(ping) }]);
    let mut down = osd.watch(requests).await.expect("it opens").into_inner();
    let error = rpc::status::to_error(&down.message().await.expect_err("it is refused")).expect("by the OSD");
    assert_eq!(error.name, "EINVAL");
    assert!(error.text.contains("Hello"), "{}", error.text);
}

#[tokio::test]
async fn stopping_ends_the_streams_and_completes_the_events_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.jsonl");
    let server = Server::start(Config { events_file: Some(file.clone()), ..Config::ci() });
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let mut watcher = Watcher::open(&mut osd, gid).await;
    osd.operate(vector(gid, 1, "object", vec![create()])).await.expect("it is created");
    server.stop().await;
    assert!(!matches!(watcher.event().await, Ok(Some(_))), "the stream has ended");
    let lines = std::fs::read_to_string(file).expect("it was written");
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let sequences: Vec<u64> = events.iter().filter_map(|event| event["sequence"].as_u64()).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    let applied = events.iter().find(|event| event["kind"] == "applied").expect("it was applied");
    assert_eq!((&applied["gid"], &applied["detail"]), (&gid.into(), &"create".into()));
}

#[tokio::test]
async fn a_server_whose_events_file_cannot_be_written_goes_on() {
    let server = Server::start(Config { events_file: Some("/dev/full".into()), ..Config::ci() });
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "object", vec![create()])).await.expect("it is created");
    osd.operate(vector(gid, 2, "object", Vec::new())).await.expect("it is there");
    server.stop().await;
}

#[tokio::test]
async fn notifies_of_the_largest_size_leave_a_whole_events_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.jsonl");
    let server = Server::start(Config { events_file: Some(file.clone()), ..Config::ci() });
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    for _ in 0..12 {
        osd.notify(notify(gid, "header", vec![0; 16 << 20], 1000)).await.expect("nobody watches");
    }
    server.stop().await;
    let lines = std::fs::read_to_string(file).expect("it was written");
    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(events.iter().all(|event| event["kind"] != "gap"));
    let notifies: Vec<_> = events.iter().filter(|event| event["kind"] == "notify").collect();
    assert_eq!(notifies.len(), 12);
    assert_eq!(notifies[0]["payload_bytes"], 16 << 20);
    assert_eq!(notifies[0]["payload_hex"].as_str().map(str::len), Some(2 * 4096));
}

/// A stream with so many watches on "header", in a server that allows them.
async fn many_watches(server: &Server, count: u64) -> (Osd, u64, Watcher) {
    let mut osd = connect(server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut watcher = Watcher::open(&mut osd, gid).await;
    for cookie in 1..=count {
        watcher.register("header", cookie);
        assert_eq!(watcher.result().await, (cookie, None));
    }
    (osd, gid, watcher)
}

#[tokio::test]
async fn a_notify_reaches_five_thousand_watches_of_one_stream() {
    const WATCHES: u64 = 5000;
    let mut config = Config::default();
    config.limits.watches_per_object_max = 5000;
    let server = Server::start(config);
    let (mut osd, gid, mut watcher) = many_watches(&server, WATCHES).await;
    let asking = osd.notify(notify(gid, "header", b"hello".to_vec(), 60_000));
    let answering = async {
        for _ in 0..WATCHES {
            let Ok(Some(wire::watch_event::Event::Notify(heard))) = watcher.event().await else {
                panic!("no notify")
            };
            watcher.say(ack_of(&heard));
        }
    };
    let (reply, ()) = tokio::join!(asking, answering);
    let reply = reply.expect("it ran").into_inner();
    assert_eq!((reply.timed_out, reply.replies.len() as u64), (false, WATCHES));
}

#[tokio::test]
async fn a_notify_that_a_stream_cannot_take_says_that_nobody_heard_it() {
    let server = Server::start(Config { watch_queue_events_max: 64, ..Config::ci() });
    let (mut osd, gid, mut watcher) = many_watches(&server, 100).await;
    let reply = osd.notify(notify(gid, "header", b"hello".to_vec(), 60_000)).await.expect("it ran");
    let reply = reply.into_inner();
    assert_eq!((reply.timed_out, reply.replies.len(), reply.missed.len()), (true, 0, 100));
    let ended = loop {
        match watcher.event().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    let error = rpc::status::to_error(&ended.expect_err("it was cut")).expect("by the OSD");
    assert!(error.text.contains("watch_queue_events_max"), "{}", error.text);
}

#[tokio::test]
async fn a_connection_too_many_waits_until_one_ends() {
    let server = Server::start(Config { connections_max: 1, ..Config::ci() });
    let mut first = connect(&server).await;
    let gid = session(&mut first).await;
    let mut second = connect(&server).await;
    let mut waiting = Box::pin(second.list_pools(wire::ListPoolsRequest {}));
    for tid in 1..=20 {
        first.operate(vector(gid, tid, &tid.to_string(), vec![create()])).await.expect("it is served");
        assert!(futures_util::poll!(&mut waiting).is_pending());
    }
    drop(first);
    assert_eq!(waiting.await.expect("its turn has come").into_inner().pools[0].objects, 20);
}
