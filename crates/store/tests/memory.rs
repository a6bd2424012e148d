//! `MemoryStore`: what a transaction makes visible.

use bytes::Bytes;
use store::{
    At, Change, HashPlace, Intervals, MemoryStore, Name, ObjectChange, ObjectClone, ObjectId, PoolId, Seq,
    Stat, Store, Totals, Transaction, object_hash,
};

const POOL: PoolId = PoolId(1);
const ALL: usize = usize::MAX;

fn id(name: &str) -> ObjectId {
    ObjectId::new(POOL, name)
}

fn on(name: &str, changes: impl Into<Vec<ObjectChange>>) -> Change {
    Change::Object { id: id(name), changes: changes.into() }
}

fn write(data: &'static [u8]) -> ObjectChange {
    ObjectChange::Write { offset: 0, data: Bytes::from_static(data) }
}

fn put(name: &str, data: &'static [u8]) -> Change {
    on(name, [ObjectChange::Create, write(data)])
}

fn clone(clone: u64, snaps: &[u64]) -> ObjectChange {
    ObjectChange::Clone { clone, snaps: snaps.to_vec() }
}

fn submit(store: &mut MemoryStore, changes: impl Into<Vec<Change>>) -> Seq {
    store.submit(Transaction { changes: changes.into() }).expect("memory does not fail")
}

fn read(store: &MemoryStore, name: &str, at: At) -> Option<Vec<u8>> {
    let size = store.stat(&id(name), at).expect("memory does not fail")?.size;
    Some(store.read(&id(name), at, 0, size).expect("memory does not fail").to_bytes(0, size).to_vec())
}

fn omap(store: &MemoryStore, at: At, prefix: &str, after: &str, max: usize) -> Vec<String> {
    let entries = store.omap_range(&id("a"), at, prefix.as_bytes(), after.as_bytes(), max);
    entries.expect("memory does not fail").iter().map(|(key, _)| key.to_string()).collect()
}

#[test]
fn a_submitted_transaction_is_visible_and_durable() {
    let mut store = MemoryStore::new();
    assert_eq!(submit(&mut store, [put("a", b"one")]), Seq(1));
    assert_eq!(submit(&mut store, [put("a", b"two!")]), Seq(2));
    assert_eq!((store.newest(), store.durable()), (Seq(2), Seq(2)));
    assert_eq!(read(&store, "a", At::Head), Some(b"two!".to_vec()));
    assert_eq!(store.stat(&ObjectId::new(PoolId(2), "a"), At::Head), Ok(None));
}

#[test]
fn an_object_of_another_namespace_is_another_object() {
    let mut store = MemoryStore::new();
    let other = ObjectId { namespace: "n".into(), ..id("a") };
    submit(
        &mut store,
        [put("a", b"one"), Change::Object { id: other.clone(), changes: vec![ObjectChange::Create] }],
    );
    assert_eq!(store.stat(&other, At::Head).map(|stat| stat.map(|stat| stat.size)), Ok(Some(0)));
    assert_eq!(read(&store, "a", At::Head), Some(b"one".to_vec()));
    assert_eq!(store.list(POOL, b"n", b"", b"", ALL), Ok(vec!["a".into()]));
}

#[test]
fn names_and_keys_are_bytes() {
    let mut store = MemoryStore::new();
    let name = Name::from([0xff, 0, 0x80].as_slice());
    let id = ObjectId::new(POOL, name.clone());
    let set = ObjectChange::OmapSet { key: name.clone(), value: Bytes::from_static(b"v") };
    submit(&mut store, [Change::Object { id: id.clone(), changes: vec![ObjectChange::Create, set] }]);
    assert_eq!(store.list(POOL, b"", &[0xff], b"", ALL), Ok(vec![name.clone()]));
    assert_eq!(store.omap_value(&id, At::Head, &name), Ok(Some(Bytes::from_static(b"v"))));
}

#[test]
fn a_clone_keeps_the_state_that_head_had() {
    let mut store = MemoryStore::new();
    let set = |value: &'static str| ObjectChange::OmapSet { key: "k".into(), value: value.into() };
    submit(&mut store, [put("a", b"old"), on("a", [set("old")])]);
    submit(&mut store, [on("a", [clone(5, &[5]), write(b"newer"), set("new")])]);
    submit(&mut store, [on("a", [ObjectChange::Remove])]);
    assert_eq!(read(&store, "a", At::Head), None);
    assert_eq!(read(&store, "a", At::Clone(5)), Some(b"old".to_vec()));
    assert_eq!(store.omap_value(&id("a"), At::Clone(5), b"k"), Ok(Some("old".into())));
    submit(&mut store, [on("a", [ObjectChange::Restore { clone: 5 }])]);
    assert_eq!(read(&store, "a", At::Head), Some(b"old".to_vec()));
}

#[test]
fn a_stamp_gives_the_version_and_the_time_and_no_version_comes_back() {
    let mut store = MemoryStore::new();
    let stamp = |version| ObjectChange::Stamp { version, mtime_unix_ns: 7 };
    submit(&mut store, [on("a", [ObjectChange::Create, stamp(3)])]);
    assert_eq!(
        store.stat(&id("a"), At::Head),
        Ok(Some(Stat { version: 3, mtime_unix_ns: 7, ..Stat::default() }))
    );
    submit(&mut store, [on("a", [ObjectChange::Remove, stamp(4)])]);
    assert_eq!((store.stat(&id("a"), At::Head), store.user_version(POOL)), (Ok(None), 4));
}

#[test]
fn the_map_of_an_object_is_read_by_prefix_from_a_key_on() {
    let mut store = MemoryStore::new();
    let set = |key: &str| ObjectChange::OmapSet { key: key.into(), value: Bytes::new() };
    let keys = ["a", "b1", "b2", "b3", "c"].map(set);
    submit(&mut store, [on("a", [&[ObjectChange::Create][..], &keys].concat())]);
    assert_eq!(omap(&store, At::Head, "b", "", ALL), ["b1", "b2", "b3"]);
    assert_eq!(omap(&store, At::Head, "b", "b1", 1), ["b2"]);
    assert_eq!(omap(&store, At::Head, "", "b3", ALL), ["c"]);
    submit(&mut store, [on("a", [ObjectChange::OmapRemove { key: "b2".into() }])]);
    assert_eq!(omap(&store, At::Head, "b", "", ALL), ["b1", "b3"]);
}

#[test]
fn a_listing_is_paged_in_order_and_has_no_removed_objects() {
    let mut store = MemoryStore::new();
    submit(&mut store, ["b", "a.2", "a.1", "a.3", "c"].map(|name| put(name, b"x")));
    submit(&mut store, [on("a.2", [clone(1, &[1]), ObjectChange::Remove])]);
    let list = |prefix: &str, after: &str, max| {
        let names =
            store.list(POOL, b"", prefix.as_bytes(), after.as_bytes(), max).expect("memory does not fail");
        names.iter().map(Name::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list("a.", "", 10), ["a.1", "a.3"]);
    assert_eq!(list("", "", 2), ["a.1", "a.3"]);
    assert_eq!(list("", "a.3", 2), ["b", "c"]);
    assert_eq!(list("a.", "a.1", 10), ["a.3"]);
    assert_eq!(list("a.", "b", 10), [""; 0]);
}

#[test]
fn a_listing_by_hash_goes_on_from_any_place() {
    let mut store = MemoryStore::new();
    submit(&mut store, ["a", "b", "c", "d"].map(|name| put(name, b"x")));
    submit(&mut store, [on("d", [ObjectChange::Remove])]);
    let all = store.list_by_hash(POOL, &HashPlace::default(), ALL).expect("memory does not fail");
    let mut expected = ["a", "b", "c"].map(|name| {
        let hash = object_hash(b"", name.as_bytes()).reverse_bits();
        HashPlace { hash, namespace: Name::default(), name: name.into() }
    });
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(store.list_by_hash(POOL, &all[1], 1), Ok(vec![all[1].clone()]));
}

#[test]
fn the_index_of_preserving_objects_follows_the_clones() {
    let mut store = MemoryStore::new();
    submit(&mut store, [put("a", b"x"), put("b", b"x")]);
    submit(&mut store, [on("b", [clone(4, &[4, 2])]), on("a", [clone(4, &[4])])]);
    assert_eq!(store.preserving(POOL, 4, ALL), Ok(vec![id("a"), id("b")]));
    assert_eq!(store.preserving(POOL, 4, 1), Ok(vec![id("a")]));
    assert_eq!(store.clone_of(&id("b"), 2), Ok(Some(4)));
    submit(&mut store, [on("b", [ObjectChange::DropSnap { snap: 2 }])]);
    assert_eq!(store.preserving(POOL, 2, ALL), Ok(vec![]));
    assert_eq!(store.clone_of(&id("b"), 2), Ok(None));
    assert_eq!(
        store.clones(&id("b")),
        Ok(vec![ObjectClone { id: 4, snaps: vec![4], size: 1, overlap: Intervals::up_to(1) }])
    );
    submit(&mut store, [on("a", [ObjectChange::DropSnap { snap: 4 }])]);
    assert_eq!(store.preserving(POOL, 4, ALL), Ok(vec![id("b")]));
    assert_eq!(store.clones(&id("a")), Ok(vec![]));
}

#[test]
fn totals_count_heads_and_the_bytes_of_all_states() {
    let mut store = MemoryStore::new();
    submit(&mut store, [put("a", b"1234"), put("b", b"12")]);
    assert_eq!(store.totals(POOL), Totals { objects: 2, bytes: 6 });
    submit(&mut store, [on("a", [clone(1, &[1]), write(b"123456")])]);
    assert_eq!(store.totals(POOL), Totals { objects: 2, bytes: 12 });
    submit(&mut store, [on("a", [ObjectChange::Remove])]);
    assert_eq!(store.totals(POOL), Totals { objects: 1, bytes: 6 });
    submit(&mut store, [on("a", [ObjectChange::DropSnap { snap: 1 }])]);
    assert_eq!(store.totals(POOL), Totals { objects: 1, bytes: 2 });
}

#[test]
fn nothing_is_left_of_an_object_without_head_and_clones() {
    let mut store = MemoryStore::new();
    let empty = format!("{:?}", store.list_by_hash(POOL, &HashPlace::default(), ALL));
    submit(&mut store, [put("a", b"x"), on("a", [ObjectChange::SnapSeq { seq: 3 }, ObjectChange::Remove])]);
    assert_eq!(store.snap_seq(&id("a")), Ok(0));
    assert_eq!(format!("{:?}", store.list_by_hash(POOL, &HashPlace::default(), ALL)), empty);
}

#[test]
fn records_are_kept_beside_the_objects_and_paged_by_prefix() {
    let mut store = MemoryStore::new();
    let record = |key: &str, value: Option<&'static str>| Change::Record {
        key: key.into(),
        value: value.map(Bytes::from),
    };
    let found = |store: &MemoryStore, prefix: &str, after: &str, max| {
        let records = store.records(prefix.as_bytes(), after.as_bytes(), max).expect("memory does not fail");
        let text = |(key, value): (Name, Bytes)| format!("{key}={}", String::from_utf8_lossy(&value));
        records.into_iter().map(text).collect::<Vec<_>>()
    };
    submit(
        &mut store,
        [record("a1", Some("x")), put("a", b"1"), record("a2", Some("y")), record("b", Some("z"))],
    );
    assert_eq!(found(&store, "a", "", ALL), ["a1=x", "a2=y"]);
    assert_eq!(found(&store, "a", "a1", ALL), ["a2=y"]);
    assert_eq!(found(&store, "", "", 2), ["a1=x", "a2=y"]);
    submit(&mut store, [record("a1", None), record("absent", None), record("a2", Some("again"))]);
    assert_eq!(found(&store, "", "", ALL), ["a2=again", "b=z"]);
    assert_eq!(read(&store, "a", At::Head), Some(b"1".to_vec()));
}

fn overlaps(store: &MemoryStore, name: &str) -> Vec<Intervals> {
    let clones = store.clones(&id(name)).expect("memory does not fail");
    clones.into_iter().map(|clone| clone.overlap).collect()
}

fn at(offset: u64, data: &'static [u8]) -> ObjectChange {
    ObjectChange::Write { offset, data: Bytes::from_static(data) }
}

fn set(ranges: &[(u64, u64)]) -> Intervals {
    ranges.iter().map(|&(start, end)| start..end).collect()
}

#[test]
fn an_overlap_is_what_was_not_written_since_byte_by_byte() {
    let mut store = MemoryStore::new();
    submit(&mut store, [on("a", [ObjectChange::Create, at(0, b"0123456789"), clone(1, &[1])])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(0, 10)])]);
    let same = at(2, b"23");
    submit(&mut store, [on("a", [same, ObjectChange::Zero { offset: 5, length: 1 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(0, 2), (4, 5), (6, 10)])], "whether it differs does not count");
    submit(&mut store, [on("a", [ObjectChange::Truncate { size: 8 }, ObjectChange::Truncate { size: 20 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(0, 2), (4, 5), (6, 8)])]);
    submit(&mut store, [on("a", [clone(2, &[2]), at(0, b"x")])]);
    assert_eq!(
        overlaps(&store, "a"),
        [set(&[(0, 2), (4, 5), (6, 8)]), set(&[(1, 20)])],
        "an older one is final"
    );
    submit(&mut store, [on("a", [ObjectChange::Remove])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(0, 2), (4, 5), (6, 8)]), set(&[])]);
}

#[test]
fn a_clone_that_goes_leaves_the_older_one_what_both_share() {
    let mut store = MemoryStore::new();
    submit(&mut store, [on("a", [ObjectChange::Create, at(0, b"0123456789")])]);
    submit(&mut store, [on("a", [clone(1, &[1]), at(0, b"x"), clone(2, &[2]), at(4, b"x")])]);
    submit(&mut store, [on("a", [clone(3, &[3]), at(8, b"x")])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(1, 10)]), set(&[(0, 4), (5, 10)]), set(&[(0, 8), (9, 10)])]);
    submit(&mut store, [on("a", [ObjectChange::DropSnap { snap: 2 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(1, 4), (5, 10)]), set(&[(0, 8), (9, 10)])]);
    submit(&mut store, [on("a", [ObjectChange::DropSnap { snap: 1 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(0, 8), (9, 10)])], "the oldest one leaves nothing to anybody");
}

#[test]
fn a_restored_object_shares_with_the_newest_clone_what_none_in_between_has_written() {
    let mut store = MemoryStore::new();
    submit(&mut store, [on("a", [ObjectChange::Create, at(0, b"0123456789")])]);
    submit(&mut store, [on("a", [clone(1, &[1]), at(0, b"x"), clone(2, &[2]), at(4, b"x")])]);
    submit(&mut store, [on("a", [ObjectChange::Restore { clone: 1 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(1, 10)]), set(&[(1, 4), (5, 10)])]);
    submit(&mut store, [on("a", [ObjectChange::Restore { clone: 2 }])]);
    assert_eq!(overlaps(&store, "a"), [set(&[(1, 10)]), set(&[(1, 4), (5, 10)])]);
}

#[test]
fn the_header_of_a_map_is_a_part_of_each_state() {
    let mut store = MemoryStore::new();
    let header = |text: &'static str| ObjectChange::OmapHeader { header: text.into() };
    submit(&mut store, [on("a", [ObjectChange::Create, header("one"), clone(1, &[1]), header("two!")])]);
    let read = |at| store.omap_header(&id("a"), at).expect("memory does not fail");
    assert_eq!((read(At::Clone(1)), read(At::Head)), ("one".into(), "two!".into()));
    let stat = store.stat(&id("a"), At::Head).expect("memory does not fail").expect("it is there");
    assert_eq!((stat.entries, stat.entry_bytes), (0, 4));
    assert_eq!(store.omap_header(&id("b"), At::Head), Ok(Bytes::new()));
}
