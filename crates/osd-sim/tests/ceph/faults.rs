//! Faults on purpose, and what real clients make of them.

use std::time::Duration;

use osd::Millis;
use osd_sim::Config;
use osd_sim::fault::{Action, Condition, Direction, Rule};
use prost::Message;
use proto::rbd::v1::{HeaderUpdatePayload, NotifyMessage, notify_message::Payload};
use tokio::time::Instant;

use crate::common;
use crate::lab::Lab;

const PUT: &str = "rados -p rbd --id admin put object /etc/hostname";
const STAT: &str = "rados -p rbd stat object";

/// With faults enabled; `None` where the clients are not installed.
async fn lab() -> Option<Lab> {
    let lab = Lab::of(Config { enable_faults: true, ..Config::ci() });
    lab.output("rados lspools").await.is_some().then_some(lab)
}

fn on(direction: Direction, op: &str) -> Condition {
    Condition { op: Some(op.to_owned()), ..Condition::all(direction) }
}

/// Befalls one match.
fn once(when: Condition, action: Action) -> Rule {
    Rule { times: Some(1), ..Rule::new(when, action) }
}

fn add(lab: &Lab, rule: Rule) -> u64 {
    lab.server.faults().add(rule).expect("it is valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_refused_by_op_client_and_address_and_changes_nothing() {
    let Some(lab) = lab().await else { return };
    for client in ["admin", "127.0.0.1:0/*"] {
        let when = Condition { client: Some(client.to_owned()), ..on(Direction::Request, "write_full") };
        add(&lab, once(when, Action::Error(errno::Errno::ENOSPC)));
        let (status, _, errors) = lab.run(PUT).await.expect("it is installed");
        assert!(status != 0 && errors.contains("(28)"), "{client}: {errors}");
        let (status, _, errors) = lab.run(STAT).await.expect("it is installed");
        assert!(status != 0 && errors.contains("(2)"), "{client}: {errors}");
    }
    let other = Condition { client: Some("nobody".to_owned()), ..on(Direction::Request, "write_full") };
    add(&lab, once(other, Action::Error(errno::Errno::ENOSPC)));
    lab.output(PUT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_of_a_class_is_refused_to_rbd_by_its_name() {
    let Some(lab) = lab().await else { return };
    add(&lab, once(on(Direction::Request, "rbd.dir_add_image"), Action::Error(errno::Errno::EIO)));
    let create = "rbd create --size 4M --image-feature layering image";
    let Some((status, _, errors)) = lab.run(create).await else { return };
    assert!(status != 0 && errors.contains("(5)"), "{errors}");
    lab.output(create).await;
}

/// librbd says it in Ceph's encoding, a client of gRPC in protobuf.
#[tokio::test(flavor = "multi_thread")]
async fn one_rule_by_the_kind_of_a_notify_befalls_what_both_kinds_of_clients_say() {
    let Some(lab) = lab().await else { return };
    if lab.output("rbd create --size 4M --image-feature layering image").await.is_none() {
        return;
    }
    let kind = |field| Condition { payload_field: Some(field), ..on(Direction::Request, "notify") };
    let (header_update, quiesce) = (kind(4), kind(19));
    let rules = [header_update, quiesce].map(|when| add(&lab, Rule::new(when, Action::Delay(Millis(1)))));
    let hits = || {
        let listed = lab.server.faults().list().expect("faults are on").into_iter();
        listed.map(|rule| rule.listed.hits).collect::<Vec<_>>()
    };
    assert_eq!(rules, [1, 2]);
    lab.output("rbd snap create --no-progress image@snap").await;
    let said_by_librbd = hits();
    assert!(said_by_librbd[0] > 0, "{said_by_librbd:?}");
    let mut osd = common::connect(&lab.server).await;
    let gid = common::session(&mut osd).await;
    let payload = Some(Payload::HeaderUpdate(HeaderUpdatePayload {}));
    let payload = NotifyMessage { payload }.encode_to_vec();
    let notify = common::notify(gid, &lab.header("image").await, payload, 10_000);
    osd.notify(notify).await.expect("nobody listens");
    assert_eq!(hits(), [said_by_librbd[0] + 1, said_by_librbd[1]]);
}

/// librados sends again what was lost with its connection, under the same number: it is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_lost_with_its_connection_is_given_again() {
    let Some(lab) = lab().await else { return };
    add(&lab, once(on(Direction::Reply, "create"), Action::Disconnect));
    lab.output("rados -p rbd create object").await;
    assert_eq!(lab.event("duplicate").await.object, "object");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_late_comes_later_and_a_reply_that_comes_twice_harms_nobody() {
    let Some(lab) = lab().await else { return };
    add(&lab, once(on(Direction::Reply, "write_full"), Action::Duplicate(Millis(0))));
    lab.output(PUT).await;
    add(&lab, once(on(Direction::Request, "stat"), Action::Delay(Millis(1500))));
    let began = Instant::now();
    lab.output(STAT).await;
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
}

/// Also when its client has gone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_held_arrives_when_it_is_released() {
    let Some(lab) = lab().await else { return };
    let rule = add(&lab, Rule::new(on(Direction::Request, "create"), Action::Hold));
    let mut client = lab.command("rados -p rbd create object").spawn().expect("it is installed");
    lab.event("fault").await;
    client.kill().await.expect("it runs");
    lab.server.faults().release(Some(rule)).expect("it is there");
    assert_eq!(lab.event("applied").await.object, "object");
    lab.output(STAT).await;
}
