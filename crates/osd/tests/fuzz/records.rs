//! The OSD's own records: it opens on what it can understand, and lives on; or it says EIO.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use fuzz::{Decoder, Room};
use osd::op::{Op, SnapContext, Terms, Vector};
use osd::{Config, Entity, Millis, Osd, Request, WatchRequest};
use store::{Change, MemoryStore, Name, Seq, Store, Transaction};

use crate::shaky::Shaky;

/// Kinds of records, by the letter that their keys begin with.
const KINDS: &[u8] = b"acefinprstuw";

/// Opening an OSD takes its own room, for the event log above all.
const OF_RECORDS: Room = Room { per_byte: 64, base: 1 << 20 };

const NOW: Millis = Millis(1_000);

pub(crate) fn names() -> Vec<String> {
    KINDS.iter().map(|kind| format!("record:{}", char::from(*kind))).collect()
}

fn config() -> Config {
    Config { started_unix_ms: 1_800_000_000_000, ..Config::default() }
}

fn vector(object: &str, op: Op, snaps: &[u64]) -> Vector {
    Vector {
        pool: "rbd".to_owned(),
        namespace: Name::default(),
        object: object.into(),
        snap_id: None,
        snap_context: SnapContext { seq: snaps.first().copied().unwrap_or(0), snaps: snaps.to_vec() },
        terms: Terms::default(),
        ops: vec![op],
    }
}

fn write() -> Op {
    Op::WriteFull { data: Bytes::from_static(b"data") }
}

/// Every kind of record that an OSD keeps.
fn kept() -> Vec<(Name, Bytes)> {
    let (store, handle) = Shaky::new();
    let mut osd = Osd::open(store, config(), 4000, NOW).expect("it is empty");
    for pool in ["rbd", "snaps", "gone"] {
        osd.create_pool(NOW, pool).0.expect("the name is free");
    }
    handle.be_late();
    let (gid, _) = osd.connect(NOW, "client", "127.0.0.1:1").0.expect("there is room");
    let snaps: Vec<u64> =
        (11..15).map(|tid| osd.allocate_snap_id(NOW, "rbd", gid, tid).0.expect("it is there")).collect();
    let operations = [
        (1, write(), &[][..]),
        (2, write(), &snaps[1..2]),
        (3, Op::Append { data: Bytes::from_static(b"x") }, &snaps[2..3]),
    ];
    for (tid, op, snaps) in operations {
        let vector = vector("object", op, snaps);
        let operated = osd.operate(NOW, &Request { gid, tid, watermark: 0, vector });
        Arc::unwrap_or_clone(operated.0).expect("it is written");
    }
    osd.remove_snap_id(NOW, "rbd", snaps[1], 0).0.expect("it is there");
    osd.entity_connected(NOW, Entity { gid: 9, name: "admin", address: "127.0.0.1:0/7" })
        .0
        .expect("there is room");
    let stream = osd.watch_hello(NOW, gid).0.expect("the session is live");
    let (pool, object) = ("rbd".to_owned(), "object".to_owned());
    osd.watch_request(
        NOW,
        stream,
        WatchRequest::Register { pool, object, cookie: 5, timeout: Some(Millis(9_000)) },
    );
    osd.create_pool_snap(NOW, "snaps", "one").0.expect("it has none");
    let (fenced, _) = osd.connect(NOW, "fenced", "127.0.0.1:2").0.expect("there is room");
    osd.blocklist_add(NOW, fenced, Some(Millis(60_000)), 0).0.expect("it is there");
    osd.fence_address(NOW, "127.0.0.1:0/8", Some(Millis(60_000))).0.expect("it is an address");
    osd.remove_pool(NOW, "gone").0.expect("it is there");
    // What was planned is done with by now: it is taken from the moments in between.
    let at = |seq: Seq, kinds: &[u8]| {
        let (store, _) = handle.crashed_at(seq);
        Store::records(&store, kinds, b"", usize::MAX).expect("it works")
    };
    let planned = (1..handle.newest().0).flat_map(|seq| [at(Seq(seq), b"t"), at(Seq(seq), b"e")].concat());
    let mut kept: BTreeMap<Name, Bytes> = planned.collect();
    kept.extend(at(handle.newest(), b""));
    kept.into_iter().collect()
}

/// An OSD on records of which one has another value; with what may follow from it.
fn lives(records: &[(Name, Bytes)], changed: &Name, value: &[u8]) -> bool {
    let record = |(key, kept): &(Name, Bytes)| {
        let value = if key == changed { Bytes::copy_from_slice(value) } else { kept.clone() };
        Change::Record { key: key.clone(), value: Some(value) }
    };
    let mut store = MemoryStore::new();
    store
        .submit(Transaction { changes: records.iter().map(record).collect() })
        .expect("memory does not fail");
    let mut osd = match Osd::open(store, config(), 4000, NOW) {
        Ok(osd) => osd,
        Err(error) => {
            assert_eq!(error.errno, Errno::EIO, "{error}");
            return false;
        }
    };
    // A pool that had many snapshots has much work.
    for _ in 0..20 {
        if osd.has_work() {
            osd.work(NOW);
        }
    }
    let _ = osd.connect(NOW, "client", "127.0.0.1:3");
    let _ = osd.create_pool(NOW, "another");
    let _ = osd.allocate_snap_id(NOW, "rbd", 0, 0);
    let (gid, tid, watermark) = (4001, 1, 0);
    let _ = osd.operate(NOW, &Request { gid, tid, watermark, vector: vector("object", write(), &[]) });
    let _ = osd.watch_hello(NOW, gid);
    osd.tick(Millis(100_000));
    osd.pools();
    true
}

#[test]
fn fuzz_decoders_of_records() {
    let records = kept();
    let of_kind = |kind: u8| -> Vec<(Name, Bytes)> {
        records.iter().filter(|(key, _)| key[0] == kind).cloned().collect()
    };
    let decoder = |kind: u8| {
        let changed = of_kind(kind);
        assert!(!changed.is_empty(), "there is a record of kind {}", char::from(kind));
        let examples: Vec<Vec<u8>> =
            changed.iter().enumerate().map(|(at, (_, value))| [&[at as u8], &value[..]].concat()).collect();
        let records = &records;
        Decoder::new(format!("record:{}", char::from(kind)), OF_RECORDS, move |bytes| {
            let [at, value @ ..] = bytes else { return false };
            lives(records, &changed[usize::from(*at) % changed.len()].0, value)
        })
        .with_examples(examples)
    };
    let decoders = KINDS.iter().map(|kind| decoder(*kind)).collect();
    fuzz::play("osd:records", decoders, &[], &crate::regressions(&names()));
}
