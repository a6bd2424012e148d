//! Op vectors: results, errors and atomicity.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{World, bytes, compare_xattr, exec, outputs, write};
use errno::Errno;
use osd::op::{Dialect, Op, Output, Vector};
use osd::vector::{Fact, mutates, summary};
use proto::cls::lock::v1::{Lock, LockType};
use store::Name;

fn key(name: &str) -> Name {
    name.into()
}

#[test]
fn a_read_is_cut_at_the_end_and_holes_are_zeros() {
    let mut world = World::new();
    let read = |offset, length| Op::Read { offset, length };
    world.must("a", [write(2, b"xyz")]);
    let results = outputs(&world.must("a", [read(0, 0), read(1, 3), read(4, 9), read(9, 1)]));
    let results: Vec<Vec<u8>> = results.iter().map(bytes).collect();
    assert_eq!(results, [b"\0\0xyz".to_vec(), b"\0xy".to_vec(), b"z".to_vec(), b"".to_vec()]);
}

#[test]
fn a_sparse_read_returns_only_data_at_its_offsets() {
    let mut world = World::new();
    let ops = [write(2, b"ab"), Op::Truncate { size: 9 }, Op::SparseRead { offset: 1, length: 2 }];
    let results = outputs(&world.must("a", ops));
    assert_eq!(
        results[2],
        Output::SparseRead { data: [(2, Bytes::from_static(b"a"))].into_iter().collect() }
    );
}

#[test]
fn data_ops_change_what_they_say() {
    let mut world = World::new();
    world.must(
        "a",
        [write(0, b"abcdef"), Op::Zero { offset: 1, length: 2 }, Op::Zero { offset: 5, length: 90 }],
    );
    assert_eq!(world.read("a", None), Some(b"a\0\0de".to_vec()));
    world.must("a", [Op::Truncate { size: 1 }, Op::Truncate { size: 3 }]);
    assert_eq!(world.read("a", None), Some(b"a\0\0".to_vec()));
    world.must("a", [write(5, b"")]);
    assert_eq!(world.read("a", None), Some(b"a\0\0\0\0".to_vec()));
    world.must("a", [Op::WriteFull { data: Bytes::from_static(b"z") }]);
    assert_eq!(world.read("a", None), Some(b"z".to_vec()));
}

#[test]
fn zero_leaves_a_missing_object_missing() {
    let mut world = World::new();
    let evaluated = world.must("a", [Op::Zero { offset: 0, length: 10 }]);
    assert_eq!((evaluated.version, evaluated.transaction), (0, None));
}

#[test]
fn zero_behind_the_end_changes_nothing() {
    let mut world = World::new();
    world.must("a", [write(0, b"abc")]);
    let zero = |offset, length| [Op::Zero { offset, length }];
    assert_eq!(world.must("a", zero(3, 10)).transaction, None);
    assert_eq!(world.must("a", zero(1, 0)).transaction, None);
    assert_eq!(world.read("a", None), Some(b"abc".to_vec()));
}

/// ceph-osd: a zero that reaches the end is a truncate.
#[test]
fn a_zero_that_reaches_the_end_cuts_the_object() {
    let mut world = World::new();
    world.must("a", [write(0, b"abc"), Op::Zero { offset: 1, length: u64::MAX }]);
    assert_eq!(world.read("a", None), Some(b"a".to_vec()));
    world.must("a", [Op::Zero { offset: 0, length: 1 }]);
    assert_eq!(world.read("a", None), Some(b"".to_vec()));
}

#[test]
fn truncate_leaves_a_missing_object_missing() {
    let mut world = World::new();
    let evaluated = world.must("a", [Op::Truncate { size: 10 }]);
    assert_eq!((evaluated.version, evaluated.transaction), (0, None));
    world.must("a", [Op::Create { exclusive: true }, Op::Truncate { size: 1 }]);
    assert_eq!(world.read("a", None), Some(b"\0".to_vec()));
}

#[test]
fn every_op_on_a_missing_object_that_needs_one_is_enoent() {
    let mut world = World::new();
    let ops = [
        Op::Read { offset: 0, length: 1 },
        Op::SparseRead { offset: 0, length: 1 },
        Op::Stat {},
        Op::AssertExists {},
        Op::AssertVersion { version: 1 },
        Op::Remove {},
        Op::GetXattr { name: key("x") },
        Op::ListXattrs {},
        Op::RemoveXattr { name: key("x") },
        compare_xattr("x", Bytes::new()),
        Op::OmapList { after: key(""), prefix: key(""), max: 0 },
        Op::OmapGet { keys: vec![key("x")] },
        Op::OmapRemove { keys: vec![key("x")] },
        Op::OmapCompare { key: key("x"), value: None },
        Op::ListSnaps {},
    ];
    for op in ops {
        assert_eq!(world.errno("a", [op.clone()]), Errno::ENOENT, "{op:?}");
    }
}

#[test]
fn an_exclusive_creation_refuses_an_object_that_exists() {
    let mut world = World::new();
    world.must("a", [Op::Create { exclusive: true }]);
    assert_eq!(world.errno("a", [Op::Create { exclusive: true }]), Errno::EEXIST);
    assert_eq!(world.must("a", [Op::Create { exclusive: false }]).transaction, None);
}

#[test]
fn assert_version_says_in_which_direction_it_differs() {
    let mut world = World::new();
    world.must("a", [write(0, b"1")]);
    let version = world.must("a", [write(0, b"2")]).version;
    let assert = |version| [Op::AssertVersion { version }];
    assert_eq!(world.must("a", assert(version)).version, version);
    assert_eq!(world.errno("a", assert(version - 1)), Errno::ERANGE);
    assert_eq!(world.errno("a", assert(version + 1)), Errno::EOVERFLOW);
    assert_eq!(world.errno("a", assert(0)), Errno::EINVAL);
}

#[test]
fn a_removed_and_created_object_never_repeats_a_version() {
    let mut world = World::new();
    let first = world.must("a", [write(0, b"1")]).version;
    assert_eq!(world.must("a", [Op::Remove {}]).version, 0);
    let second = world.must("a", [write(0, b"1"), Op::Stat {}]);
    assert!(second.version > first);
    let Output::Stat { size: 1, version, .. } = second.results[1].output else { panic!("{second:?}") };
    assert_eq!(version, second.version);
    assert_eq!(world.errno("a", [Op::AssertVersion { version: first }]), Errno::ERANGE);
}

#[test]
fn xattrs_are_set_compared_listed_and_removed() {
    let mut world = World::new();
    let value = Bytes::from_static(b"v");
    let name = key("x");
    let entries = BTreeMap::from([(name.clone(), value.clone())]);
    world.must("a", [Op::SetXattr { name: name.clone(), value: value.clone() }]);
    let results = outputs(&world.must("a", [Op::ListXattrs {}, Op::GetXattr { name: name.clone() }]));
    assert_eq!(results, [Output::Xattrs { entries: entries.clone() }, Output::Xattrs { entries }]);
    let compare = |name: &str, value: &'static [u8]| compare_xattr(name, value);
    world.must("a", [compare("x", b"v"), compare("missing", b"")]);
    assert_eq!(world.errno("a", [compare("x", b"w")]), Errno::ECANCELED);
    assert_eq!(world.errno("a", [compare("missing", b"w")]), Errno::ECANCELED);
    world.must("a", [Op::RemoveXattr { name: name.clone() }]);
    assert_eq!(world.must("a", [Op::RemoveXattr { name: name.clone() }]).transaction, None);
    assert_eq!(world.errno("a", [Op::GetXattr { name }]), Errno::ENODATA);
}

#[test]
fn an_xattr_has_a_name() {
    let mut world = World::new();
    world.must("a", [Op::Create { exclusive: true }]);
    let (name, value) = (Name::default(), Bytes::new());
    let ops = [
        Op::GetXattr { name: name.clone() },
        Op::SetXattr { name: name.clone(), value: value.clone() },
        Op::RemoveXattr { name },
        compare_xattr("", value),
    ];
    for op in ops {
        assert_eq!(world.errno("a", [op.clone()]), Errno::EINVAL, "{op:?}");
    }
}

#[test]
fn omap_is_listed_by_prefix_in_pages() {
    let mut world = World::new();
    let entries = ["a_1", "b_1", "b_2", "b_3", "c"].map(|name| (key(name), Bytes::from_static(b"v")));
    world.must("a", [Op::OmapSet { entries: entries.into() }]);
    let mut page = |after: &str, prefix: &str, max| {
        let evaluated = world.must("a", [Op::OmapList { after: key(after), prefix: key(prefix), max }]);
        let Output::Omap { entries, more } = &evaluated.results[0].output else { panic!("not a listing") };
        (entries.keys().map(Name::to_string).collect::<Vec<_>>().join(" "), *more)
    };
    assert_eq!(page("", "", 0), ("a_1 b_1 b_2 b_3 c".to_owned(), false));
    assert_eq!(page("", "b_", 2), ("b_1 b_2".to_owned(), true));
    assert_eq!(page("b_2", "b_", 2), ("b_3".to_owned(), false));
    assert_eq!(page("b_3", "b_", 2), (String::new(), false));
    assert_eq!(page("a_1", "", 1), ("b_1".to_owned(), true));
}

#[test]
fn omap_keys_are_read_compared_and_removed() {
    let mut world = World::new();
    let value = Bytes::from_static(b"v");
    let entries = BTreeMap::from([(key("k"), value.clone())]);
    world.must("a", [Op::OmapSet { entries: entries.clone() }]);
    let results = outputs(&world.must("a", [Op::OmapGet { keys: vec![key("k"), key("missing")] }]));
    assert_eq!(results, [Output::Omap { entries, more: false }]);
    let compare = |name: &str, value: Option<&'static [u8]>| Op::OmapCompare {
        key: key(name),
        value: value.map(Bytes::from),
    };
    world.must("a", [compare("k", Some(b"v")), compare("missing", None)]);
    assert_eq!(world.errno("a", [compare("k", None)]), Errno::ECANCELED);
    assert_eq!(world.errno("a", [compare("k", Some(b"w"))]), Errno::ECANCELED);
    assert_eq!(world.errno("a", [compare("missing", Some(b""))]), Errno::ECANCELED);
    world.must("a", [Op::OmapRemove { keys: vec![key("k")] }, compare("k", None)]);
    assert_eq!(world.must("a", [Op::OmapRemove { keys: vec![key("k")] }]).transaction, None);
}

/// One failing op undoes all, whatever the others did.
#[test]
fn a_failing_vector_changes_nothing() {
    let mut world = World::new();
    world.must("a", [write(0, b"before"), Op::SetXattr { name: key("x"), value: Bytes::new() }]);
    world.snap();
    let before = world.dump();
    let lock =
        Lock { name: "l".into(), r#type: LockType::Exclusive.into(), cookie: "c".into(), ..Lock::default() };
    let ops = [
        write(0, b"after"),
        exec("lock.lock", &lock),
        Op::OmapSet { entries: [(key("k"), Bytes::new())].into() },
        Op::Remove {},
        Op::Create { exclusive: true },
        Op::AssertVersion { version: 1_000 },
    ];
    let error = world.ops("a", ops).expect_err("the version is lower");
    assert_eq!((error.errno, error.failed_op), (Errno::EOVERFLOW, Some(5)));
    assert_eq!(world.dump(), before);
}

#[test]
fn an_error_names_the_op_the_object_and_the_rule() {
    let mut world = World::new();
    let error =
        world.ops("a", [Op::Create { exclusive: false }, Op::GetXattr { name: key("x") }]).unwrap_err();
    assert_eq!(error.to_string(), "get_xattr on rbd/a: there is no xattr \"x\" (ENODATA)");
    let error = world.ops("a", [Op::Stat {}]).unwrap_err();
    assert_eq!(error.to_string(), "stat on rbd/a: there is no such object (ENOENT)");
}

/// The reply to a vector within the limit fits into a message although each part of it is encoded with a frame.
#[test]
fn the_framing_of_small_results_counts_against_the_payload() {
    let mut world = World::new();
    world.limits.payload_bytes_max = 100;
    let keys: Vec<Name> = (0..5).map(|number| key(&number.to_string())).collect();
    let entries = BTreeMap::from_iter(keys.iter().map(|key| (key.clone(), Bytes::new())));
    let set_xattr = |name: &Name| Op::SetXattr { name: name.clone(), value: Bytes::new() };
    world.must("a", (0..5).map(|piece| write(piece * 2, &[1])).collect::<Vec<_>>());
    world.must("a", keys.iter().map(set_xattr).collect::<Vec<_>>());
    world.must("a", [Op::OmapSet { entries }]);
    let small = [
        Op::SparseRead { offset: 0, length: 0 },
        Op::OmapGet { keys },
        Op::OmapList { after: Name::default(), prefix: Name::default(), max: 0 },
        Op::ListXattrs {},
    ];
    for op in small {
        let error = world.ops("a", [op]).expect_err("the parts are small but their frames are not");
        assert_eq!((error.errno, error.failed_op), (Errno::E2BIG, Some(0)), "{error}");
        assert!(error.text.contains("payload_bytes_max = 100"), "{error}");
    }
    world.must("a", [Op::SparseRead { offset: 0, length: 4 }, Op::OmapGet { keys: vec![key("1")] }]);
}

#[test]
fn every_limit_is_named_by_the_error_at_it() {
    let mut world = World::new();
    world.limits.payload_bytes_max = 100;
    world.limits.ops_per_vector_max = 2;
    world.limits.object_bytes_max = 150;
    world.must("a", [write(0, &[1; 50]), write(50, &[1; 50])]);
    let cases: [(Vec<Op>, Errno, &str); 6] = [
        (vec![write(0, &[1; 101])], Errno::E2BIG, "payload_bytes_max = 100"),
        (
            vec![Op::Read { offset: 0, length: 0 }, Op::Read { offset: 0, length: 1 }],
            Errno::E2BIG,
            "payload_bytes_max",
        ),
        (vec![Op::Stat {}, Op::Stat {}, Op::Stat {}], Errno::E2BIG, "ops_per_vector_max = 2"),
        (vec![write(51, &[1; 100])], Errno::EFBIG, "object_bytes_max = 150"),
        (vec![write(u64::MAX, &[1])], Errno::EFBIG, "object_bytes_max"),
        (vec![Op::Truncate { size: 151 }], Errno::EFBIG, "object_bytes_max"),
    ];
    for (ops, errno, text) in cases {
        let error = world.ops("a", ops).expect_err("it is over a limit");
        assert_eq!(error.errno, errno, "{error}");
        assert!(error.text.contains(text), "{error}");
    }
    world.must("a", [write(50, &[1; 100])]);
}

#[test]
fn an_objects_name_has_1_to_256_bytes() {
    let mut world = World::new();
    assert_eq!(world.errno("", [Op::Create { exclusive: false }]), Errno::EINVAL);
    assert_eq!(world.errno(&"x".repeat(257), [Op::Create { exclusive: false }]), Errno::ENAMETOOLONG);
    world.must(&"x".repeat(256), [Op::Create { exclusive: false }]);
}

#[test]
fn an_unknown_class_or_method_is_not_supported() {
    let mut world = World::new();
    for name in ["nosuch.lock", "lock.nosuch"] {
        let op = exec(name, &());
        assert!(!mutates(std::slice::from_ref(&op)));
        assert_eq!(world.errno("a", [op]), Errno::EOPNOTSUPP);
    }
}

#[test]
fn input_that_does_not_decode_is_refused() {
    let mut world = World::new();
    let op = Op::Exec {
        class: "lock".into(),
        method: "lock".into(),
        dialect: Dialect::Protobuf,
        input: Bytes::from_static(b"\xff"),
    };
    assert_eq!(world.errno("a", [op]), Errno::EINVAL);
}

#[test]
fn only_vectors_that_may_change_the_object_mutate() {
    assert!(!mutates(&[
        Op::Stat {},
        Op::AssertExists {},
        exec("rbd.get_header", &()),
        exec("lock.assert_locked", &())
    ]));
    assert!(mutates(&[Op::Stat {}, exec("rbd.copyup", &())]));
    assert!(mutates(&[Op::Remove {}]));
}

#[test]
fn a_vector_that_changes_cannot_name_a_snapshot() {
    let mut world = World::new();
    let snap_id = Some(world.snap());
    let vector = Vector { snap_id, ..world.vector("a", [write(0, b"x")]) };
    assert_eq!(world.run(1, &vector).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_summary_names_ops_and_class_methods() {
    let ops = [exec("lock.lock", &()), exec("rbd.get_header", &()), Op::AssertExists {}];
    assert_eq!(summary(&ops), "lock.lock, rbd.get_header, assert_exists");
}

#[test]
fn a_removal_of_what_was_there_is_a_fact() {
    let mut world = World::new();
    world.must("a", [write(0, b"x")]);
    let recreated = world.must("a", [Op::Remove {}, Op::Create { exclusive: true }, Op::Remove {}]);
    assert_eq!(recreated.facts, [Fact::ObjectRemoved]);
    assert_eq!(world.must("a", [Op::Create { exclusive: true }, Op::Remove {}]).facts, []);
}

#[test]
fn small_values_are_kept_without_the_message_that_brought_them() {
    let mut world = World::new();
    let message = Bytes::from(vec![7; 1 << 20]);
    let value = message.slice(..100);
    let entries = BTreeMap::from([(key("k"), value.clone())]);
    world.must("a", [Op::SetXattr { name: key("x"), value: value.clone() }, Op::OmapSet { entries }]);
    let answer = world.must("a", [Op::GetXattr { name: key("x") }, Op::OmapGet { keys: vec![key("k")] }]);
    let (Output::Xattrs { entries: xattrs }, Output::Omap { entries: omap, .. }) =
        (&answer.results[0].output, &answer.results[1].output)
    else {
        panic!("{answer:?}")
    };
    for kept in [&xattrs[b"x".as_slice()], &omap[b"k".as_slice()]] {
        assert_eq!(kept, &value);
        assert_ne!(kept.as_ptr(), message.as_ptr());
    }
}

#[test]
fn a_name_or_a_key_that_is_too_long_is_refused_by_the_limit() {
    let mut world = World::new();
    let (name, omap_key) = ("n".repeat(257), "k".repeat(1025));
    let lock = Lock { name: name.clone(), r#type: LockType::Exclusive.into(), ..Lock::default() };
    let ops = [
        Op::SetXattr { name: key(&name), value: Bytes::new() },
        compare_xattr(&name, Bytes::new()),
        Op::GetXattr { name: key(&name) },
        Op::RemoveXattr { name: key(&name) },
        Op::Exec {
            class: name.clone(),
            method: "lock".into(),
            dialect: Dialect::Protobuf,
            input: Bytes::new(),
        },
        Op::Exec {
            class: "lock".into(),
            method: name.clone(),
            dialect: Dialect::Protobuf,
            input: Bytes::new(),
        },
        exec("lock.lock", &lock),
        Op::OmapSet { entries: [(key(&omap_key), Bytes::new())].into() },
        Op::OmapGet { keys: vec![key(&omap_key)] },
        Op::OmapRemove { keys: vec![key(&omap_key)] },
        Op::OmapCompare { key: key(&omap_key), value: None },
    ];
    for op in ops {
        let error = world.ops("a", [Op::Create { exclusive: false }, op]).expect_err("it is too long");
        assert_eq!((error.errno, error.failed_op), (Errno::ENAMETOOLONG, Some(1)), "{error}");
        assert!(error.text.contains("bytes, unlike"), "{error}");
        assert!(!error.text.contains(&name) && !error.text.contains(&omap_key), "{error}");
    }
    world.must("a", [Op::SetXattr { name: key(&name[1..]), value: Bytes::new() }]);
    world.must("a", [Op::OmapSet { entries: [(key(&omap_key[1..]), Bytes::new())].into() }]);
}

/// The text of an error travels in the header of a reply.
#[test]
fn an_error_stays_short_whatever_was_sent() {
    let mut world = World::new();
    let long = "x".repeat(1 << 20);
    let lock = Lock {
        name: "l".into(),
        r#type: LockType::Exclusive.into(),
        cookie: long.clone(),
        ..Lock::default()
    };
    world.must("a", [exec("lock.lock", &lock)]);
    let cases = [
        world.ops("a", [exec("lock.lock", &lock)]),
        world.ops(&long, [Op::Stat {}]),
        world.ops("a", vec![Op::Stat {}; 100_000]),
    ];
    for refused in cases {
        let error = refused.expect_err("it breaks a rule");
        assert!(error.text.len() < 4 << 10, "{} bytes", error.text.len());
    }
}
