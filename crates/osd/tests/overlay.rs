//! What an op sees of the ops before it in its vector: what it would see if they were vectors of their own.

mod common;

use bytes::Bytes;
use common::{World, outputs};
use osd::op::{Op, Output};
use proptest::prelude::*;
use store::Name;

const SPAN: u64 = 40_000;

fn range() -> impl Strategy<Value = (u64, u64)> {
    (0..SPAN, prop_oneof![0..100u64, 0..SPAN])
}

fn key() -> impl Strategy<Value = Name> {
    (0..4u8).prop_map(|key| Name::from([b'k', key].as_slice()))
}

fn value() -> impl Strategy<Value = Bytes> {
    any::<u8>().prop_map(|value| Bytes::from(vec![value; 3]))
}

fn op() -> impl Strategy<Value = Op> {
    let data = |length: u64, fill| Bytes::from(vec![fill; length as usize]);
    prop_oneof![
        4 => (range(), any::<u8>()).prop_map(move |((offset, length), fill)| Op::Write { offset, data: data(length, fill) }),
        1 => (range(), any::<u8>()).prop_map(move |((_, length), fill)| Op::WriteFull { data: data(length, fill) }),
        2 => range().prop_map(|(offset, length)| Op::Zero { offset, length }),
        2 => (0..SPAN).prop_map(|size| Op::Truncate { size }),
        1 => Just(Op::Create { exclusive: false }),
        2 => (key(), value()).prop_map(|(name, value)| Op::SetXattr { name, value }),
        2 => (key(), value()).prop_map(|(key, value)| Op::OmapSet { entries: [(key, value)].into() }),
        1 => Just(Op::Rollback { snap_id: 1 }),
        1 => Just(Op::Rollback { snap_id: 2 }),
    ]
}

/// Of an object that is there.
fn op_on_object() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => Just(Op::Remove {}),
        2 => key().prop_map(|name| Op::RemoveXattr { name }),
        2 => key().prop_map(|key| Op::OmapRemove { keys: vec![key] }),
    ]
}

/// All that can be read of an object; it is there.
fn reads() -> [Op; 6] {
    let k1 = || Name::from([b'k', 1].as_slice());
    [
        Op::Create { exclusive: false },
        Op::Read { offset: 0, length: 0 },
        Op::SparseRead { offset: 100, length: 9_000 },
        Op::ListXattrs {},
        Op::OmapList { after: k1(), prefix: Name::default(), max: 2 },
        Op::OmapGet { keys: vec![k1()] },
    ]
}

/// An object with two snapshots; the vector is made under both.
fn world() -> World {
    let mut world = World::new();
    let set = |value: &'static str| Op::OmapSet {
        entries: [(Name::from([b'k', 1].as_slice()), value.into())].into(),
    };
    world.must("a", [Op::Write { offset: 10, data: Bytes::from(vec![1; 20_000]) }, set("first")]);
    world.snap();
    world.must("a", [Op::Write { offset: 5_000, data: Bytes::from(vec![2; 9_000]) }, set("second")]);
    world.snap();
    world
}

/// Bytes and entries, without versions and times.
fn shown(output: &Output) -> String {
    match output {
        Output::Read { data, offset, length } => format!("{:?}", data.to_bytes(*offset, *length)),
        Output::SparseRead { data } => format!("{:?}", data.joined().collect::<Vec<_>>()),
        output => format!("{output:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_op_sees_what_the_ops_before_it_in_the_vector_did(
        ops in prop::collection::vec(prop_oneof![4 => op(), 1 => op_on_object()], 1..9),
    ) {
        let steps = ops.iter().flat_map(|op| [vec![op.clone()], reads().to_vec()].concat()).collect::<Vec<_>>();
        let mut apart = world();
        let one_by_one: Vec<String> =
            steps.iter().map(|op| shown(&outputs(&apart.must("a", [op.clone()]))[0])).collect();
        let mut together = world();
        let in_one: Vec<String> = outputs(&together.must("a", steps)).iter().map(shown).collect();
        prop_assert_eq!(in_one, one_by_one);
        for snap_id in [None, Some(1), Some(2)] {
            prop_assert_eq!(together.read("a", snap_id), apart.read("a", snap_id), "{:?}", snap_id);
        }
    }
}
