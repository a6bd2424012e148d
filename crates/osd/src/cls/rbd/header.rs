//! The image itself: creation and size, and the header as one piece.

use ceph_wire::cls::{CreateImage, SetFlags};
use ceph_wire::{NOSNAP, Tail, Utime};
use errno::Errno;
use proto::cls::rbd::v1::{Create, GetSizeReply, Header, SetSize};

use super::{features, parent, record, snapshots};
use crate::cls::{Method, ceph, done, protobuf};
use crate::error::{Outcome, refuse};
use crate::limits::NAME_BYTES_MAX;
use crate::vector::Caller;
use crate::vector::target::Target;

/// Those that gRPC's clients may create an image with.
const FEATURES_KNOWN: u64 =
    features::LAYERING | features::STRIPING | features::EXCLUSIVE_LOCK | features::DEEP_FLATTEN;

/// What is appended to the prefix in a data object's name: a dot and 16 digits.
const SUFFIX_BYTES: usize = 17;

/// The image's data is in the pool of its header.
const NO_DATA_POOL: i64 = -1;

pub(super) const METHODS: &[Method] = &[
    Method::writes(
        "create",
        |target, caller, input| {
            let request: Create = protobuf::decode(input)?;
            check_new(target)?;
            check_features(request.features, FEATURES_KNOWN)?;
            check_layout(&request)?;
            let Create { size, order, features, object_prefix, stripe_unit, stripe_count } = request;
            create(target, caller, &Creation { size, order: order as u8, features, object_prefix })?;
            if stripe_count > 0 {
                record::set(target, record::STRIPE_UNIT, &stripe_unit)?;
                record::set(target, record::STRIPE_COUNT, &stripe_count)?;
            }
            done(Ok(()))
        },
        |target, caller, input| {
            let CreateImage { size, order, features, object_prefix, data_pool: Tail(data_pool) } =
                ceph::decode(input)?;
            check_features(features, features::ALL)?;
            if object_prefix.is_empty() {
                return refuse(Errno::EINVAL, "an image has an object prefix");
            }
            check_new(target)?;
            create(target, caller, &Creation { size, order, features, object_prefix })?;
            done(set_data_pool(target, features, data_pool.unwrap_or(NO_DATA_POOL)))
        },
    ),
    Method::protobuf_reads("get_header", |target, caller, _| protobuf::reply(&header(target, caller)?)),
    Method::reads(
        "get_size",
        |target, _, _| {
            record::check_image(target)?;
            protobuf::reply(&GetSizeReply { size: size(target)?, order: u32::from(order(target)?) })
        },
        |target, _, input| {
            let size = match ceph::decode(input)? {
                NOSNAP => record::need(target, record::SIZE)?,
                snap_id => record::snapshot(target, snap_id)?.image_size,
            };
            ceph::reply(&(record::need::<u8>(target, record::ORDER)?, size))
        },
    ),
    Method::writes(
        "set_size",
        |target, _, input| done(set_size(target, protobuf::decode::<SetSize>(input)?.size)),
        |target, _, input| done(set_size(target, ceph::decode(input)?)),
    ),
    Method::ceph_reads("get_object_prefix", |target, _, _| {
        ceph::reply(&record::need::<String>(target, record::OBJECT_PREFIX)?)
    }),
    Method::ceph_reads("get_flags", |target, _, input| {
        ceph::reply(&match ceph::decode(input)? {
            NOSNAP => record::number(target, record::FLAGS)?,
            snap_id => record::snapshot(target, snap_id)?.flags,
        })
    }),
    Method::ceph_writes("set_flags", |target, _, input| {
        let SetFlags { flags, mask, snap_id: Tail(snap_id) } = ceph::decode(input)?;
        done(set_flags(target, snap_id.unwrap_or(NOSNAP), flags, mask))
    }),
    Method::ceph_reads("get_create_timestamp", |target, _, _| ceph::reply(&time(target, record::CREATED)?)),
    Method::ceph_reads("get_access_timestamp", |target, _, _| ceph::reply(&time(target, record::ACCESSED)?)),
    Method::ceph_reads("get_modify_timestamp", |target, _, _| ceph::reply(&time(target, record::MODIFIED)?)),
    Method::writes(
        "set_access_timestamp",
        |target, caller, _| {
            done(record::check_image(target).and_then(|()| set_time(target, caller, record::ACCESSED)))
        },
        |target, caller, _| done(set_time(target, caller, record::ACCESSED)),
    ),
    Method::writes(
        "set_modify_timestamp",
        |target, caller, _| {
            done(record::check_image(target).and_then(|()| set_time(target, caller, record::MODIFIED)))
        },
        |target, caller, _| done(set_time(target, caller, record::MODIFIED)),
    ),
];

/// What an image is from the beginning.
struct Creation {
    size: u64,
    order: u8,
    features: u64,
    object_prefix: String,
}

fn create(target: &mut Target<'_>, caller: &Caller<'_>, creation: &Creation) -> Outcome<()> {
    record::set(target, record::SIZE, &creation.size)?;
    record::set(target, record::ORDER, &creation.order)?;
    record::set(target, record::FEATURES, &creation.features)?;
    record::set(target, record::SNAP_SEQ, &0_u64)?;
    record::set(target, record::OBJECT_PREFIX, &creation.object_prefix)?;
    for time in [record::CREATED, record::ACCESSED, record::MODIFIED] {
        record::set(target, time, &Utime::from_millis(caller.unix_ms))?;
    }
    Ok(())
}

fn check_new(target: &Target<'_>) -> Outcome<()> {
    match target.omap_value(record::OBJECT_PREFIX.as_bytes())? {
        Some(_) => refuse(Errno::EEXIST, "the object is an image's header already"),
        None => Ok(()),
    }
}

fn check_features(features: u64, known: u64) -> Outcome<()> {
    if features & !(known | features::OPERATIONS) != 0 {
        return refuse(Errno::ENOSYS, format!("features {features:#x} has bits beyond {known:#x}"));
    }
    if features & features::OPERATIONS != 0 {
        return refuse(Errno::EINVAL, format!("features {features:#x} has internal bits"));
    }
    Ok(())
}

/// EINVAL unless there is a data pool exactly where the features say so.
fn set_data_pool(target: &mut Target<'_>, features: u64, data_pool: i64) -> Outcome<()> {
    let has_feature = features & features::DATA_POOL != 0;
    if has_feature != (data_pool != NO_DATA_POOL) {
        return refuse(Errno::EINVAL, format!("features {features:#x} do not go with data pool {data_pool}"));
    }
    if has_feature { record::set(target, record::DATA_POOL, &data_pool) } else { Ok(()) }
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
    if is_striped && (features & features::STRIPING == 0 || !is_whole) {
        let rule = "needs the striping feature, a unit that divides the object size, and a count";
        return refuse(Errno::EINVAL, format!("striping {stripe_unit} x {stripe_count} {rule}"));
    }
    Ok(())
}

fn header(target: &Target<'_>, caller: &Caller<'_>) -> Outcome<Header> {
    record::check_image(target)?;
    let parent = record::parent(target)?;
    Ok(Header {
        size: size(target)?,
        order: u32::from(order(target)?),
        features: record::number(target, record::FEATURES)?,
        object_prefix: record::need(target, record::OBJECT_PREFIX)?,
        stripe_unit: record::number(target, record::STRIPE_UNIT)?,
        stripe_count: record::number(target, record::STRIPE_COUNT)?,
        snap_seq: record::number(target, record::SNAP_SEQ)?,
        snapshots: record::snapshots(target)?.iter().map(snapshots::message).collect(),
        parent: parent.map(|parent| parent::message(caller, &parent)).transpose()?,
        op_features: record::number(target, record::OP_FEATURES)?,
        flags: record::number(target, record::FLAGS)?,
        version: target.version(),
        created_unix_ms: time(target, record::CREATED)?.as_millis(),
        accessed_unix_ms: time(target, record::ACCESSED)?.as_millis(),
        modified_unix_ms: time(target, record::MODIFIED)?.as_millis(),
        read_unix_ms: caller.unix_ms,
    })
}

pub(super) fn size(target: &Target<'_>) -> Outcome<u64> {
    record::number(target, record::SIZE)
}

/// 0 when missing.
fn order(target: &Target<'_>) -> Outcome<u8> {
    Ok(record::get(target, record::ORDER)?.unwrap_or(0))
}

/// 0 when missing.
fn time(target: &Target<'_>, key: &str) -> Outcome<Utime> {
    Ok(record::get(target, key)?.unwrap_or_default())
}

/// The time is the OSD's. ENOENT when there is no object.
fn set_time(target: &mut Target<'_>, caller: &Caller<'_>, key: &str) -> Outcome<()> {
    target.stat()?;
    record::set(target, key, &Utime::from_millis(caller.unix_ms))
}

/// Shrinking below HEAD's overlap shrinks the overlap for good.
fn set_size(target: &mut Target<'_>, size: u64) -> Outcome<()> {
    record::check_image(target)?;
    if let Some(mut parent) = record::parent(target)?
        && parent.head_overlap.is_some_and(|overlap| size < overlap)
    {
        parent.head_overlap = Some(size);
        record::set(target, record::PARENT, &parent)?;
    }
    record::set(target, record::SIZE, &size)
}

/// Sets the flags of the mask, of HEAD or a snapshot.
fn set_flags(target: &mut Target<'_>, snap_id: u64, flags: u64, mask: u64) -> Outcome<()> {
    record::need::<u64>(target, record::SIZE)?;
    if snap_id == NOSNAP {
        let before = record::number(target, record::FLAGS)?;
        return record::set(target, record::FLAGS, &((before & !mask) | (flags & mask)));
    }
    let mut snapshot = record::snapshot(target, snap_id)?;
    snapshot.flags = (snapshot.flags & !mask) | (flags & mask);
    record::set_snapshot(target, &snapshot)
}
