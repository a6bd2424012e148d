//! What Ceph's clients change of an image beside its size and its features: striping, the limit of its snapshots.

use bytes::Bytes;
use ceph_wire::cls::OldHeader;
use errno::Errno;

use super::{entries, features, old_header, record};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
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

/// Bytes of a data object; ENOEXEC for an image without striping.
fn object_bytes(target: &Target<'_>) -> Outcome<u64> {
    target.stat()?;
    let present: u64 = entries::find(target, record::FEATURES)?.unwrap_or_default();
    if present & features::STRIPING == 0 {
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
