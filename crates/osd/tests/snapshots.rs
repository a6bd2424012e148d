//! Snapshots of objects: what writes preserve, what reads at a snapshot see, rollback and trimming.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{World, compare_xattr, exec, outputs, write};
use errno::Errno;
use osd::op::{Op, Output, SnapContext, Vector};
use proptest::prelude::*;
use proto::cls::rbd::v1::Copyup;
use store::{At, Intervals, Name, ObjectClone, ObjectId, Store};

fn list_snaps(world: &mut World, object: &str) -> (u64, Vec<ObjectClone>, bool) {
    let results = outputs(&world.must(object, [Op::ListSnaps {}]));
    let [Output::ListSnaps { seq, clones, head_bytes }] = results.as_slice() else { panic!("{results:?}") };
    (*seq, clones.clone(), head_bytes.is_some())
}

/// A clone of three bytes that were all written since.
fn overwritten(id: u64, snaps: Vec<u64>) -> ObjectClone {
    ObjectClone { id, snaps, size: 3, overlap: Intervals::default() }
}

#[test]
fn the_first_write_after_a_snapshot_preserves_the_object() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snap = world.snap();
    world.must("a", [write(0, b"two!")]);
    world.must("a", [write(0, b"three")]);
    assert_eq!(world.read("a", None), Some(b"three".to_vec()));
    assert_eq!(world.read("a", Some(snap)), Some(b"one".to_vec()));
    let clones = vec![overwritten(snap, vec![snap])];
    assert_eq!(list_snaps(&mut world, "a"), (snap, clones, true));
}

#[test]
fn one_clone_preserves_all_snapshots_since_the_last_write() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snaps = [world.snap(), world.snap(), world.snap()];
    world.must("a", [write(0, b"two")]);
    let newer = world.snap();
    let clones = vec![overwritten(snaps[2], vec![snaps[2], snaps[1], snaps[0]])];
    assert_eq!(list_snaps(&mut world, "a"), (snaps[2], clones, true));
    assert!(snaps.iter().all(|&snap| world.read("a", Some(snap)) == Some(b"one".to_vec())));
    assert_eq!(
        world.read("a", Some(newer)),
        Some(b"two".to_vec()),
        "not written since: the snapshot sees HEAD"
    );
}

#[test]
fn a_clone_refers_to_the_same_bytes() {
    let mut world = World::new();
    let data = Bytes::from(vec![7; 1 << 16]);
    world.must("a", [Op::Write { offset: 0, data: data.clone() }]);
    let snap = world.snap();
    world.must("a", [write(1 << 16, b"more")]);
    let pieces = [None, Some(snap)].map(|snap_id| {
        let vector = Vector { snap_id, ..world.vector("a", [Op::Read { offset: 0, length: 1 << 16 }]) };
        let results = outputs(&world.run(1, &vector).expect("it exists"));
        let [Output::Read { data: read, .. }] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!(read.to_bytes(0, 1 << 16), data);
        read.iter().map(|(_, piece)| piece.as_ptr()).collect::<Vec<_>>()
    });
    assert_eq!(pieces[0], pieces[1]);
}

#[test]
fn a_vector_that_only_reads_preserves_nothing() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    world.snap();
    let evaluated =
        world.must("a", [Op::AssertExists {}, Op::Stat {}, exec("rbd.copyup", &Copyup { data: "x".into() })]);
    assert_eq!(evaluated.transaction, None);
}

#[test]
fn an_object_created_under_a_snapshot_is_absent_in_it() {
    let mut world = World::new();
    let snap = world.snap();
    world.must("a", [write(0, b"one")]);
    assert_eq!(world.read("a", Some(snap)), None);
}

/// A deep copy-up relies on it: facts 6.5.
#[test]
fn an_object_created_under_an_empty_context_looks_older_than_every_snapshot() {
    let mut world = World::new();
    let snaps = [world.snap(), world.snap()];
    let empty = SnapContext::default();
    let copyup = [exec("rbd.copyup", &Copyup { data: "parent".into() })];
    let vector = Vector { snap_context: empty, ..world.vector("a", copyup) };
    world.run(1, &vector).expect("the object is missing");
    world.must("a", [write(0, b"HEAD!!")]);
    assert_eq!(world.read("a", None), Some(b"HEAD!!".to_vec()));
    assert!(snaps.iter().all(|&snap| world.read("a", Some(snap)) == Some(b"parent".to_vec())));
}

#[test]
fn a_removal_keeps_what_snapshots_need() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snap = world.snap();
    world.must("a", [Op::Remove {}]);
    assert_eq!(world.read("a", None), None);
    assert_eq!(world.read("a", Some(snap)), Some(b"one".to_vec()));
    let clones = vec![overwritten(snap, vec![snap])];
    assert_eq!(list_snaps(&mut world, "a"), (snap, clones, false));
    assert_eq!(world.store.list(world.pool.id, b"", b"", b"", 10), Ok(vec![]));
}

#[test]
fn a_removal_under_no_new_snapshot_leaves_nothing() {
    let mut world = World::new();
    let empty = world.dump();
    world.snap();
    world.must("a", [write(0, b"one"), Op::Remove {}]);
    assert_eq!(world.dump(), empty);
    world.must("a", [write(0, b"one")]);
    world.must("a", [Op::Remove {}]);
    assert_eq!(world.errno("a", [Op::ListSnaps {}]), Errno::ENOENT);
}

#[test]
fn xattrs_and_omap_are_preserved_with_the_data() {
    let mut world = World::new();
    let set = |value: &'static [u8]| {
        let (key, value) = (Name::from("k"), Bytes::from(value));
        [
            Op::SetXattr { name: key.clone(), value: value.clone() },
            Op::OmapSet { entries: [(key, value)].into() },
        ]
    };
    world.must("a", set(b"old"));
    let snap_id = Some(world.snap());
    world.must("a", set(b"new"));
    let reads = [compare_xattr("k", "old"), Op::OmapCompare { key: "k".into(), value: Some("old".into()) }];
    let vector = Vector { snap_id, ..world.vector("a", reads) };
    world.run(1, &vector).expect("the snapshot has the old values");
}

#[test]
fn a_read_at_a_removed_snapshot_is_stale() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snap_id = Some(world.snap());
    world.remove_snap(1);
    for object in ["a", "missing"] {
        let vector = Vector { snap_id, ..world.vector(object, [Op::Stat {}]) };
        let error = world.run(1, &vector).unwrap_err();
        assert_eq!((error.errno, error.failed_op), (Errno::ESTALE, None), "{error}");
    }
    assert_eq!(world.errno("a", [Op::Rollback { snap_id: 1 }]), Errno::ESTALE);
}

#[test]
fn a_snapshot_that_was_never_allocated_is_invalid() {
    let mut world = World::new();
    for snap_id in [Some(0), Some(1)] {
        let vector = Vector { snap_id, ..world.vector("a", [Op::Stat {}]) };
        assert_eq!(world.run(1, &vector).unwrap_err().errno, Errno::EINVAL);
    }
}

#[test]
fn an_invalid_snap_context_is_refused() {
    let mut world = World::new();
    world.pool.snap_seq = 5;
    for (seq, snaps) in [(5, vec![1, 2]), (5, vec![2, 2]), (3, vec![4, 1]), (5, vec![1, 0]), (6, vec![1])] {
        world.context = SnapContext { seq, snaps };
        assert_eq!(world.errno("a", [write(0, b"x")]), Errno::EINVAL, "{:?}", world.context);
    }
    world.context = SnapContext { seq: 5, snaps: vec![4, 1] };
    world.must("a", [write(0, b"x")]);
}

#[test]
fn an_invalid_snap_context_is_named_by_its_first_ids() {
    let mut world = World::new();
    world.pool.snap_seq = 5;
    for (seq, rule) in [(5, "is not strictly descending, or has a 0"), (0, "has ids above seq 0")] {
        world.context = SnapContext { seq, snaps: vec![1; 4101] };
        let error = world.ops("a", [write(0, b"x")]).expect_err("it breaks a rule");
        assert!(error.text.ends_with(&format!("1, 1, 1, 1, 1, 1, 1, 1 and 4093 more {rule}")), "{error}");
    }
}

#[test]
fn a_writer_that_has_not_heard_of_a_removal_preserves_nothing_for_it() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let stale = {
        world.snap();
        world.context.clone()
    };
    world.remove_snap(1);
    let vector = Vector { snap_context: stale, ..world.vector("a", [write(0, b"two")]) };
    world.run(1, &vector).expect("the context is well formed");
    assert_eq!(list_snaps(&mut world, "a"), (1, vec![], true));
}

#[test]
fn a_rollback_brings_the_snapshots_state_and_preserves_newer_ones() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let old = world.snap();
    world.must("a", [write(0, b"second")]);
    let new = world.snap();
    world.must("a", [Op::Rollback { snap_id: old }]);
    assert_eq!(world.read("a", None), Some(b"one".to_vec()));
    assert_eq!(world.read("a", Some(new)), Some(b"second".to_vec()));
}

#[test]
fn a_rollback_removes_an_object_that_did_not_exist_then() {
    let mut world = World::new();
    let old = world.snap();
    world.must("a", [write(0, b"one")]);
    world.must("a", [Op::Rollback { snap_id: old }]);
    assert_eq!(world.read("a", None), None);
    assert_eq!(world.must("a", [Op::Rollback { snap_id: old }]).transaction, None);
}

#[test]
fn a_rollback_to_what_head_is_changes_nothing() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snap_id = world.snap();
    assert_eq!(world.must("a", [Op::Rollback { snap_id }]).transaction, None);
}

#[test]
fn trimming_removes_a_clone_with_its_last_snapshot() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    let snaps = [world.snap(), world.snap()];
    world.must("a", [write(0, b"two")]);
    world.remove_snap(snaps[1]);
    let clones = vec![overwritten(snaps[1], vec![snaps[0]])];
    assert_eq!(list_snaps(&mut world, "a").1, clones);
    assert_eq!(world.read("a", Some(snaps[0])), Some(b"one".to_vec()));
    world.remove_snap(snaps[0]);
    assert_eq!(list_snaps(&mut world, "a").1, []);
    assert_eq!(world.store.totals(world.pool.id).bytes, 3);
}

#[test]
fn trimming_does_not_change_the_version_of_head() {
    let mut world = World::new();
    world.must("a", [write(0, b"one")]);
    world.snap();
    let version = world.must("a", [write(0, b"two")]).version;
    world.remove_snap(1);
    assert_eq!(world.must("a", [Op::Stat {}]).version, version);
    assert!(world.must("a", [write(0, b"x")]).version > version);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64, u8),
    WriteFull(u64, u8),
    Zero(u64, u64),
    Truncate(u64),
    Remove,
    Snap,
    RemoveSnap(prop::sample::Index),
    Rollback(prop::sample::Index),
    /// A vector of this and a failing op.
    Refused(u64, u64, u8),
}

const SPAN: u64 = 40_000;

fn step() -> impl Strategy<Value = Step> {
    let length = || prop_oneof![0..100u64, 0..SPAN];
    prop_oneof![
        4 => (0..SPAN, length(), any::<u8>()).prop_map(|(offset, length, fill)| Step::Write(offset, length, fill)),
        1 => (length(), any::<u8>()).prop_map(|(length, fill)| Step::WriteFull(length, fill)),
        2 => (0..SPAN, length()).prop_map(|(offset, length)| Step::Zero(offset, length)),
        1 => (0..SPAN).prop_map(Step::Truncate),
        1 => Just(Step::Remove),
        3 => Just(Step::Snap),
        1 => any::<prop::sample::Index>().prop_map(Step::RemoveSnap),
        2 => any::<prop::sample::Index>().prop_map(Step::Rollback),
        1 => (0..SPAN, length(), any::<u8>()).prop_map(|(offset, length, fill)| Step::Refused(offset, length, fill)),
    ]
}

/// What the object should be: plain bytes, now and at each snapshot.
#[derive(Default)]
struct Model {
    head: Option<Vec<u8>>,
    snaps: BTreeMap<u64, Option<Vec<u8>>>,
}

impl Model {
    fn write(&mut self, offset: u64, data: &[u8]) {
        let head = self.head.get_or_insert_default();
        let end = offset as usize + data.len();
        head.resize(head.len().max(end), 0);
        head[offset as usize..end].copy_from_slice(data);
    }

    fn zero(&mut self, offset: u64, length: u64) {
        if let Some(head) = &mut self.head {
            let end = (offset + length) as usize;
            match head.len() {
                size if length == 0 || offset as usize >= size => {}
                size if end >= size => head.truncate(offset as usize),
                _ => head[offset as usize..end].fill(0),
            }
        }
    }

    fn pick(&self, index: &prop::sample::Index) -> Option<u64> {
        let ids: Vec<u64> = self.snaps.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[index.index(ids.len())])
    }
}

fn apply(step: &Step, world: &mut World, model: &mut Model) {
    match step {
        Step::Write(offset, length, fill) => {
            let data = vec![*fill; *length as usize];
            world.must("a", [write(*offset, &data)]);
            model.write(*offset, &data);
        }
        Step::WriteFull(length, fill) => {
            let data = vec![*fill; *length as usize];
            world.must("a", [Op::WriteFull { data: data.clone().into() }]);
            model.head = Some(data);
        }
        Step::Zero(offset, length) => {
            world.must("a", [Op::Zero { offset: *offset, length: *length }]);
            model.zero(*offset, *length);
        }
        Step::Truncate(size) => {
            world.must("a", [Op::Truncate { size: *size }]);
            if let Some(head) = &mut model.head {
                head.resize(*size as usize, 0);
            }
        }
        Step::Remove => {
            let removed = world.ops("a", [Op::Remove {}]);
            assert_eq!(removed.is_ok(), model.head.take().is_some());
        }
        Step::Snap => {
            model.snaps.insert(world.snap(), model.head.clone());
        }
        Step::RemoveSnap(index) => {
            if let Some(id) = model.pick(index) {
                world.remove_snap(id);
                model.snaps.remove(&id);
            }
        }
        Step::Rollback(index) => {
            if let Some(snap_id) = model.pick(index) {
                world.must("a", [Op::Rollback { snap_id }]);
                model.head = model.snaps[&snap_id].clone();
            }
        }
        Step::Refused(offset, length, fill) => {
            let before = world.dump();
            let data = vec![*fill; *length as usize];
            assert_eq!(
                world.errno("a", [write(*offset, &data), Op::Create { exclusive: true }]),
                Errno::EEXIST
            );
            assert_eq!(world.dump(), before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// I2: a snapshot never changes, whatever happens to HEAD and to other snapshots.
    #[test]
    fn head_and_every_snapshot_hold_what_the_model_holds(steps in prop::collection::vec(step(), 1..30)) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in &steps {
            apply(step, &mut world, &mut model);
            prop_assert_eq!(&world.read("a", None), &model.head, "HEAD after {:?}", step);
            for (&snap, expected) in &model.snaps {
                prop_assert_eq!(&world.read("a", Some(snap)), expected, "snapshot {} after {:?}", snap, step);
            }
        }
        // I6: with the snapshots gone, nothing but HEAD is left.
        model.snaps.keys().for_each(|&snap| world.remove_snap(snap));
        let clones = (1..=world.pool.snap_seq).filter(|&snap| {
            let id = ObjectId::new(world.pool.id, "a");
            world.store.stat(&id, At::Clone(snap)).is_ok_and(|stat| stat.is_some())
        });
        prop_assert_eq!(clones.count(), 0);
        prop_assert_eq!(world.read("a", None), model.head);
    }
}
