//! What real clients called and a real OSD answered, read and written again.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::cls::{
    AssertLocked, BitVector, ChildImageSpec, CreateImage, Features, GetFeatures, GroupImageSpec,
    GroupImageStatus, GroupSnapshot, GroupSpec, Lock, LockInfo, LockName, ObjectState, ParentAttach,
    ParentImageSpec, Protection, SetFlags, SnapshotAdd, SnapshotInfo, TrashImageSpec, TrashState, Unlock,
};
use ceph_wire::{Reader, SnapContext, Utime, Wire, Writer, to_bytes};

const CALLS: &str = include_str!("golden/class-calls.txt");

/// Whether these bytes are a `T` and nothing else, and how that is written.
type Rewrite = fn(&[u8]) -> Result<Bytes, String>;

fn rewrite<T: Wire>(bytes: &[u8]) -> Result<Bytes, String> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader).map_err(|error| error.to_string())?;
    match reader.left() {
        [] => Ok(to_bytes(&value)),
        left => Err(format!("{} bytes are left", left.len())),
    }
}

/// The form of the object map that has no checksums.
struct Unchecked(BitVector);

impl Wire for Unchecked {
    fn put(&self, out: &mut Writer) {
        self.0.put_without_checksums(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, ceph_wire::WireError> {
        BitVector::take(from).map(Self)
    }
}

/// No bytes.
struct Nothing;

impl Wire for Nothing {
    fn put(&self, _: &mut Writer) {}

    fn take(_: &mut Reader<'_>) -> Result<Self, ceph_wire::WireError> {
        Ok(Self)
    }
}

macro_rules! methods {
    ($($method:literal: $input:ty => $output:ty;)*) => {
        /// What each method is told and what it answers.
        fn methods() -> BTreeMap<&'static str, (Rewrite, Rewrite)> {
            [$(($method, (rewrite::<$input> as Rewrite, rewrite::<$output> as Rewrite)),)*].into()
        }
    };
}

methods! {
    "lock.assert_locked": AssertLocked => Nothing;
    "lock.get_info": LockName => LockInfo;
    "lock.lock": Lock => Nothing;
    "lock.unlock": Unlock => Nothing;
    "rbd.add_child": (u64, String, u64, String) => Nothing;
    "rbd.child_attach": (u64, ChildImageSpec) => Nothing;
    "rbd.child_detach": (u64, ChildImageSpec) => Nothing;
    "rbd.children_list": u64 => Vec<ChildImageSpec>;
    "rbd.create": CreateImage => Nothing;
    "rbd.dir_add_image": (String, String) => Nothing;
    "rbd.dir_get_id": String => String;
    "rbd.dir_get_name": String => String;
    "rbd.dir_list": (String, u64) => BTreeMap<String, String>;
    "rbd.dir_remove_image": (String, String) => Nothing;
    "rbd.dir_rename_image": (String, String, String) => Nothing;
    "rbd.dir_state_set": u8 => Nothing;
    "rbd.get_access_timestamp": Nothing => Utime;
    "rbd.get_children": (u64, String, u64) => Vec<String>;
    "rbd.get_create_timestamp": Nothing => Utime;
    "rbd.get_data_pool": Nothing => i64;
    "rbd.get_features": GetFeatures => Features;
    "rbd.get_flags": u64 => u64;
    "rbd.get_id": Nothing => String;
    "rbd.get_modify_timestamp": Nothing => Utime;
    "rbd.get_object_prefix": Nothing => String;
    "rbd.get_protection_status": u64 => Protection;
    "rbd.get_size": u64 => (u8, u64);
    "rbd.get_snapcontext": Nothing => SnapContext;
    "rbd.group_dir_add": (String, String) => Nothing;
    "rbd.group_dir_remove": (String, String) => Nothing;
    "rbd.group_image_list": (GroupImageSpec, u64) => Vec<GroupImageStatus>;
    "rbd.group_image_remove": GroupImageSpec => Nothing;
    "rbd.group_image_set": GroupImageStatus => Nothing;
    "rbd.group_snap_list": (GroupSnapshot, u64) => Vec<GroupSnapshot>;
    "rbd.group_snap_remove": String => Nothing;
    "rbd.group_snap_set": GroupSnapshot => Nothing;
    "rbd.image_group_add": GroupSpec => Nothing;
    "rbd.image_group_get": Nothing => GroupSpec;
    "rbd.image_group_remove": GroupSpec => Nothing;
    "rbd.metadata_list": (String, u64) => BTreeMap<String, Bytes>;
    "rbd.metadata_set": BTreeMap<String, Bytes> => Nothing;
    "rbd.namespace_add": String => Nothing;
    "rbd.namespace_list": (String, u64) => Vec<String>;
    "rbd.object_map_load": Nothing => Unchecked;
    "rbd.object_map_resize": (u64, ObjectState) => Nothing;
    "rbd.object_map_save": Unchecked => Nothing;
    "rbd.object_map_snap_add": Nothing => Nothing;
    "rbd.object_map_snap_remove": Unchecked => Nothing;
    "rbd.object_map_update": (u64, u64, ObjectState, Option<ObjectState>) => Nothing;
    "rbd.op_features_get": Nothing => u64;
    "rbd.op_features_set": (u64, u64) => Nothing;
    "rbd.parent_attach": ParentAttach => Nothing;
    "rbd.parent_detach": Nothing => Nothing;
    "rbd.parent_get": Nothing => ParentImageSpec;
    "rbd.parent_overlap_get": u64 => Option<u64>;
    "rbd.remove_child": (u64, String, u64, String) => Nothing;
    "rbd.set_features": (u64, u64) => Nothing;
    "rbd.set_flags": SetFlags => Nothing;
    "rbd.set_id": String => Nothing;
    "rbd.set_protection_status": (u64, Protection) => Nothing;
    "rbd.set_size": u64 => Nothing;
    "rbd.snapshot_add": SnapshotAdd => Nothing;
    "rbd.snapshot_get": u64 => SnapshotInfo;
    "rbd.snapshot_get_limit": Nothing => u64;
    "rbd.snapshot_remove": u64 => Nothing;
    "rbd.snapshot_rename": (u64, String) => Nothing;
    "rbd.snapshot_trash_add": u64 => Nothing;
    "rbd.sparsify": (u64, bool) => Nothing;
    "rbd.trash_add": (String, TrashImageSpec) => Nothing;
    "rbd.trash_get": String => TrashImageSpec;
    "rbd.trash_list": (String, u64) => BTreeMap<String, TrashImageSpec>;
    "rbd.trash_remove": String => Nothing;
    "rbd.trash_state_set": (String, TrashState, TrashState) => Nothing;
}

#[test]
fn real_calls_and_their_answers_are_read_and_written_again() {
    let methods = methods();
    let mut seen = 0;
    for line in CALLS.lines().filter(|line| !line.starts_with('#')) {
        let [method, input, output] = [0, 1, 2].map(|field| line.split(' ').nth(field).expect(line));
        let (of_input, of_output) = methods.get(method).unwrap_or_else(|| panic!("{method} is unknown"));
        for (text, rewrite) in [(input, of_input), (output, of_output)] {
            let (_, hex) = text.split_once('=').expect(line);
            let bytes = unhex(hex);
            assert_eq!(rewrite(&bytes).as_deref(), Ok(&bytes[..]), "{line}");
        }
        seen += 1;
    }
    assert_eq!(seen, 147);
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
