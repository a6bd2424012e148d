//! The image itself: creation, size, features, and the header as one piece.

use bytes::Bytes;
use errno::Errno;
use proto::cls::rbd::v1::{Create, GetFeaturesReply, GetSizeReply, Header, SetSize};

use super::record::{self, feature};
use crate::cls::protobuf::{decode, reply};
use crate::cls::{Method, ceph, done};
use crate::error::{Outcome, refuse};
use crate::limits::NAME_BYTES_MAX;
use crate::vector::Caller;
use crate::vector::target::Target;

const FEATURES_KNOWN: u64 =
    feature::LAYERING | feature::STRIPING | feature::EXCLUSIVE_LOCK | feature::DEEP_FLATTEN;
const FEATURES_INTERNAL: u64 = feature::OPERATIONS;

/// Of Ceph, up to "dirty-cache".
const FEATURES_ALL: u64 = 0xfff;

pub(super) const METHODS: &[Method] =
    &[Method::ceph_reads("get_all_features", |_, _, _| ceph::reply(&FEATURES_ALL))];

/// What is appended to the prefix in a data object's name: a dot and 16 digits.
const SUFFIX_BYTES: usize = 17;

pub(super) fn create(target: &mut Target<'_>, caller: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let request: Create = decode(input)?;
    if record::value(target, record::OBJECT_PREFIX)?.is_some() {
        return refuse(Errno::EEXIST, "the object is an image's header already");
    }
    check_features(request.features)?;
    check_layout(&request)?;
    record::set_number(target, record::SIZE, request.size)?;
    record::set(target, record::ORDER, vec![request.order as u8])?;
    record::set_number(target, record::FEATURES, request.features)?;
    record::set_number(target, record::SNAP_SEQ, 0)?;
    record::set(target, record::OBJECT_PREFIX, request.object_prefix)?;
    if request.stripe_count > 0 {
        record::set_number(target, record::STRIPE_UNIT, request.stripe_unit)?;
        record::set_number(target, record::STRIPE_COUNT, request.stripe_count)?;
    }
    for time in [record::CREATED, record::ACCESSED, record::MODIFIED] {
        record::set_number(target, time, caller.unix_ms)?;
    }
    done(Ok(()))
}

fn check_features(features: u64) -> Outcome<()> {
    if features & FEATURES_INTERNAL != 0 {
        return refuse(Errno::EINVAL, format!("features {features:#x} has internal bits"));
    }
    if features & !FEATURES_KNOWN != 0 {
        return refuse(Errno::ENOSYS, format!("features {features:#x} has bits beyond {FEATURES_KNOWN:#x}"));
    }
    Ok(())
}

fn check_layout(request: &Create) -> Outcome<()> {
    let Create { order, object_prefix, stripe_unit, stripe_count, features, .. } = request;
    if !(12..=25).contains(order) {
        return refuse(Errno::EINVAL, format!("order {order} is not in 12..=25"));
    }
    if object_prefix.is_empty() || object_prefix.len() > NAME_BYTES_MAX - SUFFIX_BYTES {
        return refuse(Errno::EINVAL, format!("object prefix {object_prefix:?} is empty or too long"));
    }
    let is_striped = *stripe_unit != 0 || *stripe_count != 0;
    let is_whole = *stripe_unit != 0 && *stripe_count != 0 && (1u64 << order).is_multiple_of(*stripe_unit);
    if is_striped && (features & feature::STRIPING == 0 || !is_whole) {
        let rule = "needs the striping feature, a unit that divides the object size, and a count";
        return refuse(Errno::EINVAL, format!("striping {stripe_unit} x {stripe_count} {rule}"));
    }
    Ok(())
}

pub(super) fn get_header(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    reply(&Header {
        size: record::number(target, record::SIZE)?,
        order: order(target)?,
        features: record::number(target, record::FEATURES)?,
        object_prefix: record::text(target, record::OBJECT_PREFIX)?,
        stripe_unit: record::number(target, record::STRIPE_UNIT)?,
        stripe_count: record::number(target, record::STRIPE_COUNT)?,
        snap_seq: record::number(target, record::SNAP_SEQ)?,
        snapshots: record::snapshots(target)?,
        parent: record::parent(target)?,
        op_features: record::number(target, record::OP_FEATURES)?,
        flags: record::number(target, record::FLAGS)?,
        version: target.version(),
        created_unix_ms: record::number(target, record::CREATED)?,
        accessed_unix_ms: record::number(target, record::ACCESSED)?,
        modified_unix_ms: record::number(target, record::MODIFIED)?,
    })
}

fn order(target: &Target<'_>) -> Outcome<u32> {
    Ok(record::value(target, record::ORDER)?.and_then(|value| value.first().copied()).map_or(0, u32::from))
}

pub(super) fn get_size(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    reply(&GetSizeReply { size: record::number(target, record::SIZE)?, order: order(target)? })
}

pub(super) fn get_features(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    record::check_image(target)?;
    let features = record::number(target, record::FEATURES)?;
    reply(&GetFeaturesReply { features, op_features: record::number(target, record::OP_FEATURES)? })
}

/// Shrinking below HEAD's overlap shrinks the overlap for good.
pub(super) fn set_size(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let SetSize { size } = decode(input)?;
    record::check_image(target)?;
    if let Some(mut parent) = record::parent(target)?
        && parent.head_overlap.is_some_and(|overlap| size < overlap)
    {
        parent.head_overlap = Some(size);
        record::set_parent(target, Some(&parent))?;
    }
    record::set_number(target, record::SIZE, size)?;
    done(Ok(()))
}
