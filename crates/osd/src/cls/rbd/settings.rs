//! What Ceph's clients change of an image beside its size: features, striping, the limit of its snapshots.

use bytes::Bytes;
use ceph_wire::cls::OldHeader;
use errno::Errno;

use super::{entries, old_header, record};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_writes("set_features", set_features),
    Method::ceph_writes("op_features_set", set_op_features_of_client),
    Method::ceph_reads("get_data_pool", |target, _, _| {
        reply(&entries::find::<i64>(target, DATA_POOL)?.unwrap_or(ceph_wire::cls::NO_POOL))
    }),
    Method::ceph_reads("get_stripe_unit_count", get_striping),
    Method::ceph_writes("set_stripe_unit_count", set_striping),
    Method::ceph_reads("snapshot_get_limit", |target, _, _| {
        reply(&entries::find::<u64>(target, record::SNAP_LIMIT)?.unwrap_or(NO_LIMIT))
    }),
    Method::ceph_writes("snapshot_set_limit", set_snapshot_limit),
];

const DATA_POOL: &str = "data_pool_id";
/// What the keys of snapshots begin with.
const SNAPSHOT: &str = "snapshot_";
/// Of the number of snapshots.
const NO_LIMIT: u64 = u64::MAX;

const ALL: u64 = 0xfff;
const STRIPING: u64 = 1 << 1;
const DEEP_FLATTEN: u64 = 1 << 5;
const OPERATIONS: u64 = 1 << 8;
/// The image is on the way to another place.
pub(super) const MIGRATING: u64 = 1 << 9;
/// Set and cleared by other methods.
const INTERNAL: u64 = OPERATIONS | MIGRATING;
/// exclusive-lock, object-map, fast-diff, journaling, non-primary, dirty-cache.
const MUTABLE: u64 = 0b1100_0101_1100;

/// The image is in a group.
pub(super) const OP_GROUP: u64 = 1 << 2;
const OP_ALL: u64 = 0x1f;

/// EINVAL for those that are not the client's, that a living image cannot get, or cannot lose. Unknown ones are left out.
fn set_features(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (features, mask): (u64, u64) = decode(input)?;
    let former: u64 = entries::get(target, record::FEATURES)?;
    if mask & INTERNAL != 0 {
        return refuse(Errno::EINVAL, format!("features {mask:#x} has internal bits"));
    }
    let (enabled, disabled) = (features & mask & ALL, !features & mask & ALL);
    if enabled & !MUTABLE != 0 || disabled & !(MUTABLE | DEEP_FLATTEN) != 0 {
        let asked = format!("to enable {enabled:#x} and to disable {disabled:#x}");
        return refuse(Errno::EINVAL, format!("{asked}: the features of an image may not all be changed"));
    }
    done(entries::set(target, record::FEATURES, &(former & !disabled | enabled)))
}

fn set_op_features_of_client(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (features, mask): (u64, u64) = decode(input)?;
    match mask & !OP_ALL {
        0 => done(set_op_features(target, features, mask)),
        unknown => refuse(Errno::EINVAL, format!("op features {unknown:#x} are unknown")),
    }
}

/// Sets the op features of the mask. The feature "operations" is set while there is one. ENOENT for what is no header.
pub(super) fn set_op_features(target: &mut Target<'_>, values: u64, mask: u64) -> Outcome<()> {
    let features: u64 = entries::get(target, record::FEATURES)?;
    let former = entries::find::<u64>(target, record::OP_FEATURES)?.unwrap_or_default();
    match former & !mask | values & mask {
        same if same == former => Ok(()),
        0 => {
            entries::remove(target, record::OP_FEATURES)?;
            entries::set(target, record::FEATURES, &(features & !OPERATIONS))
        }
        changed => {
            entries::set(target, record::OP_FEATURES, &changed)?;
            entries::set(target, record::FEATURES, &(features | OPERATIONS))
        }
    }
}

/// Bytes of a data object; ENOEXEC for an image without striping.
fn object_bytes(target: &Target<'_>) -> Outcome<u64> {
    target.stat()?;
    let features: u64 = entries::find(target, record::FEATURES)?.unwrap_or_default();
    if features & STRIPING == 0 {
        return refuse(Errno::ENOEXEC, "the image does not have the striping feature");
    }
    let order: u8 = entries::find(target, record::ORDER)?.unwrap_or_default();
    match 1_u64.checked_shl(order.into()) {
        Some(bytes) => Ok(bytes),
        None => refuse(Errno::EIO, format!("data objects of order {order}")),
    }
}

/// Without a striping of its own the image has one object after the other.
fn get_striping(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let whole = object_bytes(target)?;
    let unit: u64 = entries::find(target, record::STRIPE_UNIT)?.unwrap_or(whole);
    reply(&(unit, entries::find::<u64>(target, record::STRIPE_COUNT)?.unwrap_or(1)))
}

/// EINVAL for a unit that does not divide a data object.
fn set_striping(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (unit, count): (u64, u64) = decode(input)?;
    if unit == 0 || count == 0 {
        return refuse(Errno::EINVAL, "a stripe has a unit and a count");
    }
    let whole = object_bytes(target)?;
    if !whole.is_multiple_of(unit) {
        return refuse(Errno::EINVAL, format!("stripe unit {unit} does not divide objects of {whole} bytes"));
    }
    entries::set(target, record::STRIPE_UNIT, &unit)?;
    done(entries::set(target, record::STRIPE_COUNT, &count))
}

/// ERANGE below the number of snapshots, of an image of either format.
fn set_snapshot_limit(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let limit: u64 = decode(input)?;
    if limit == NO_LIMIT {
        return done(entries::remove(target, record::SNAP_LIMIT));
    }
    let count = match old_header::stored(target) {
        Ok(OldHeader { snapshots, .. }) => snapshots.len(),
        Err(refusal) if refusal.errno == Errno::EINVAL => {
            entries::page(target, SNAPSHOT, "", u64::MAX)?.len()
        }
        Err(refusal) => return Err(refusal),
    };
    match limit < count as u64 {
        true => refuse(Errno::ERANGE, format!("the image has {count} snapshots, above {limit}")),
        false => done(entries::set(target, record::SNAP_LIMIT, &limit)),
    }
}
