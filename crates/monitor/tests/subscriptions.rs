//! Who is sent which map, and when.

mod fake;

use ceph_wire::mon::{
    Config, GetVersion, GetVersionReply, Log, MgrMap, MonCommand, MonGetMap, MonMap, MonMapMessage, Paxos, op,
};
use ceph_wire::osdmap::{OsdMap, OsdMapMessage};
use ceph_wire::{AddrKind, Message, from_bytes, kind};
use fake::{CLIENT, FSID, Lab};
use monitor::{Cluster, Event};

fn kinds(messages: &[Message]) -> Vec<u16> {
    messages.iter().map(|message| message.kind).collect()
}

fn osd_maps(messages: &[Message]) -> OsdMapMessage {
    let message = messages.iter().find(|message| message.kind == kind::OSD_MAP).expect("a map");
    let maps: OsdMapMessage = message.read().expect("it decodes");
    assert_eq!(maps.fsid, FSID);
    assert!((maps.oldest..=maps.newest).eq(maps.full.keys().copied()), "no epoch is missing");
    maps
}

fn osd_map(messages: &[Message]) -> OsdMap {
    let maps = osd_maps(messages);
    from_bytes(&maps.full[&maps.newest]).expect("a map")
}

#[test]
fn a_new_client_is_sent_what_it_asks_for() {
    let mut lab = Lab::new();
    let messages = lab.say(&MonGetMap {});
    assert_eq!(kinds(&messages), [kind::MON_MAP]);
    let map: MonMapMessage = messages[0].read().expect("it decodes");
    let map: MonMap = from_bytes(&map.map).expect("it decodes");
    assert_eq!((map.fsid, map.ranks), (FSID, vec!["a".to_owned()]));
    assert_eq!(kinds(&lab.subscribe("config", 0, 0)), [kind::CONFIG]);
    assert_eq!(kinds(&lab.subscribe("monmap", 0, 0)), [kind::MON_MAP]);
    let messages = lab.subscribe("mgrmap", 0, 0);
    assert_eq!(kinds(&messages), [kind::MGR_MAP]);
    assert!(messages[0].read::<MgrMap>().expect("it decodes").is_available, "nobody waits for a manager");
    let map = osd_map(&lab.subscribe("osdmap", 0, 1));
    assert_eq!((map.client.epoch, map.client.pool_names[&1].as_str()), (1, "rbd"));
    assert_eq!(map.client.client_addresses[0].to_string(), "[v2:127.0.0.1:6800/0]");
}

#[test]
fn a_map_that_does_not_exist_yet_is_waited_for() {
    let mut lab = Lab::new();
    assert_eq!(lab.subscribe("monmap", 2, 0), []);
    assert_eq!(lab.subscribe("osdmap", 2, 1), []);
    lab.cluster.create_pool("new").expect("there is room");
    let sends = lab.step(Event::Changed);
    let messages: Vec<Message> = sends.into_iter().map(|send| send.message).collect();
    assert_eq!(osd_map(&messages).client.pool_names.len(), 2);
    lab.cluster.create_pool("more").expect("there is room");
    assert_eq!(lab.step(Event::Changed), [], "it wanted one");
}

#[test]
fn a_subscriber_for_good_is_sent_every_epoch() {
    let mut lab = Lab::new();
    assert_eq!(osd_map(&lab.subscribe("osdmap", 0, 0)).client.epoch, 1);
    for name in ["b", "c"] {
        lab.cluster.create_pool(name).expect("there is room");
        let sends = lab.step(Event::Changed);
        assert_eq!(
            sends.iter().map(|send| (send.to, send.message.kind)).collect::<Vec<_>>(),
            [(CLIENT, kind::OSD_MAP)]
        );
    }
    assert_eq!(lab.step(Event::Changed), [], "nothing has changed");
}

/// Objecter::handle_osd_map: a client that sees a gap sends again all that it has under way.
#[test]
fn who_has_missed_epochs_is_sent_each_of_them() {
    let mut lab = Lab::new();
    for name in ["b", "c", "d"] {
        lab.cluster.create_pool(name).expect("there is room");
        lab.step(Event::Changed);
    }
    let missed = osd_maps(&lab.subscribe("osdmap", 2, 1));
    assert_eq!((missed.oldest, missed.newest), (2, 4));
    for (epoch, map) in &missed.full {
        let map: OsdMap = from_bytes(map).expect("a map");
        assert_eq!((map.client.epoch, map.client.pool_names.len()), (*epoch, *epoch as usize));
    }
    let none = osd_maps(&lab.subscribe("osdmap", 0, 1));
    assert_eq!((none.oldest, none.newest), (4, 4), "who has none needs the newest");
}

#[test]
fn who_is_too_far_behind_is_sent_the_newest_map_alone() {
    let mut lab = Lab::new();
    let maps_max = (1 << 18) / 100;
    for number in 0..maps_max {
        lab.cluster.create_pool("b").expect("there is room");
        lab.step(Event::Changed);
        lab.cluster.remove_pool("b").unwrap_or_else(|error| panic!("{number}: {error:?}"));
        lab.step(Event::Changed);
    }
    let behind = osd_maps(&lab.subscribe("osdmap", 2, 1));
    assert_eq!(behind.oldest, behind.newest);
    let close = osd_maps(&lab.subscribe("osdmap", u64::from(behind.newest) - 9, 1));
    assert_eq!(close.full.len(), 10);
    let kept: usize = osd_maps(&lab.subscribe("osdmap", u64::from(behind.newest) - 60, 1))
        .full
        .values()
        .map(bytes::Bytes::len)
        .sum();
    assert!(kept <= 1 << 18, "{kept} bytes");
}

#[test]
fn who_has_gone_is_sent_nothing() {
    let mut lab = Lab::new();
    lab.subscribe("osdmap", 0, 0);
    lab.step(Event::Closed(CLIENT));
    lab.cluster.create_pool("b").expect("there is room");
    assert_eq!(lab.step(Event::Changed), []);
}

#[test]
fn the_map_in_which_a_change_shows_is_sent_before_its_answer() {
    let mut lab = Lab::new();
    lab.subscribe("osdmap", 0, 0);
    let reply = lab.pool_op(op::CREATE_UNMANAGED_SNAP, 1, "");
    assert_eq!((reply.result, reply.epoch), (0, 2));
    assert_eq!(from_bytes::<u64>(&reply.data.expect("an id")), Ok(1));
    let map = osd_map(&lab.subscribe("osdmap", 2, 1));
    assert_eq!((map.client.pools[&1].snap_seq, map.client.pools[&1].flags), (1, 0x2001));
}

#[test]
fn snapshots_of_a_pool_come_and_go_with_the_map() {
    let mut lab = Lab::new();
    lab.subscribe("osdmap", 0, 0);
    let reply = lab.pool_op(op::CREATE_SNAP, 1, "first");
    assert_eq!((reply.result, reply.epoch, reply.data), (0, 2, None));
    let pool = osd_map(&lab.subscribe("osdmap", 2, 1)).client.pools[&1].clone();
    assert_eq!((pool.snap_seq, pool.flags, pool.snaps[&1].name.as_str()), (1, 0x4001, "first"));
    assert_eq!(lab.pool_op(op::DELETE_SNAP, 1, "first").epoch, 3);
    assert_eq!(osd_map(&lab.subscribe("osdmap", 3, 1)).client.pools[&1].snaps.len(), 0);
}

#[test]
fn a_fence_is_in_the_next_map_and_the_barrier_names_it() {
    let mut lab = Lab::new();
    let fence = r#"{"prefix":"osd blocklist","blocklistop":"add","addr":"127.0.0.1:0/77"}"#;
    assert_eq!(lab.command(fence).0, 0);
    let messages = lab.say(&GetVersion { handle: 5, what: "osdmap".to_owned() });
    let version: GetVersionReply = messages[0].read().expect("it decodes");
    assert_eq!((version.handle, version.version), (5, 2));
    let map = osd_map(&lab.subscribe("osdmap", version.version, 1));
    let fenced: Vec<_> =
        map.osd.blocklist.keys().map(|address| (address.kind, address.to_string())).collect();
    assert_eq!(fenced, [(AddrKind::Any, "127.0.0.1:0/77".to_owned())]);
}

#[test]
fn a_setting_reaches_those_who_are_connected() {
    let mut lab = Lab::new();
    lab.subscribe("config", 0, 0);
    let set = r#"{"prefix":"config set","who":"client","name":"rbd_cache","value":"false"}"#;
    let messages = lab.say(&ceph_wire::mon::MonCommand {
        paxos: ceph_wire::mon::Paxos,
        fsid: FSID,
        command: vec![set.into()],
    });
    let config = messages.iter().find(|message| message.kind == kind::CONFIG).expect("the settings");
    let config: Config = config.read().expect("it decodes");
    assert_eq!(config.settings["rbd_cache"], b"false"[..]);
}

#[test]
fn a_message_that_does_not_decode_is_its_senders_error() {
    let mut lab = Lab::new();
    let wrong = Message { front: [0xff; 3][..].into(), ..Message::of(1, &MonGetMap {}) };
    let wrong = Message { kind: kind::MON_SUBSCRIBE, ..wrong };
    let outcome = lab.monitor.step(fake::NOW, Event::Message(CLIENT, wrong), &mut lab.cluster);
    assert_eq!(outcome.expect_err("it is refused").field, "Subscribe.what");
}

fn said(messages: &[Message]) -> Vec<String> {
    let of_log = messages.iter().filter(|message| message.kind == kind::LOG);
    of_log
        .flat_map(|message| message.read::<Log>().expect("it decodes").entries)
        .map(|entry| entry.text)
        .collect()
}

#[test]
fn who_follows_the_log_hears_what_matters_to_him() {
    let mut lab = Lab::new();
    assert_eq!(lab.subscribe("log-warn", 0, 0), [], "nothing has been said");
    let mut log = |level: &str, text: &str| {
        let command = format!(r#"{{"prefix":"log","level":"{level}","logtext":["{text}","again"]}}"#);
        let message = MonCommand { paxos: Paxos, fsid: FSID, command: vec![command.into()] };
        let messages = lab.say(&message);
        said(&messages)
    };
    assert_eq!(log("info", "one"), Vec::<String>::new());
    assert_eq!(log("error", "two"), ["two again"]);
    assert_eq!(log("warn", "three"), ["three again"]);
    assert_eq!(said(&lab.subscribe("log-info", 0, 1)), ["three again"], "who comes later hears the newest");
    assert_eq!(said(&lab.subscribe("log-info", 1, 1)), ["one again", "two again", "three again"]);
}

/// The client goes by it: what is not newer is not shown.
#[test]
fn what_is_said_has_the_version_of_the_log() {
    let mut lab = Lab::new();
    for _ in 0..2 {
        lab.command(r#"{"prefix":"log","logtext":["a"]}"#);
    }
    let messages = lab.subscribe("log-info", 0, 0);
    let log: Log = messages[0].read().expect("it decodes");
    assert_eq!((log.version, log.fsid, log.entries[0].channel.as_str()), (2, FSID, "cluster"));
}

/// librados never says that it wants a level no more.
#[test]
fn who_asks_for_another_level_of_the_log_hears_that_one_only() {
    let mut lab = Lab::new();
    lab.subscribe("log-info", 0, 0);
    lab.subscribe("log-error", 0, 0);
    let command = vec![r#"{"prefix":"log","logtext":["a"]}"#.into()];
    let messages = lab.say(&MonCommand { paxos: Paxos, fsid: FSID, command });
    assert_eq!(said(&messages), Vec::<String>::new());
}
