//! Ops that only Ceph's clients have: each rule as a real OSD (16.2.15) was seen to follow it.

mod common;

use bytes::Bytes;
use common::{World, bytes, outputs, write};
use errno::Errno;
use osd::op::{Assertions, Checksum, Checksums, Comparison, Op, Operand, Output, Source, Terms, Vector};
use store::{Name, PoolId};

fn ceph() -> World {
    World { terms: Terms::ceph(), ..World::new() }
}

/// An object "a" with these bytes.
fn with(data: &[u8]) -> World {
    let mut world = ceph();
    world.must("a", [write(0, data)]);
    world
}

fn size(world: &mut World, object: &str) -> Option<u64> {
    let stat = world.ops(object, [Op::Stat {}]).ok()?;
    let [Output::Stat { size, .. }] = outputs(&stat)[..] else { panic!("not a stat's result") };
    Some(size)
}

fn version(world: &mut World, object: &str) -> u64 {
    world.must(object, [Op::Stat {}]).version
}

fn entries(pairs: &[(&str, &'static [u8])]) -> std::collections::BTreeMap<Name, Bytes> {
    pairs.iter().map(|&(name, value)| (name.into(), Bytes::from_static(value))).collect()
}

fn keys(world: &mut World, after: &str, max: u32) -> (Vec<Name>, bool) {
    let listed = outputs(&world.must("a", [Op::OmapKeys { after: after.into(), max }]));
    let [Output::Keys { keys, more }] = &listed[..] else { panic!("not keys: {listed:?}") };
    (keys.clone(), *more)
}

fn header(world: &mut World) -> Bytes {
    let read = outputs(&world.must("a", [Op::OmapHeader {}]));
    let [Output::Header { header }] = &read[..] else { panic!("not a header: {read:?}") };
    header.clone()
}

#[test]
fn append_writes_behind_the_end() {
    let mut world = with(b"one");
    world.must("a", [Op::Append { data: "two".into() }, Op::Append { data: "!".into() }]);
    assert_eq!(world.read("a", None), Some(b"onetwo!".to_vec()));
    world.must("b", [Op::Append { data: Bytes::new() }]);
    assert_eq!(size(&mut world, "b"), Some(0));
}

#[test]
fn writesame_repeats_its_data() {
    let mut world = ceph();
    let same = |length, data: &'static str| [Op::WriteSame { offset: 1, length, data: data.into() }];
    world.must("a", same(0, "ab"));
    assert_eq!(size(&mut world, "a"), None, "nothing is repeated nowhere");
    assert_eq!(world.errno("a", same(5, "ab")), Errno::EINVAL);
    assert_eq!(world.errno("a", same(5, "")), Errno::EINVAL);
    world.must("a", same(6, "ab"));
    assert_eq!(world.read("a", None), Some(b"\0ababab".to_vec()));
    assert_eq!(world.errno("a", same(1 << 40, "ab")), Errno::EFBIG);
}

#[test]
fn cmpext_says_where_it_failed() {
    let mut world = with(b"hello");
    let compare = |offset, data: &'static [u8]| [Op::CompareExtent { offset, data: data.into() }];
    let number = |world: &mut World, ops: [Op; 1]| {
        let vector = world.vector("a", ops);
        world.reply(1, &vector).map_or_else(|refused| refused.number(), |evaluated| evaluated.number)
    };
    assert_eq!(number(&mut world, compare(0, b"hello")), 0);
    assert_eq!(number(&mut world, compare(0, b"heLLo")), -4097);
    assert_eq!(number(&mut world, compare(0, b"hello\0\0")), 0, "beyond the end are zeros");
    assert_eq!(number(&mut world, compare(10, b"\0a\0")), -4096);
    assert_eq!(number(&mut world, compare(0, b"")), 0);
}

#[test]
fn cmpext_takes_what_is_missing_for_zeros_where_the_vector_writes() {
    let mut world = ceph();
    let compare = |data: &'static [u8]| Op::CompareExtent { offset: 0, data: data.into() };
    assert_eq!(world.errno("a", [compare(b"\0")]), Errno::ENOENT, "a vector that only reads needs an object");
    assert_eq!(world.errno("a", [compare(b"\0a"), write(0, b"x")]), Errno::EILSEQ);
    world.must("a", [compare(b"\0\0"), write(0, b"x")]);
    assert_eq!(world.read("a", None), Some(b"x".to_vec()));
}

#[test]
fn set_alloc_hint_makes_the_object() {
    let mut world = ceph();
    world.must("a", [Op::SetAllocHint {}]);
    assert_eq!(size(&mut world, "a"), Some(0));
}

#[test]
fn a_number_that_has_no_op_here_is_refused() {
    assert_eq!(ceph().errno("a", [write(0, b"x"), Op::Unsupported { code: 0x320a }]), Errno::EOPNOTSUPP);
}

#[test]
fn checksums_are_ceph_s() {
    let mut world = with(b"hello world!");
    let mut sums = |kind, offset, length, chunk| {
        let results =
            world.ops("a", [Op::Checksum { kind, offset, length, chunk }]).map_err(|error| error.errno)?;
        let [Output::Checksums { checksums, .. }] = &outputs(&results)[..] else { panic!("not checksums") };
        Ok(checksums.clone())
    };
    let narrow = |sums: &[u32]| Ok(Checksums::Narrow(sums.to_vec()));
    let xxh32 = Checksum::XxHash32(7);
    assert_eq!(sums(xxh32, 0, 0, 0), narrow(&[0xe0d2_5273]));
    assert_eq!(sums(xxh32, 0, 12, 4), narrow(&[0xd903_7599, 0xe5b9_edca, 0xc682_6941]));
    assert_eq!(sums(xxh32, 4, 100, 4), narrow(&[0xe5b9_edca, 0xc682_6941]));
    assert_eq!(sums(xxh32, 0, 12, 5), Err(Errno::EINVAL));
    assert_eq!(sums(xxh32, 4, 99, 3), Err(Errno::EINVAL), "the end cuts a chunk");
    assert_eq!(sums(xxh32, 0, 0, 4), Err(Errno::EINVAL));
    assert_eq!(sums(xxh32, 100, 4, 4), narrow(&[]));
    assert_eq!(sums(xxh32, 4, 0, 0), narrow(&[]));
    assert_eq!(sums(Checksum::Crc32c(u32::MAX), 0, 0, 0), narrow(&[0xb634_a888]));
    let crcs = narrow(&[0x5f66_0acb, 0x3ffa_6de8, 0x0176_c5fd]);
    assert_eq!(sums(Checksum::Crc32c(u32::MAX), 0, 12, 4), crcs);
    assert_eq!(sums(Checksum::XxHash64(7), 0, 0, 0), Ok(Checksums::Wide(vec![0x5155_9685_7622_624d])));
}

#[test]
fn an_object_is_at_most_object_bytes_max_long_and_nothing_begins_there() {
    let mut world = ceph();
    world.limits.object_bytes_max = 100;
    let zero = |offset, length| [Op::Zero { offset, length }];
    let too_big: [[Op; 1]; 8] = [
        [write(100, b"")],
        [write(99, b"ab")],
        [Op::Truncate { size: 100 }],
        [Op::WriteSame { offset: 100, length: 1, data: "a".into() }],
        zero(100, 1),
        zero(1, 101),
        zero(95, 10),
        zero(u64::MAX, u64::MAX),
    ];
    for ops in too_big {
        assert_eq!(world.errno("a", ops.clone()), Errno::EFBIG, "{ops:?}");
    }
    world.must("a", [write(99, b"a")]);
    world.must("a", zero(0, 100));
    assert_eq!(size(&mut world, "a"), Some(0));
    let mut own = World::new();
    own.must("a", [write(0, b"a"), Op::Zero { offset: 1 << 40, length: 1 }]);
}

#[test]
fn xattrs_compare_by_operators_as_text_and_as_numbers() {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let mut world = ceph();
    let set = |name: &str, value: &'static str| Op::SetXattr { name: name.into(), value: value.into() };
    world.must("a", [set("text", "b"), set("number", "12z")]);
    let mut holds = |name: &str, comparison, value: Operand| {
        world.ops("a", [Op::CompareXattr { name: name.into(), comparison, value }]).is_ok()
    };
    let texts = |text: &'static str| Operand::Bytes(text.into());
    let expected = [
        (Equal, [false, true, false]),
        (NotEqual, [true, false, true]),
        (Greater, [false, false, true]),
        (GreaterOrEqual, [false, true, true]),
        (Less, [true, false, false]),
        (LessOrEqual, [true, true, false]),
    ];
    for (comparison, expected) in expected {
        assert_eq!(
            ["a", "b", "bb"].map(|text| holds("text", comparison, texts(text))),
            expected,
            "{comparison:?}"
        );
        let numbers = [9, 12, 100].map(|number| holds("number", comparison, Operand::Number(number)));
        assert_eq!(numbers, expected, "{comparison:?}");
        assert_eq!(holds("missing", comparison, Operand::Number(0)), expected[1], "none is 0");
    }
}

#[test]
fn omap_keys_are_listed_in_pages_of_at_most_1024() {
    let mut world = ceph();
    let many = (0..1500).map(|number| (format!("{number:04}").into(), Bytes::new())).collect();
    world.must("a", [Op::OmapSet { entries: many }]);
    assert_eq!(keys(&mut world, "", 0), (vec![], true), "none were asked for");
    assert_eq!(keys(&mut world, "0001", 2), (vec!["0002".into(), "0003".into()], true));
    let (page, more) = keys(&mut world, "", 5000);
    assert_eq!((page.len(), more), (1024, true));
    let (page, more) = keys(&mut world, "1023", 5000);
    assert_eq!((page.len(), more), (476, false));
}

#[test]
fn a_range_of_keys_is_removed_without_its_end() {
    let mut world = ceph();
    let set = entries(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]);
    let remove = |from: &str, to: &str| Op::OmapRemoveRange { from: from.into(), to: to.into() };
    world.must("a", [Op::OmapSet { entries: set }]);
    let added = Op::OmapSet { entries: entries(&[("bb", b"5")]) };
    world.must("a", [added, remove("b", "d"), remove("z", "a"), remove("a", "a")]);
    assert_eq!(keys(&mut world, "", 9).0, ["a", "d"].map(Name::from), "the vector's own keys go, too");
}

#[test]
fn clearing_a_map_takes_its_header_too() {
    let mut world = ceph();
    let set = Op::OmapSet { entries: entries(&[("", b"0"), ("a", b"1")]) };
    world.must("a", [set, Op::OmapSetHeader { header: "header".into() }]);
    assert_eq!(header(&mut world), "header");
    world.must("a", [Op::OmapClear {}]);
    assert_eq!((keys(&mut world, "", 9), header(&mut world)), ((vec![], false), Bytes::new()));
}

#[test]
fn a_header_counts_among_the_bytes_of_entries() {
    let mut world = ceph();
    world.limits.entry_bytes_per_object_max = 5;
    let set = |header: &'static str| [Op::OmapSetHeader { header: header.into() }];
    assert_eq!(world.errno("a", set("123456")), Errno::EDQUOT);
    world.must("a", set("12345"));
    world.must("a", set("1234"));
    let one_more = |value| [Op::OmapSet { entries: entries(&[("k", value)]) }];
    assert_eq!(world.errno("a", one_more(b"1")), Errno::EDQUOT);
    world.must("a", one_more(b""));
}

#[test]
fn omap_cmp_compares_what_is_stored_with_what_is_given() {
    use Comparison::{Equal, Greater, Less, NotEqual};
    let mut world = ceph();
    world.must("a", [Op::OmapSet { entries: entries(&[("k", b"b")]) }]);
    let mut compare = |key: &str, comparison, value: &'static str| {
        let assertions: Assertions = [(key.into(), (value.into(), comparison))].into();
        world.ops("a", [Op::OmapCompareAll { assertions }]).map(drop).map_err(|error| error.errno)
    };
    let failed = Err(Errno::ECANCELED);
    assert_eq!(["a", "b", "c"].map(|value| compare("k", Equal, value)), [failed, Ok(()), failed]);
    assert_eq!(["a", "b", "c"].map(|value| compare("k", Greater, value)), [Ok(()), failed, failed]);
    assert_eq!(["a", "b", "c"].map(|value| compare("k", Less, value)), [failed, failed, Ok(())]);
    assert_eq!(["", "c"].map(|value| compare("none", Equal, value)), [Ok(()), failed], "none is empty");
    assert_eq!(compare("k", NotEqual, "a"), Err(Errno::EINVAL));
}

#[test]
fn what_creates_a_missing_object_and_what_needs_one() {
    let set = |name: &str| Op::SetXattr { name: name.into(), value: Bytes::new() };
    let creating = [
        Op::Append { data: Bytes::new() },
        Op::SetAllocHint {},
        set("x"),
        Op::OmapSet { entries: entries(&[]) },
        Op::OmapSetHeader { header: Bytes::new() },
        Op::WriteFull { data: Bytes::new() },
        Op::Create { exclusive: true },
    ];
    for op in creating {
        let mut world = ceph();
        world.must("a", [op.clone()]);
        assert_eq!(size(&mut world, "a"), Some(0), "{op:?}");
    }
    let name = || Name::from("x");
    let needing = [
        Op::RemoveXattr { name: name() },
        Op::OmapRemove { keys: vec![name()] },
        Op::OmapClear {},
        Op::OmapRemoveRange { from: name(), to: name() },
        Op::Remove {},
        Op::AssertExists {},
    ];
    for op in needing {
        assert_eq!(ceph().errno("a", [op.clone()]), Errno::ENOENT, "{op:?}");
    }
    for op in [Op::Truncate { size: 3 }, Op::Zero { offset: 0, length: 3 }] {
        let mut world = ceph();
        world.must("a", [op.clone()]);
        assert_eq!(size(&mut world, "a"), None, "{op:?}");
    }
}

#[test]
fn an_op_that_finds_nothing_to_change_still_gives_a_version() {
    let name = || Name::from("none");
    let ops = [
        Op::Create { exclusive: false },
        Op::OmapRemove { keys: vec![name()] },
        Op::RemoveXattr { name: name() },
        Op::SetAllocHint {},
        Op::OmapSet { entries: entries(&[]) },
        Op::Truncate { size: 1 },
        write(1, b""),
        Op::OmapClear {},
    ];
    for op in ops {
        let mut world = with(b"1");
        let before = version(&mut world, "a");
        world.must("a", [op.clone()]);
        assert_eq!(version(&mut world, "a"), before + 1, "{op:?}");
        world.must("a", [Op::Zero { offset: 10, length: 1 }]);
        assert_eq!(version(&mut world, "a"), before + 1, "but there is nothing to zero");
    }
}

fn source(world: &World, object: &str, snap_id: Option<u64>) -> Source {
    Source { pool: world.pool.id, namespace: Name::default(), object: object.into(), snap_id }
}

#[test]
fn a_copy_is_all_of_the_source_and_nothing_of_what_was_there() {
    let mut world = ceph();
    let xattr = |name: &str| Op::SetXattr { name: name.into(), value: "v".into() };
    let omap = |key: &str| Op::OmapSet { entries: [(key.into(), "v".into())].into() };
    let header = |header: &'static str| Op::OmapSetHeader { header: header.into() };
    world.must("from", [write(2, b"data"), Op::Truncate { size: 9 }, xattr("x"), omap("k"), header("h")]);
    world.must("a", [write(0, b"much more than that"), xattr("y"), omap("l")]);
    let source = source(&world, "from", None);
    world.must("a", [Op::CopyFrom { source, version: 0 }]);
    assert_eq!(world.read("a", None), Some(b"\0\0data\0\0\0".to_vec()));
    let reads =
        [Op::ListXattrs {}, Op::OmapList { after: "".into(), prefix: "".into(), max: 9 }, Op::OmapHeader {}];
    let header = Output::Header { header: "h".into() };
    let (xattrs, omap) = (entries(&[("x", b"v")]), entries(&[("k", b"v")]));
    let expected = [Output::Xattrs { entries: xattrs }, Output::Omap { entries: omap, more: false }, header];
    assert_eq!(outputs(&world.must("a", reads)), expected);
}

#[test]
fn a_copy_takes_the_source_s_snapshot_and_checks_its_version() {
    let mut world = ceph();
    world.must("from", [write(0, b"old")]);
    let snap_id = world.snap();
    world.must("from", [write(0, b"new!")]);
    let version = version(&mut world, "from");
    let head = source(&world, "from", None);
    let copy = |source: &Source, version| [Op::CopyFrom { source: source.clone(), version }];
    assert_eq!(world.errno("a", copy(&head, version + 1)), Errno::EOVERFLOW);
    assert_eq!(world.errno("a", copy(&head, version - 1)), Errno::ERANGE);
    world.must("a", copy(&head, version));
    assert_eq!(world.read("a", None), Some(b"new!".to_vec()));
    let preserved = Source { snap_id: Some(snap_id), ..head.clone() };
    world.must("a", copy(&preserved, 0));
    assert_eq!(world.read("a", None), Some(b"old".to_vec()));
    assert_eq!(world.errno("from", copy(&head, 0)), Errno::EINVAL, "it is itself");
    world.must("from", copy(&preserved, 0));
    assert_eq!(world.read("from", None), Some(b"old".to_vec()));
    for nowhere in [source(&world, "none", None), Source { pool: PoolId(99), ..head }] {
        assert_eq!(world.errno("a", copy(&nowhere, 0)), Errno::ENOENT);
    }
}

#[test]
fn list_snaps_says_what_each_clone_shares_with_the_next() {
    let mut world = with(b"0123456789");
    world.snap();
    world.must("a", [write(2, b"23"), Op::Zero { offset: 5, length: 1 }]);
    world.snap();
    world.must("a", [Op::WriteFull { data: "0123".into() }]);
    let listed = outputs(&world.must("a", [Op::ListSnaps {}]));
    let [Output::ListSnaps { clones, head_bytes, .. }] = &listed[..] else { panic!("{listed:?}") };
    let overlaps: Vec<Vec<_>> = clones.iter().map(|clone| clone.overlap.iter().collect()).collect();
    assert_eq!(overlaps, [vec![0..2, 4..5, 6..10], vec![]]);
    assert_eq!(*head_bytes, Some(4));
    assert_eq!(bytes(&outputs(&world.must("a", [Op::Read { offset: 0, length: 0 }]))[0]), b"0123");
    let missing = Vector { ..world.vector("b", [Op::ListSnaps {}]) };
    assert_eq!(world.run(1, &missing).expect_err("there is no such object").errno, Errno::ENOENT);
}
