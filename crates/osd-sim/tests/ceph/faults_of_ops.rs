//! Faults on purpose at the OSD of this door, message by message.

use bytes::Bytes;
use ceph_wire::osd::{OsdOp, code};
use ceph_wire::{Hobject, to_bytes};
use errno::Errno;
use osd::Millis;
use osd_sim::fault::{Action, Condition, Direction, Rule};
use osd_sim::{Config, Server};

use crate::lab::door;
use crate::wire::Client;

const GID: u32 = 5001;

fn server() -> Server {
    Server::start(Config { enable_faults: true, ceph: Some(door()), ..Config::ci() })
}

async fn client(server: &Server, gid: u32) -> Client {
    Client::open(server.ceph().expect("the door is open").osd, gid).await
}

fn add(server: &Server, rule: Rule) -> u64 {
    server.faults().add(rule).expect("it is valid")
}

fn of(gid: u32, direction: Direction) -> Condition {
    Condition { gid: Some(gid.into()), ..Condition::all(direction) }
}

fn writes() -> Condition {
    Condition { op: Some("write_full".to_owned()), ..of(GID, Direction::Request) }
}

/// The results of so many writes, one after the other.
async fn results(client: &mut Client, count: u64) -> Vec<i32> {
    let mut results = Vec::new();
    for tid in 1..=count {
        client.write(tid, "object", "text").await;
        results.push(client.answer().await.1);
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_matches_pass_and_then_so_many_are_befallen() {
    let server = server();
    let rule = Rule::new(writes(), Action::Error(Errno::ENOSPC));
    add(&server, Rule { skip: 1, times: Some(2), ..rule });
    let mut client = client(&server, GID).await;
    let no_space = Errno::ENOSPC.result();
    assert_eq!(results(&mut client, 5).await, [0, no_space, no_space, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_befalls_the_same_matches() {
    let mut drawn = Vec::new();
    for seed in [7, 7, 8] {
        let server = server();
        let rule = Rule::new(writes(), Action::Error(Errno::EIO));
        add(&server, Rule { probability: 0.5, seed, ..rule });
        drawn.push(results(&mut client(&server, GID).await, 30).await);
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
    assert!(drawn[0].contains(&0) && drawn[0].contains(&Errno::EIO.result()), "{drawn:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ops_on_one_object_keep_their_order_and_others_do_not_wait() {
    let server = server();
    let rule = add(&server, Rule { times: Some(1), ..Rule::new(writes(), Action::Hold) });
    let mut client = client(&server, GID).await;
    client.write(1, "object", "first").await;
    client.write(2, "object", "second").await;
    client.ask(3, "object", OsdOp::new(code::READ, &(0_u64, 100_u64), 0), Bytes::new()).await;
    client.write(4, "other", "text").await;
    assert_eq!(client.answer().await.0, 4);
    assert_eq!(server.faults().release(Some(rule)), Ok(1));
    assert_eq!(client.answer().await.0, 1);
    assert_eq!(client.answer().await.0, 2);
    assert_eq!(client.answer().await, (3, 0, Bytes::from_static(b"second")));
}

/// Both watches are of one object; what is lost is the notify to the second one, or its ack.
async fn a_silent_watch_is_missed(lost: Direction) {
    let server = server();
    let mut notifier = client(&server, GID).await;
    let (mut answers, mut silent) = (client(&server, 5002).await, client(&server, 5003).await);
    notifier.write(1, "object", "text").await;
    assert_eq!(notifier.answer().await.1, 0);
    notifier.watch("object", 1).await;
    answers.watch("object", 2).await;
    silent.watch("object", 3).await;
    add(&server, Rule { times: Some(1), ..Rule::new(of(5003, lost), Action::Drop) });
    let rounds = [(3, Errno::ETIMEDOUT.result(), vec![(5003, 3)]), (3600, 0, vec![])];
    for (seconds, expected, missed) in rounds {
        let is_lost = expected != 0;
        notifier.notify("object", 1, Bytes::from_static(b"hello"), seconds).await;
        for (watcher, cookie) in [(&mut notifier, 1), (&mut answers, 2)] {
            assert_eq!(watcher.ack("object", cookie).await, "hello");
        }
        if !(is_lost && lost == Direction::Notify) {
            assert_eq!(silent.ack("object", 3).await, "hello");
        }
        assert_eq!(notifier.completed().await, (expected, missed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notify_that_is_lost_times_out_and_names_who_missed_it() {
    a_silent_watch_is_missed(Direction::Notify).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_that_is_lost_times_out_and_names_whose_it_was() {
    a_silent_watch_is_missed(Direction::Ack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_that_is_held_keeps_its_notifier_waiting() {
    let server = server();
    let mut notifier = client(&server, GID).await;
    notifier.write(1, "object", "text").await;
    assert_eq!(notifier.answer().await.1, 0);
    notifier.watch("object", 1).await;
    let rule = add(&server, Rule::new(of(GID, Direction::Ack), Action::Hold));
    notifier.notify("object", 1, Bytes::from_static(b"hello"), 3600).await;
    notifier.ack("object", 1).await;
    // The ack was taken before this is answered.
    notifier.write(9, "other", "text").await;
    while notifier.answer().await.0 != 9 {}
    assert_eq!(server.faults().release(Some(rule)), Ok(1));
    assert_eq!(notifier.completed().await, (0, vec![]));
}

/// The notify has been answered, and acked by all; who made it is not told.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_notify_ended_is_held_apart_from_its_reply() {
    let server = server();
    let mut notifier = client(&server, GID).await;
    notifier.write(1, "object", "text").await;
    assert_eq!(notifier.answer().await.1, 0);
    notifier.watch("object", 1).await;
    let when = Condition {
        op: Some("notify_complete".to_owned()),
        object: Some("obj*".to_owned()),
        ..of(GID, Direction::Reply)
    };
    let rule = add(&server, Rule::new(when, Action::Hold));
    notifier.notify("object", 1, Bytes::from_static(b"hello"), 3600).await;
    assert_eq!(notifier.ack("object", 1).await, "hello");
    notifier.write(9, "other", "text").await;
    while notifier.answer().await.0 != 9 {}
    assert_eq!(server.faults().release(Some(rule)), Ok(1));
    assert_eq!(notifier.completed().await, (0, vec![]));
}

async fn list(client: &mut Client, tid: u64) {
    let start = to_bytes(&Hobject::min());
    let op = OsdOp::new(code::PGNLS, &(100_u64, 0_u32), start.len() as u32);
    client.ask(tid, "", op, start).await;
}

/// A page that is the last one.
const ENDED: i32 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_refused_delayed_doubled_held_and_cut_off() {
    let server = server();
    let mut client = client(&server, GID).await;
    let once = |direction, action| {
        let when = Condition { op: Some("list_objects".to_owned()), ..of(GID, direction) };
        add(&server, Rule { times: Some(1), ..Rule::new(when, action) })
    };
    for (direction, tid) in [(Direction::Request, 1), (Direction::Reply, 2)] {
        once(direction, Action::Error(Errno::EIO));
        list(&mut client, tid).await;
        let (answered, result, _) = client.answer().await;
        assert_eq!((answered, result), (tid, Errno::EIO.result()));
    }
    once(Direction::Reply, Action::Duplicate(Millis(0)));
    list(&mut client, 3).await;
    for _ in ["first", "second"] {
        let (answered, result, _) = client.answer().await;
        assert_eq!((answered, result), (3, ENDED));
    }
    for (direction, action) in
        [(Direction::Request, Action::Delay(Millis(1))), (Direction::Reply, Action::Hold)]
    {
        let rule = once(direction, action);
        list(&mut client, 4).await;
        if action == Action::Hold {
            client.write(5, "object", "text").await;
            assert_eq!(client.answer().await.0, 5);
            assert_eq!(server.faults().release(Some(rule)), Ok(1));
        }
        let (answered, result, _) = client.answer().await;
        assert_eq!((answered, result), (4, ENDED));
    }
    once(Direction::Request, Action::Disconnect);
    list(&mut client, 6).await;
    assert_eq!(client.heard().await, None);
}
