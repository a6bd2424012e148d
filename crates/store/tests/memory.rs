//! `MemoryStore`: what a transaction makes visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use store::{
    Change, Extents, MemoryStore, Object, ObjectId, PoolId, Seq, SnapSet, Store, Totals, Transaction,
};

const POOL: PoolId = PoolId(1);

fn id(name: &str) -> ObjectId {
    ObjectId { pool: POOL, name: name.into() }
}

fn put(name: &str, data: &'static [u8]) -> Change {
    let extents: Extents = [(0, Bytes::from_static(data))].into_iter().collect();
    let object = Object { size: data.len() as u64, data: Arc::new(extents), ..Object::default() };
    Change::PutHead { id: id(name), object }
}

fn submit(store: &mut MemoryStore, changes: impl Into<Vec<Change>>) -> Seq {
    store.submit(Transaction { changes: changes.into() })
}

#[test]
fn a_submitted_transaction_is_visible_and_durable() {
    let mut store = MemoryStore::new();
    assert_eq!(submit(&mut store, [put("a", b"one")]), Seq(1));
    assert_eq!(submit(&mut store, [put("a", b"two!")]), Seq(2));
    assert_eq!((store.newest(), store.durable()), (Seq(2), Seq(2)));
    assert_eq!(store.object(&id("a"), None).expect("it was put").size, 4);
    assert_eq!(store.object(&ObjectId { pool: PoolId(2), name: "a".into() }, None), None);
}

#[test]
fn a_clone_keeps_the_state_that_head_had() {
    let mut store = MemoryStore::new();
    submit(&mut store, [put("a", b"old")]);
    submit(&mut store, [Change::CloneHead { id: id("a"), clone: 5 }, put("a", b"newer")]);
    submit(&mut store, [Change::RemoveHead { id: id("a") }]);
    assert_eq!(store.object(&id("a"), None), None);
    assert_eq!(store.object(&id("a"), Some(5)).expect("it was cloned").size, 3);
}

#[test]
fn a_listing_is_paged_in_order_and_has_no_removed_objects() {
    let mut store = MemoryStore::new();
    submit(&mut store, ["b", "a.2", "a.1", "a.3", "c"].map(|name| put(name, b"x")));
    let preserve = [Change::CloneHead { id: id("a.2"), clone: 1 }, Change::RemoveHead { id: id("a.2") }];
    submit(&mut store, preserve);
    assert_eq!(store.list(POOL, "a.", "", 10), ["a.1", "a.3"]);
    assert_eq!(store.list(POOL, "", "", 2), ["a.1", "a.3"]);
    assert_eq!(store.list(POOL, "", "a.3", 2), ["b", "c"]);
    assert_eq!(store.list(POOL, "a.", "a.1", 10), ["a.3"]);
    assert_eq!(store.list(POOL, "a.", "b", 10), [""; 0]);
}

#[test]
fn the_index_of_preserving_objects_follows_the_snap_sets() {
    let mut store = MemoryStore::new();
    let snap_set = |clones| Some(SnapSet { seq: 9, clones });
    let put_set = |name, clones| Change::PutSnapSet { id: id(name), snap_set: snap_set(clones) };
    submit(
        &mut store,
        [put_set("b", BTreeMap::from([(4, vec![4, 2])])), put_set("a", [(4, vec![4])].into())],
    );
    assert_eq!(store.preserving(POOL, 4), [id("a"), id("b")]);
    assert_eq!(store.preserving(POOL, 2), [id("b")]);
    submit(&mut store, [put_set("b", BTreeMap::from([(4, vec![4])]))]);
    assert_eq!(store.preserving(POOL, 2), []);
    submit(&mut store, [Change::PutSnapSet { id: id("a"), snap_set: None }]);
    assert_eq!(store.preserving(POOL, 4), [id("b")]);
}

#[test]
fn totals_count_heads_and_the_bytes_of_all_states() {
    let mut store = MemoryStore::new();
    submit(&mut store, [put("a", b"1234"), put("b", b"12")]);
    assert_eq!(store.totals(POOL), Totals { objects: 2, bytes: 6 });
    submit(&mut store, [Change::CloneHead { id: id("a"), clone: 1 }, put("a", b"123456")]);
    assert_eq!(store.totals(POOL), Totals { objects: 2, bytes: 12 });
    submit(&mut store, [Change::RemoveHead { id: id("a") }, Change::RemoveClone { id: id("a"), clone: 1 }]);
    assert_eq!(store.totals(POOL), Totals { objects: 1, bytes: 2 });
}
