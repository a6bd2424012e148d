//! Ceph's feature bits of an image, and the op features that its header keeps in step with what the image has.

use ceph_wire::Tail;
use ceph_wire::cls::{Features, GetFeatures};
use errno::Errno;
use proto::cls::rbd::v1::GetFeaturesReply;

use super::record;
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

pub(super) const LAYERING: u64 = 1 << 0;
pub(super) const STRIPING: u64 = 1 << 1;
pub(super) const EXCLUSIVE_LOCK: u64 = 1 << 2;
const OBJECT_MAP: u64 = 1 << 3;
const FAST_DIFF: u64 = 1 << 4;
pub(super) const DEEP_FLATTEN: u64 = 1 << 5;
const JOURNALING: u64 = 1 << 6;
pub(super) const DATA_POOL: u64 = 1 << 7;
/// Internal: set while an op feature is.
pub(super) const OPERATIONS: u64 = 1 << 8;
/// Internal: the image is on the way to another place.
pub(super) const MIGRATING: u64 = 1 << 9;
const NON_PRIMARY: u64 = 1 << 10;
const DIRTY_CACHE: u64 = 1 << 11;

/// Those that Pacific's cls_rbd knows.
pub(super) const ALL: u64 = 0xfff;
const INTERNAL: u64 = OPERATIONS | MIGRATING;
/// Those that an image may get and lose.
const MUTABLE: u64 = EXCLUSIVE_LOCK | OBJECT_MAP | FAST_DIFF | JOURNALING | NON_PRIMARY | DIRTY_CACHE;
/// Those that an image may lose.
const REMOVABLE: u64 = MUTABLE | DEEP_FLATTEN;
/// What a client that only reads has to know.
const INCOMPATIBLE_TO_READERS: u64 = LAYERING | STRIPING | DATA_POOL | MIGRATING;

/// The op features that there are, up to "journal".
const OP_ALL: u64 = 0x1f;
/// A snapshot has children.
pub(super) const OP_CLONE_PARENT: u64 = 1 << 0;
/// The image has a parent that knows it.
pub(super) const OP_CLONE_CHILD: u64 = 1 << 1;
/// The image is in a group.
pub(super) const OP_GROUP: u64 = 1 << 2;
/// A snapshot is in the trash.
pub(super) const OP_SNAP_TRASH: u64 = 1 << 3;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_reads("get_all_features", |_, _, _| ceph::reply(&ALL)),
    Method::reads(
        "get_features",
        |target, _, _| {
            record::check_image(target)?;
            let features = record::number(target, record::FEATURES)?;
            let op_features = record::number(target, record::OP_FEATURES)?;
            protobuf::reply(&GetFeaturesReply { features, op_features })
        },
        |target, _, input| {
            let GetFeatures { is_read_only: Tail(is_read_only), .. } = ceph::decode(input)?;
            let features: u64 = record::need(target, record::FEATURES)?;
            let mask = if is_read_only == Some(true) { INCOMPATIBLE_TO_READERS } else { ALL };
            ceph::reply(&Features { features, incompatible: features & mask })
        },
    ),
    Method::ceph_writes("set_features", |target, _, input| {
        let (features, mask) = ceph::decode(input)?;
        done(set(target, features, mask))
    }),
    Method::ceph_reads("op_features_get", |target, _, _| {
        ceph::reply(&record::number(target, record::OP_FEATURES)?)
    }),
    Method::ceph_writes("op_features_set", |target, _, input| {
        let (values, mask): (u64, u64) = ceph::decode(input)?;
        if (values | mask) & !OP_ALL != 0 {
            return refuse(Errno::EINVAL, format!("op features {values:#x} have bits beyond {OP_ALL:#x}"));
        }
        record::need::<u64>(target, record::FEATURES)?;
        done(set_op_features(target, values, mask))
    }),
];

/// ENOEXEC unless the image has the layering feature.
pub(super) fn check_layering(target: &Target<'_>) -> Outcome<()> {
    if record::number(target, record::FEATURES)? & LAYERING == 0 {
        return refuse(Errno::ENOEXEC, "the image does not have the layering feature");
    }
    Ok(())
}

/// Sets the features of the mask. Newer clients may say bits in it that are not known here.
fn set(target: &mut Target<'_>, features: u64, mask: u64) -> Outcome<()> {
    let before: u64 = record::need(target, record::FEATURES)?;
    if mask & INTERNAL != 0 {
        return refuse(Errno::EINVAL, format!("mask {mask:#x} has internal bits"));
    }
    let mask = mask & ALL;
    let (gained, lost) = (features & mask, !features & mask);
    if gained & !MUTABLE != 0 || lost & !REMOVABLE != 0 {
        let rule = format!("features {gained:#x} cannot be enabled, or {lost:#x} cannot be disabled");
        return refuse(Errno::EINVAL, rule);
    }
    record::set(target, record::FEATURES, &((before & !mask) | gained))
}

/// Sets the op features of the mask. The feature "operations" is set while there is one.
pub(super) fn set_op_features(target: &mut Target<'_>, values: u64, mask: u64) -> Outcome<()> {
    let before = record::number(target, record::OP_FEATURES)?;
    let after = (before & !mask) | (values & mask);
    if after == before {
        return Ok(());
    }
    let features = record::number(target, record::FEATURES)? & !OPERATIONS;
    if after == 0 {
        record::unset(target, record::OP_FEATURES)?;
        return record::set(target, record::FEATURES, &features);
    }
    record::set(target, record::OP_FEATURES, &after)?;
    record::set(target, record::FEATURES, &(features | OPERATIONS))
}
