//! Faults on purpose at the monitor: on what it is asked, what it answers, and the maps that it sends.

use bytes::Bytes;
use ceph_wire::mon::{
    GetVersion, GetVersionReply, MonCommand, MonCommandAck, Paxos, PoolOp, PoolOpReply, Subscribe,
    SubscribeItem, op,
};
use ceph_wire::osdmap::OsdMapMessage;
use errno::Errno;
use osd::Millis;
use osd_sim::fault::{Action, Condition, Direction, Rule};
use osd_sim::{Config, Server};
use tokio::time::Instant;

use crate::lab::{Lab, door};
use crate::wire::Client;

const GID: u32 = 5001;
const FSID: [u8; 16] = [0; 16];

async fn lab() -> (Server, Client) {
    let server = Server::start(Config { enable_faults: true, ceph: Some(door()), ..Config::ci() });
    let client = Client::open(server.ceph().expect("the door is open").monitor, GID).await;
    (server, client)
}

/// Befalls one match; by the name of the client, of which the OSD knows nothing yet.
fn once(server: &Server, direction: Direction, op: &str, action: Action) -> u64 {
    let (client, op) = (Some("admin".to_owned()), Some(op.to_owned()));
    let when = Condition { client, op, ..Condition::all(direction) };
    server.faults().add(Rule { times: Some(1), ..Rule::new(when, action) }).expect("it is valid")
}

async fn command(client: &mut Client, tid: u64, text: &'static str) {
    let command = vec![Bytes::from_static(text.as_bytes())];
    client.say(tid, &MonCommand { paxos: Paxos, fsid: FSID, command }, Bytes::new()).await;
}

async fn result(client: &mut Client) -> (u64, i32) {
    let (tid, ack, _) = client.hear::<MonCommandAck>().await;
    (tid, ack.result)
}

async fn subscribe(client: &mut Client, start: u64) {
    let what = [("osdmap".to_owned(), SubscribeItem { start, flags: 0 })].into();
    client.say(0, &Subscribe { what, host: String::new() }, Bytes::new()).await;
}

/// The epoch of the next message, which is a map.
async fn epoch(client: &mut Client) -> u32 {
    client.hear::<OsdMapMessage>().await.1.newest
}

async fn ask_version(client: &mut Client, handle: u64) {
    client.say(0, &GetVersion { handle, what: "osdmap".to_owned() }, Bytes::new()).await;
}

async fn version(client: &mut Client) -> (u64, u64) {
    let (_, reply, _) = client.hear::<GetVersionReply>().await;
    (reply.handle, reply.version)
}

const CREATE: &str = r#"{"prefix":"osd pool create","pool":"images"}"#;
const REMOVE: &str =
    r#"{"prefix":"osd pool rm","pool":"images","pool2":"images","yes_i_really_really_mean_it":true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_refused_before_or_after_it_is_carried_out() {
    let (server, mut client) = lab().await;
    once(&server, Direction::Request, "mon.osd_pool_create", Action::Error(Errno::EPERM));
    command(&mut client, 1, CREATE).await;
    assert_eq!(result(&mut client).await, (1, Errno::EPERM.result()));
    once(&server, Direction::Reply, "mon.command", Action::Error(Errno::EIO));
    command(&mut client, 2, CREATE).await;
    assert_eq!(result(&mut client).await, (2, Errno::EIO.result()));
    command(&mut client, 3, REMOVE).await;
    assert_eq!(result(&mut client).await, (3, 0), "it was there");
}

/// As a client of gRPC asks for it by the call of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_and_a_snapshot_id_are_refused_by_the_names_of_both_doors() {
    let (server, mut client) = lab().await;
    for name in ["blocklist_add", "mon.osd_blocklist_add"] {
        once(&server, Direction::Request, name, Action::Error(Errno::EACCES));
        let add = r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"1.2.3.4:0/7"}"#;
        command(&mut client, 1, add).await;
        assert_eq!(result(&mut client).await, (1, Errno::EACCES.result()), "{name}");
    }
    for name in ["allocate_snap_id", "mon.pool_op_create_unmanaged_snap", "mon.pool_op"] {
        once(&server, Direction::Request, name, Action::Error(Errno::ENOSPC));
        let asks = PoolOp {
            paxos: Paxos,
            fsid: FSID,
            pool: 1,
            op: op::CREATE_UNMANAGED_SNAP,
            auid: 0,
            snap_id: 0,
            name: String::new(),
            pad: 0,
            crush_rule: -1,
        };
        client.say(2, &asks, Bytes::new()).await;
        let (tid, reply, _) = client.hear::<PoolOpReply>().await;
        assert_eq!((tid, reply.result), (2, Errno::ENOSPC.result()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_at_the_monitor_is_overtaken() {
    let (server, mut client) = lab().await;
    for direction in [Direction::Request, Direction::Reply] {
        let rule = once(&server, direction, "mon.fsid", Action::Hold);
        command(&mut client, 1, r#"{"prefix":"fsid"}"#).await;
        ask_version(&mut client, 2).await;
        assert_eq!(version(&mut client).await, (2, 1));
        assert_eq!(server.faults().release(Some(rule)), Ok(1));
        assert_eq!(result(&mut client).await, (1, 0));
    }
    once(&server, Direction::Request, "mon.get_version", Action::Delay(Millis(300)));
    let began = Instant::now();
    ask_version(&mut client, 3).await;
    assert_eq!(version(&mut client).await, (3, 1));
    assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
}

/// Also when its client has gone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_held_is_carried_out_when_it_is_released() {
    let (server, mut client) = lab().await;
    let rule = once(&server, Direction::Request, "mon.osd_pool_create", Action::Hold);
    command(&mut client, 1, CREATE).await;
    ask_version(&mut client, 2).await;
    version(&mut client).await;
    drop(client);
    let mut other = Client::open(server.ceph().expect("the door is open").monitor, GID + 1).await;
    subscribe(&mut other, 2).await;
    assert_eq!(server.faults().release(Some(rule)), Ok(1));
    assert_eq!(epoch(&mut other).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_is_done_twice_and_answered_once() {
    let (server, mut client) = lab().await;
    once(&server, Direction::Request, "mon.osd_pool_create", Action::Duplicate(Millis(0)));
    command(&mut client, 1, CREATE).await;
    assert_eq!(result(&mut client).await, (1, 0));
    once(&server, Direction::Reply, "mon.get_version", Action::Duplicate(Millis(0)));
    ask_version(&mut client, 2).await;
    assert_eq!(version(&mut client).await, (2, 2));
    assert_eq!(version(&mut client).await, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_cut_at_a_command_its_answer_a_subscription_and_a_map() {
    let (server, _) = lab().await;
    let places = [
        (Direction::Request, "mon.command"),
        (Direction::Reply, "mon.fsid"),
        (Direction::Request, "mon.subscribe"),
        (Direction::Map, "osdmap"),
    ];
    for (gid, (direction, op)) in (6000..).zip(places) {
        let mut client = Client::open(server.ceph().expect("the door is open").monitor, gid).await;
        once(&server, direction, op, Action::Disconnect);
        match op {
            "mon.command" | "mon.fsid" => command(&mut client, 1, r#"{"prefix":"fsid"}"#).await,
            _ => subscribe(&mut client, 0).await,
        }
        assert_eq!(client.heard().await, None, "{op}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_lost_brings_no_map() {
    let (server, mut client) = lab().await;
    once(&server, Direction::Request, "mon.subscribe", Action::Drop);
    subscribe(&mut client, 0).await;
    ask_version(&mut client, 1).await;
    assert_eq!(version(&mut client).await, (1, 1), "and nothing before it");
    subscribe(&mut client, 0).await;
    assert_eq!(epoch(&mut client).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_withheld_until_it_is_released() {
    let (server, mut client) = lab().await;
    subscribe(&mut client, 0).await;
    assert_eq!(epoch(&mut client).await, 1);
    let rule = once(&server, Direction::Map, "osdmap", Action::Hold);
    command(&mut client, 1, CREATE).await;
    assert_eq!(result(&mut client).await, (1, 0), "the map would have come before it");
    assert_eq!(server.faults().release(Some(rule)), Ok(1));
    assert_eq!(epoch(&mut client).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_before_it_is_sent_instead_and_the_newest_to_who_asks_again() {
    let (server, mut client) = lab().await;
    once(&server, Direction::Map, "osdmap", Action::OldMap);
    subscribe(&mut client, 0).await;
    assert_eq!(epoch(&mut client).await, 1, "there is no older one");
    once(&server, Direction::Map, "osdmap", Action::OldMap);
    command(&mut client, 1, CREATE).await;
    assert_eq!(epoch(&mut client).await, 1);
    assert_eq!(result(&mut client).await, (1, 0));
    subscribe(&mut client, 2).await;
    assert_eq!(epoch(&mut client).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_fenced_at_the_monitor_is_fenced_at_the_osd() {
    let (server, mut client) = lab().await;
    once(&server, Direction::Request, "mon.fsid", Action::Blocklist);
    command(&mut client, 1, r#"{"prefix":"fsid"}"#).await;
    assert_eq!(result(&mut client).await, (1, 0), "it goes on");
    let mut osd = Client::open(server.ceph().expect("the door is open").osd, GID).await;
    osd.write(1, "object", "text").await;
    assert_eq!(osd.answer().await.1, Errno::EBLOCKLISTED.result());
}

/// librados shows what is in its map.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_sees_the_old_map_and_waits_for_one_that_is_withheld() {
    let lab = Lab::of(Config { enable_faults: true, ..Config::ci() });
    if lab.output("ceph osd pool create images").await.is_none() {
        return;
    }
    once(&lab.server, Direction::Map, "osdmap", Action::OldMap);
    assert_eq!(lab.output("rados lspools").await.as_deref(), Some("rbd"));
    let rule = once(&lab.server, Direction::Map, "osdmap", Action::Hold);
    let waiting = lab.output("rados lspools");
    let releasing = async {
        while lab.server.faults().list().expect("faults are on").iter().all(|listed| listed.held == 0) {
            tokio::task::yield_now().await;
        }
        lab.server.faults().release(Some(rule)).expect("it is there");
    };
    let (pools, ()) = tokio::join!(waiting, releasing);
    assert_eq!(pools.as_deref(), Some("rbd\nimages"));
}

#[test]
fn what_can_befall_nothing_at_the_monitor_is_refused() {
    let server = Config { enable_faults: true, ..Config::ci() };
    let server = tokio::runtime::Runtime::new().expect("a runtime").block_on(async { Server::start(server) });
    let op = |direction, op: &str| Condition { op: Some(op.to_owned()), ..Condition::all(direction) };
    let wrong = [
        (op(Direction::Request, "mon.subscribe"), Action::Error(Errno::EIO), "no place for an error"),
        (op(Direction::Reply, "mon.subscribe"), Action::Drop, "is no op of a reply"),
        (op(Direction::Request, "osdmap"), Action::Drop, "is no op of a request"),
        (op(Direction::Map, "write"), Action::Drop, "expected osdmap"),
        (op(Direction::Map, "monmap"), Action::OldMap, "osdmap"),
        (Condition::all(Direction::Map), Action::Error(Errno::EIO), "direction map"),
        (Condition::all(Direction::Map), Action::ExpireWatch, "no watch"),
        (
            Condition { pool: Some("rbd".to_owned()), ..Condition::all(Direction::Map) },
            Action::Drop,
            "about no pool",
        ),
    ];
    for (when, action, why) in wrong {
        let refused = server.faults().add(Rule::new(when, action)).expect_err(why);
        assert!(refused.errno == Errno::EINVAL && refused.text.contains(why), "{why}: {}", refused.text);
    }
}
