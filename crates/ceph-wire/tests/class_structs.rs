//! Structs of Ceph's classes as its own encoder writes them, read and written again.

use std::fmt::Debug;
use std::ops::Range;

use ceph_wire::cls::{
    AssertLocked, BitVector, BitVectorLayout, BreakLock, ChildImageSpec, GroupImageSpec, GroupImageStatus,
    GroupSnapshot, GroupSpec, ImageSnapshotSpec, Lock, LockInfo, LockName, LockNames, LockerId, LockerInfo,
    MigrationSpec, MirrorDirection, MirrorImage, MirrorImageMap, MirrorImageMode, MirrorImageStatus,
    MirrorPeer, MirrorSiteState, MirrorSiteStatus, ObjectState, ParentImageSpec, ParentRecord, SetCookie,
    SnapshotInfo, SnapshotNamespace, SnapshotRecord, Unlock,
};
use ceph_wire::{Wire, from_bytes, to_bytes};

const STRUCTS: &str = include_str!("golden/class-structs.txt");

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// All examples of a type, by its name in C++.
fn examples(name: &str) -> Vec<Vec<u8>> {
    let of_type = |line: &str| line.split_once(' ').filter(|(of, _)| *of == name).map(|(_, hex)| unhex(hex));
    STRUCTS.lines().filter_map(of_type).collect()
}

/// Each is read, and written again byte for byte.
fn rewritten<T: Wire>(name: &str, count: usize) -> Vec<T> {
    let examples = examples(name);
    assert_eq!(examples.len(), count, "{name}");
    let read = |bytes: Vec<u8>| {
        let value: T = from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(to_bytes(&value), bytes, "{name}");
        value
    };
    examples.into_iter().map(read).collect()
}

/// Each is of an older version, and reads the same when it was written as the version of today.
fn upgraded<T: Wire + PartialEq + Debug>(name: &str, count: usize) -> Vec<T> {
    let examples = examples(name);
    assert_eq!(examples.len(), count, "{name}");
    let read = |bytes: Vec<u8>| {
        let value: T = from_bytes(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(from_bytes(&to_bytes(&value)).as_ref(), Ok(&value), "{name}");
        value
    };
    examples.into_iter().map(read).collect()
}

#[test]
fn structs_of_images_are_those_of_cephs_encoder() {
    rewritten::<ParentImageSpec>("cls::rbd::ParentImageSpec", 3);
    rewritten::<ChildImageSpec>("cls::rbd::ChildImageSpec", 3);
    let parents: Vec<ParentRecord> = rewritten("cls_rbd_parent", 4);
    assert!(parents.iter().any(|parent| parent.namespace == "ns" && parent.head_overlap == Some(123)));
}

#[test]
fn structs_of_snapshots_are_those_of_cephs_encoder() {
    rewritten::<SnapshotNamespace>("cls::rbd::SnapshotNamespace", 4);
    rewritten::<SnapshotInfo>("cls::rbd::SnapshotInfo", 3);
    let records: Vec<SnapshotRecord> = rewritten("cls_rbd_snap", 4);
    assert!(records.iter().any(|record| record.child_count == 543 && record.parent_overlap == Some(123)));
}

#[test]
fn structs_of_groups_are_those_of_cephs_encoder() {
    rewritten::<GroupSpec>("cls::rbd::GroupSpec", 2);
    rewritten::<GroupImageSpec>("cls::rbd::GroupImageSpec", 2);
    rewritten::<GroupImageStatus>("cls::rbd::GroupImageStatus", 4);
    rewritten::<GroupSnapshot>("cls::rbd::GroupSnapshot", 2);
    rewritten::<ImageSnapshotSpec>("cls::rbd::ImageSnapshotSpec", 2);
}

#[test]
fn structs_of_locks_are_those_of_cephs_encoder() {
    rewritten::<LockerId>("rados::cls::lock::locker_id_t", 2);
    rewritten::<LockInfo>("rados::cls::lock::lock_info_t", 2);
    rewritten::<Lock>("cls_lock_lock_op", 2);
    rewritten::<Unlock>("cls_lock_unlock_op", 2);
    rewritten::<BreakLock>("cls_lock_break_op", 2);
    rewritten::<LockName>("cls_lock_get_info_op", 2);
    rewritten::<LockNames>("cls_lock_list_locks_reply", 2);
    rewritten::<AssertLocked>("cls_lock_assert_op", 2);
    rewritten::<SetCookie>("cls_lock_set_cookie_op", 2);
    // A blank address is one of 28 zeros there, and of no bytes here.
    let infos: Vec<LockerInfo> = upgraded("rados::cls::lock::locker_info_t", 2);
    assert_eq!(infos.iter().filter(|info| info.address.to_string() == "127.0.1.2:2/1").count(), 1);
}

#[test]
fn structs_of_older_versions_are_read() {
    let images: Vec<MirrorImage> = upgraded("cls::rbd::MirrorImage", 3);
    assert!(images.iter().all(|image| image.mode == MirrorImageMode::Journal));
    let peers: Vec<MirrorPeer> = upgraded("cls::rbd::MirrorPeer", 2);
    assert!(peers.iter().all(|peer| peer.direction == MirrorDirection::Both));
    let statuses: Vec<MirrorImageStatus> = upgraded("cls::rbd::MirrorImageStatus", 3);
    let states: Vec<_> = statuses.iter().flat_map(|status| &status.local).map(|local| local.state).collect();
    assert!(states.contains(&MirrorSiteState::Replaying) && states.contains(&MirrorSiteState::Error));
    let migrations: Vec<MigrationSpec> = upgraded("cls::rbd::MigrationSpec", 2);
    assert!(migrations.iter().any(|spec| spec.overlap == 123 && spec.snap_seqs == [(1, 2)].into()));
    rewritten::<MirrorImageMap>("cls::rbd::MirrorImageMap", 2);
}

/// A decoder that does not know where the data comes from has to refuse.
#[test]
fn a_migration_from_elsewhere_needs_a_decoder_that_knows_it() {
    for (source_spec, compat) in [("", 1), ("{}", 3)] {
        let spec: MigrationSpec = upgraded("cls::rbd::MigrationSpec", 2).remove(0);
        let spec = MigrationSpec { source_spec: source_spec.to_owned(), ..spec };
        assert_eq!(to_bytes(&spec)[..2], [3, compat]);
    }
}

#[test]
fn a_status_of_another_site_is_not_taken_for_the_own_one() {
    let own = MirrorSiteStatus::unknown();
    let other = MirrorSiteStatus { mirror_uuid: "there".to_owned(), ..own.clone() };
    assert_eq!((to_bytes(&own)[..2].to_vec(), to_bytes(&other)[..2].to_vec()), (vec![1, 1], vec![2, 2]));
}

#[test]
fn object_maps_are_those_of_cephs_encoder() {
    let maps: Vec<BitVector> = rewritten("BitVector<2>", 2);
    assert!(maps.iter().any(|map| map.len() == 1024 && map.get(0) == Some(ObjectState::ExistsClean)));
}

#[test]
fn entries_of_an_object_map_keep_to_themselves() {
    let mut map = BitVector::new(9, ObjectState::Exists);
    map.set(3, ObjectState::Pending);
    map.resize(6, ObjectState::Nonexistent);
    map.resize(11, ObjectState::ExistsClean);
    let numbers: Vec<_> =
        (0..map.len()).filter_map(|index| map.get(index)).map(ObjectState::number).collect();
    assert_eq!(numbers, [1, 1, 1, 2, 1, 1, 3, 3, 3, 3, 3]);
    assert_eq!(map.get(11), None);
}

#[test]
fn a_changed_bit_of_an_object_map_is_seen() {
    let mut bytes = to_bytes(&BitVector::new(5, ObjectState::Exists)).to_vec();
    bytes[18] ^= 1;
    let error = from_bytes::<BitVector>(&bytes).expect_err("the checksum is that of other entries");
    assert_eq!(error.to_string(), "BitVector: wrong checksum");
}

/// Three blocks, of which the last is not full.
#[test]
fn a_part_of_a_stored_object_map_is_changed_in_place() {
    let mut map = BitVector::new(40_000, ObjectState::Exists);
    let mut stored = to_bytes(&map).to_vec();
    let layout =
        BitVectorLayout::read(&stored[..BitVectorLayout::HEADER_BYTES as usize]).expect("it is a map");
    assert_eq!((layout.entries(), layout.stored_bytes()), (40_000, stored.len() as u64));
    for entries in [0..1, 16_383..16_385, 16_384..16_385, 39_999..40_000, 0..40_000] {
        let window = layout.window(entries.clone());
        let at = |range: &Range<u64>| range.start as usize..range.end as usize;
        let (data, checksums) = (at(&window.data), at(&window.checksums));
        let mut part = window.read(&stored[data.clone()], &stored[checksums.clone()]).expect("it is whole");
        for index in [entries.start, entries.end - 1] {
            part.set(index - window.first, ObjectState::Pending);
            map.set(index, ObjectState::Pending);
        }
        let (new_data, new_checksums) = window.write(part);
        stored[data].copy_from_slice(&new_data);
        stored[checksums].copy_from_slice(&new_checksums);
        assert_eq!(stored, to_bytes(&map), "{entries:?}");
    }
    let window = layout.window(20_000..20_001);
    assert!(window.read(&[0; 4096], &[1; 4]).is_err(), "the checksum is that of other entries");
}

#[test]
fn entries_are_converted_all_at_once() {
    let mut map = BitVector::new(5, ObjectState::Exists);
    map.set(2, ObjectState::Pending);
    let clean = |state| if state == ObjectState::Exists { ObjectState::ExistsClean } else { state };
    assert!(map.convert(clean));
    let numbers: Vec<_> =
        (0..map.len()).filter_map(|index| map.get(index)).map(ObjectState::number).collect();
    assert_eq!(numbers, [3, 3, 2, 3, 3]);
    assert!(!map.convert(clean), "nothing is left to be changed");
    assert_eq!(from_bytes(&to_bytes(&map)), Ok(map), "nothing is behind the last entry");
}
