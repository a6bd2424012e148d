//! Service Faults over real gRPC: what each action does to a client.

mod common;

use common::{Osd, Watcher, ack_of, connect, create, events, names, notify, session, vector, wait_for};
use osd_sim::fault::{Action, Condition, Direction, Rule};
use osd_sim::{Config, Server};
use proto::osd::v1::{self as wire, fault_rule, op::Op as W, watch_event::Event};
use rpc::faults::faults_client::FaultsClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

type Faults = FaultsClient<Channel>;

fn start() -> Server {
    Server::start(Config { enable_faults: true, ..Config::ci() })
}

async fn faults(server: &Server) -> Faults {
    FaultsClient::new(common::channel(server).await)
}

/// A condition for one op or call.
fn on(direction: wire::FaultDirection, op: &str) -> wire::FaultCondition {
    wire::FaultCondition { direction: direction.into(), op: op.to_owned(), ..Default::default() }
}

async fn add(faults: &mut Faults, when: wire::FaultCondition, action: fault_rule::Action) -> u64 {
    let rule =
        wire::FaultRule { when: Some(when), times: Some(1), action: Some(action), ..Default::default() };
    faults.add_rule(wire::AddRuleRequest { rule: Some(rule) }).await.expect("it is valid").into_inner().id
}

async fn listed(faults: &mut Faults) -> Vec<wire::ListedFaultRule> {
    faults.list_rules(wire::ListRulesRequest {}).await.expect("they are on").into_inner().rules
}

async fn release(faults: &mut Faults, id: u64) -> u64 {
    faults.release_held(wire::ReleaseHeldRequest { id }).await.expect("it is there").into_inner().released
}

/// An op stream.
struct Ops {
    up: mpsc::UnboundedSender<wire::OperateRequest>,
    down: Streaming<wire::OperateReply>,
}

impl Ops {
    async fn open(osd: &mut Osd) -> Self {
        let (up, requests) = mpsc::unbounded_channel();
        let down = osd.operate_stream(UnboundedReceiverStream::new(requests)).await.expect("it opens");
        Self { up, down: down.into_inner() }
    }

    fn send(&self, request: wire::OperateRequest) {
        self.up.send(request).expect("the stream is open");
    }

    /// (tid, errno) of the next reply.
    async fn reply(&mut self) -> (u64, String) {
        let reply = self.down.message().await.expect("the stream is whole").expect("it goes on");
        (reply.tid, reply.error.map_or_else(String::new, |error| error.name))
    }
}

fn write(gid: u64, tid: u64, object: &str, data: &'static str) -> wire::OperateRequest {
    vector(gid, tid, object, vec![W::Write(wire::Write { offset: 0, data: data.into() })])
}

async fn content(osd: &mut Osd, object: &str) -> String {
    let read = W::Read(wire::Read { offset: 0, length: 0 });
    let reply = osd.operate(vector(0, 0, object, vec![read])).await.expect("it is there").into_inner();
    match &reply.results[0].result {
        Some(wire::op_result::Result::Read(read)) => String::from_utf8_lossy(&read.data).into_owned(),
        other => panic!("a read gives {other:?}"),
    }
}

/// A server with an object "header" that a client watches under cookie 1.
async fn watched() -> (Server, Osd, u64, Watcher) {
    let server = start();
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(vector(gid, 1, "header", vec![create()])).await.expect("it is created");
    let mut watcher = Watcher::open(&mut connect(&server).await, gid).await;
    watcher.register("header", 1);
    assert_eq!(watcher.result().await, (1, None));
    (server, osd, gid, watcher)
}

/// The payload of the next notify; it is acked.
async fn hear(watcher: &mut Watcher) -> Vec<u8> {
    match watcher.event().await {
        Ok(Some(Event::Notify(heard))) => {
            watcher.say(ack_of(&heard));
            heard.payload.to_vec()
        }
        other => panic!("a notify was due, not {other:?}"),
    }
}

#[tokio::test]
async fn without_the_option_every_call_is_refused() {
    let server = Server::start(Config::ci());
    let mut faults = faults(&server).await;
    let refused = faults.list_rules(wire::ListRulesRequest {}).await.expect_err("they are off");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("--enable-faults"), "{}", refused.message());
    let rule = Rule::new(Condition::all(Direction::Request), Action::Drop);
    assert_eq!(server.faults().add(rule).expect_err("they are off").errno.name(), "EPERM");
}

#[tokio::test]
async fn a_rule_that_can_befall_nothing_is_refused_by_its_part() {
    let server = start();
    let mut faults = faults(&server).await;
    let drop = || Some(fault_rule::Action::Drop(wire::FaultDrop {}));
    let writes = || Some(on(wire::FaultDirection::Request, "write"));
    let unknown = fault_rule::Action::Error(wire::FaultError { name: "EWHAT".to_owned() });
    let base = || wire::FaultRule { when: writes(), action: drop(), ..Default::default() };
    let cases = [
        (wire::FaultRule { when: None, ..base() }, "when is missing"),
        (wire::FaultRule { when: Some(wire::FaultCondition::default()), ..base() }, "direction 0"),
        (wire::FaultRule { action: None, ..base() }, "action is missing"),
        (wire::FaultRule { action: Some(unknown), ..base() }, "errno 'EWHAT'"),
        (wire::FaultRule { times: Some(0), ..base() }, "times 0"),
        (wire::FaultRule { probability: Some(1.5), ..base() }, "probability 1.5"),
        (wire::FaultRule { when: Some(on(wire::FaultDirection::Request, "wriet")), ..base() }, "op 'wriet'"),
    ];
    for (rule, part) in cases {
        let refused = faults.add_rule(wire::AddRuleRequest { rule: Some(rule) }).await.expect_err(part);
        assert_eq!(refused.code(), Code::InvalidArgument, "{part}");
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    assert_eq!(listed(&mut faults).await, []);
}

#[tokio::test]
async fn an_error_is_answered_instead_and_nothing_is_applied() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let full = fault_rule::Action::Error(wire::FaultError { name: "ENOSPC".to_owned() });
    let rule = add(&mut faults, on(wire::FaultDirection::Request, "write"), full).await;
    let refused = osd.operate(write(gid, 1, "object", "lost")).await.expect_err("it is refused");
    assert_eq!(rpc::status::to_error(&refused).expect("by the OSD").name, "ENOSPC");
    assert!(refused.message().contains(&format!("fault rule {rule}")), "{}", refused.message());
    osd.operate(write(gid, 1, "object", "kept")).await.expect("the same tid runs: it never did");
    assert_eq!(content(&mut osd, "object").await, "kept");
    let rules = listed(&mut faults).await;
    assert_eq!((rules[0].id, rules[0].matches, rules[0].hits), (rule, 2, 1));
}

#[tokio::test]
async fn an_error_as_reply_hides_that_the_op_was_applied() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let error = fault_rule::Action::Error(wire::FaultError { name: "EIO".to_owned() });
    add(&mut faults, on(wire::FaultDirection::Reply, "write"), error).await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "there"));
    assert_eq!(ops.reply().await, (1, "EIO".to_owned()));
    assert_eq!(content(&mut osd, "object").await, "there");
}

#[tokio::test]
async fn a_dropped_request_is_swallowed_and_the_stream_goes_on() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    add(
        &mut faults,
        on(wire::FaultDirection::Request, "write"),
        fault_rule::Action::Drop(wire::FaultDrop {}),
    )
    .await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "lost"));
    ops.send(write(gid, 2, "object", "kept"));
    assert_eq!(ops.reply().await, (2, String::new()));
    assert_eq!(names(&mut osd, 0).await.iter().filter(|kind| *kind == "applied").count(), 1);
}

#[tokio::test]
async fn a_dropped_reply_is_given_again_to_the_same_tid() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    add(&mut faults, on(wire::FaultDirection::Reply, "write"), fault_rule::Action::Drop(wire::FaultDrop {}))
        .await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "once"));
    ops.send(write(gid, 1, "object", "once"));
    assert_eq!(ops.reply().await, (1, String::new()));
    let kinds = names(&mut osd, 0).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "applied").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| *kind == "duplicate").count(), 1);
}

#[tokio::test]
async fn a_delayed_request_keeps_the_order_of_its_object_and_lets_others_pass() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let delay = fault_rule::Action::Delay(wire::FaultDelay { delay_ms: 500 });
    add(&mut faults, on(wire::FaultDirection::Request, "write"), delay).await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "first"));
    ops.send(write(gid, 2, "object", "after"));
    ops.send(write(gid, 3, "another", "passes"));
    let order = [ops.reply().await.0, ops.reply().await.0, ops.reply().await.0];
    assert_eq!(order, [3, 1, 2]);
    assert_eq!(content(&mut osd, "object").await, "after");
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let hold = fault_rule::Action::Hold(wire::FaultHold {});
    let rule = add(&mut faults, on(wire::FaultDirection::Request, "write"), hold).await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "held"));
    ops.send(write(gid, 2, "another", "passes"));
    assert_eq!(ops.reply().await, (2, String::new()));
    assert_eq!(listed(&mut faults).await[0].held, 1);
    assert_eq!(release(&mut faults, rule).await, 1);
    assert_eq!(ops.reply().await, (1, String::new()));
    assert_eq!((listed(&mut faults).await[0].held, release(&mut faults, 0).await), (0, 0));
}

/// Invariant I1: what a former owner had on its way never lands after it was fenced.
#[tokio::test]
async fn a_held_write_that_arrives_after_its_client_was_fenced_is_refused() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let hold = fault_rule::Action::Hold(wire::FaultHold {});
    let rule = add(&mut faults, on(wire::FaultDirection::Request, "write"), hold).await;
    let mut log = events(&mut osd, 0).await;
    let mut owner = connect(&server).await;
    let ops = Ops::open(&mut owner).await;
    ops.send(write(gid, 1, "object", "too late"));
    wait_for(&mut log, "fault").await;
    drop((ops, owner));
    let fence = wire::BlocklistAddRequest { gid, ..Default::default() };
    osd.blocklist_add(fence).await.expect("an operator may fence");
    assert_eq!(release(&mut faults, rule).await, 1);
    let refused = wait_for(&mut log, "refused").await;
    assert_eq!((refused.gid, refused.tid, refused.error.as_str()), (gid, 1, "EBLOCKLISTED"));
}

#[tokio::test]
async fn removing_a_rule_lets_go_of_what_it_held() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let hold = fault_rule::Action::Hold(wire::FaultHold {});
    let rule = add(&mut faults, on(wire::FaultDirection::Reply, "write"), hold).await;
    let mut log = events(&mut osd, 0).await;
    let mut asking = osd.clone();
    let asking = tokio::spawn(async move { asking.operate(write(gid, 1, "object", "x")).await });
    wait_for(&mut log, "fault").await;
    faults.remove_rule(wire::RemoveRuleRequest { id: rule }).await.expect("it is there");
    asking.await.expect("it does not panic").expect("it was applied");
    let gone = faults.remove_rule(wire::RemoveRuleRequest { id: rule }).await.expect_err("it is gone");
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_doubled_request_is_applied_once() {
    let server = start();
    let (mut osd, mut faults) = (connect(&server).await, faults(&server).await);
    let gid = session(&mut osd).await;
    let twice = fault_rule::Action::Duplicate(wire::FaultDuplicate { delay_ms: 1 });
    add(&mut faults, on(wire::FaultDirection::Request, "write"), twice).await;
    let mut log = events(&mut osd, 0).await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 1, "object", "once"));
    assert_eq!(ops.reply().await, (1, String::new()));
    assert_eq!(wait_for(&mut log, "duplicate").await.tid, 1);
    ops.send(write(gid, 2, "object", "next"));
    assert_eq!(ops.reply().await, (2, String::new()), "the copy is answered by nobody");
}

#[tokio::test]
async fn a_disconnect_loses_the_reply_with_the_streams_of_the_session() {
    let (server, mut osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let cut = fault_rule::Action::Disconnect(wire::FaultDisconnect {});
    add(&mut faults, on(wire::FaultDirection::Reply, "write"), cut).await;
    let mut log = events(&mut osd, 0).await;
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 2, "object", "there"));
    let lost = ops.down.message().await.expect_err("the stream is cut");
    assert_eq!(lost.code(), Code::Unavailable);
    let lost = watcher.event().await.expect_err("the watch stream is cut");
    assert_eq!(lost.code(), Code::Unavailable);
    assert_eq!(wait_for(&mut log, "watch_lost").await.gid, gid);
    let mut ops = Ops::open(&mut osd).await;
    ops.send(write(gid, 2, "object", "there"));
    assert_eq!(ops.reply().await, (2, String::new()), "the same tid gets its answer");
}

#[tokio::test]
async fn the_first_two_notifies_of_one_kind_to_one_client_are_dropped_by_one_rule() {
    let (server, osd, gid, mut watcher) = watched().await;
    let when = wire::FaultCondition {
        direction: wire::FaultDirection::Notify.into(),
        gid,
        payload_field: 6,
        ..Default::default()
    };
    let rule = wire::FaultRule {
        when: Some(when),
        times: Some(2),
        action: Some(fault_rule::Action::Drop(wire::FaultDrop {})),
        ..Default::default()
    };
    let mut faults = faults(&server).await;
    faults.add_rule(wire::AddRuleRequest { rule: Some(rule) }).await.expect("it is valid");
    // Field 6 of NotifyMessage, then field 4: empty messages.
    for payload in [[0x32, 0], [0x32, 0], [0x22, 0], [0x32, 0]] {
        let mut notifier = osd.clone();
        let is_dropped = payload == [0x32, 0] && listed(&mut faults).await[0].hits < 2;
        let timeout_ms = if is_dropped { 1 } else { 60_000 };
        let asking = notifier.notify(notify(gid, "header", payload.to_vec(), timeout_ms));
        if is_dropped {
            assert_eq!(asking.await.expect("it ran").into_inner().missed, [wire::WatchId { gid, cookie: 1 }]);
        } else {
            let (reply, heard) = tokio::join!(asking, hear(&mut watcher));
            assert_eq!((reply.expect("it ran").into_inner().missed, heard), (Vec::new(), payload.to_vec()));
        }
    }
    let rules = listed(&mut faults).await;
    assert_eq!((rules[0].matches, rules[0].hits), (3, 2));
}

#[tokio::test]
async fn a_doubled_notify_is_delivered_twice() {
    let (server, mut osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let twice = fault_rule::Action::Duplicate(wire::FaultDuplicate { delay_ms: 0 });
    add(&mut faults, on(wire::FaultDirection::Notify, ""), twice).await;
    let hearing = async { (hear(&mut watcher).await, hear(&mut watcher).await) };
    let (reply, heard) = tokio::join!(osd.notify(notify(gid, "header", b"hi".to_vec(), 60_000)), hearing);
    assert_eq!(reply.expect("it ran").into_inner().replies.len(), 1);
    assert_eq!(heard, (b"hi".to_vec(), b"hi".to_vec()));
}

#[tokio::test]
async fn a_held_notify_is_overtaken_and_arrives_when_it_is_released() {
    let (server, osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let hold = fault_rule::Action::Hold(wire::FaultHold {});
    let rule = add(&mut faults, on(wire::FaultDirection::Notify, ""), hold).await;
    let mut log = events(&mut connect(&server).await, 0).await;
    let mut notifier = osd.clone();
    let first =
        tokio::spawn(async move { notifier.notify(notify(gid, "header", b"1".to_vec(), 60_000)).await });
    wait_for(&mut log, "fault").await;
    let mut notifier = osd.clone();
    let (second, heard) =
        tokio::join!(notifier.notify(notify(gid, "header", b"2".to_vec(), 60_000)), hear(&mut watcher));
    assert_eq!((second.expect("it ran").into_inner().replies.len(), heard), (1, b"2".to_vec()));
    assert_eq!(release(&mut faults, rule).await, 1);
    assert_eq!(hear(&mut watcher).await, b"1");
    assert_eq!(first.await.expect("it does not panic").expect("it ran").into_inner().replies.len(), 1);
}

#[tokio::test]
async fn a_dropped_ack_makes_the_notify_time_out_for_its_client() {
    let (server, mut osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let when = wire::FaultCondition { payload_prefix: "he".into(), ..on(wire::FaultDirection::Ack, "") };
    add(&mut faults, when, fault_rule::Action::Drop(wire::FaultDrop {})).await;
    let (reply, _) =
        tokio::join!(osd.notify(notify(gid, "header", b"hello".to_vec(), 1000)), hear(&mut watcher));
    let reply = reply.expect("it ran").into_inner();
    assert_eq!((reply.timed_out, reply.missed), (true, vec![wire::WatchId { gid, cookie: 1 }]));
    assert_eq!(listed(&mut faults).await[0].hits, 1);
}

#[tokio::test]
async fn a_watch_expires_at_once() {
    let (server, mut osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let expire = fault_rule::Action::ExpireWatch(wire::FaultExpireWatch {});
    add(&mut faults, on(wire::FaultDirection::Notify, ""), expire).await;
    let reply = osd.notify(notify(gid, "header", Vec::new(), 60_000)).await.expect("it ran").into_inner();
    assert_eq!((reply.timed_out, reply.replies.len()), (false, 0), "nobody waits for an expired watch");
    match watcher.event().await {
        Ok(Some(Event::Disconnected(gone))) => assert_eq!(gone.error.expect("why").name, "ENOTCONN"),
        other => panic!("the end of the watch was due, not {other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_fenced_by_its_own_request() {
    let (server, mut osd, gid, _watcher) = watched().await;
    let mut faults = faults(&server).await;
    let fence = fault_rule::Action::Blocklist(wire::FaultBlocklist {});
    let by_name =
        wire::FaultCondition { client: "te?t".to_owned(), ..on(wire::FaultDirection::Request, "write*") };
    add(&mut faults, by_name, fence).await;
    let refused = osd.operate(write(gid, 2, "object", "no")).await.expect_err("it is fenced");
    assert_eq!(rpc::status::to_error(&refused).expect("by the OSD").name, "EBLOCKLISTED");
    let listed = osd.blocklist_list(wire::BlocklistListRequest {}).await.expect("a list").into_inner();
    assert_eq!(listed.entries[0].gid, gid);
}

#[tokio::test]
async fn calls_have_doors_too() {
    let (server, mut osd, gid, mut watcher) = watched().await;
    let mut faults = faults(&server).await;
    let error = fault_rule::Action::Error(wire::FaultError { name: "ESTALE".to_owned() });
    add(&mut faults, on(wire::FaultDirection::Reply, "notify"), error).await;
    let (reply, heard) =
        tokio::join!(osd.notify(notify(gid, "header", b"x".to_vec(), 60_000)), hear(&mut watcher));
    assert_eq!(rpc::status::to_error(&reply.expect_err("by the rule")).expect("an errno").name, "ESTALE");
    assert_eq!(heard, b"x", "the notify ran");
}

#[tokio::test]
async fn tests_in_rust_need_no_grpc_and_reset_lets_everything_go() {
    let server = start();
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let writes = Condition { op: Some("write".to_owned()), ..Condition::all(Direction::Request) };
    let rule = server.faults().add(Rule::new(writes, Action::Hold)).expect("it is valid");
    let mut log = events(&mut osd, 0).await;
    let mut asking = osd.clone();
    let asking = tokio::spawn(async move { asking.operate(write(gid, 1, "object", "x")).await });
    wait_for(&mut log, "fault").await;
    let rules = server.faults().list().expect("they are on");
    assert_eq!((rules[0].listed.id, rules[0].listed.hits, rules[0].held), (rule, 1, 1));
    server.faults().reset().expect("they are on");
    asking.await.expect("it does not panic").expect("it was let go");
    assert_eq!(server.faults().list().expect("they are on"), []);
}

#[tokio::test]
async fn closing_ends_calls_that_a_fault_has_lost() {
    let server = start();
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let writes = Condition { op: Some("write".to_owned()), ..Condition::all(Direction::Request) };
    server.faults().add(Rule::new(writes, Action::Drop)).expect("it is valid");
    let mut log = events(&mut osd, 0).await;
    let mut asking = osd.clone();
    let asking = tokio::spawn(async move { asking.operate(write(gid, 1, "object", "x")).await });
    wait_for(&mut log, "fault").await;
    server.stop().await;
    let lost = asking.await.expect("it does not panic").expect_err("it was never answered");
    assert_eq!(lost.code(), Code::Unavailable);
}

/// What waits behind a late request on its object counts too.
#[tokio::test]
async fn a_request_beyond_the_bytes_that_may_be_held_is_refused_by_the_name_of_the_limit() {
    let server = Server::start(Config { enable_faults: true, delayed_bytes_max: 100_000, ..Config::ci() });
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let writes = Condition { op: Some("write".to_owned()), ..Condition::all(Direction::Request) };
    let rule = server.faults().add(Rule::new(writes, Action::Hold)).expect("it is valid");
    let mut ops = Ops::open(&mut osd).await;
    let large = |tid, object| {
        let data = vec![7; 60_000].into();
        vector(gid, tid, object, vec![W::Write(wire::Write { offset: 0, data })])
    };
    ops.send(large(1, "object"));
    for (tid, object) in [(2, "object"), (3, "other")] {
        ops.send(large(tid, object));
        assert_eq!(ops.reply().await, (tid, "EAGAIN".to_owned()));
    }
    let refused = osd.operate(large(4, "other")).await.expect_err("nothing more is held");
    assert!(refused.message().contains("delayed_bytes_max = 100000"), "{}", refused.message());
    ops.send(write(gid, 5, "object", "small"));
    server.faults().remove(rule).expect("it is there");
    for tid in [1, 5] {
        assert_eq!(ops.reply().await, (tid, String::new()));
    }
}
