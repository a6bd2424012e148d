//! The rules of the ops on an object as a whole.

use std::cmp::Ordering;

use errno::Errno;
use store::Stat;

use super::done;
use crate::error::{Outcome, refuse};
use crate::op::{OpResult, Output};
use crate::vector::target::Target;

pub(in crate::vector) fn stat(target: &Target<'_>) -> Outcome<OpResult> {
    let Stat { size, version, mtime_unix_ns, .. } = target.stat()?;
    Ok(Output::Stat { size, version, mtime_unix_ns }.into())
}

pub(in crate::vector) fn assert_exists(target: &Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    done()
}

pub(in crate::vector) fn assert_version(target: &Target<'_>, &expected: &u64) -> Outcome<OpResult> {
    check_version(expected, target.stat()?.version)?;
    done()
}

/// EINVAL, ERANGE or EOVERFLOW unless it is the expected version.
pub(super) fn check_version(expected: u64, version: u64) -> Outcome<()> {
    match expected.cmp(&version) {
        _ if expected == 0 => refuse(Errno::EINVAL, "no object has version 0"),
        Ordering::Less => refuse(Errno::ERANGE, format!("{expected} is lower than version {version}")),
        Ordering::Greater => refuse(Errno::EOVERFLOW, format!("{expected} is higher than version {version}")),
        Ordering::Equal => Ok(()),
    }
}

pub(in crate::vector) fn create(target: &mut Target<'_>, &exclusive: &bool) -> Outcome<OpResult> {
    if exclusive && target.exists() {
        return refuse(Errno::EEXIST, "the object exists and the creation is exclusive");
    }
    target.touch()?;
    done()
}

/// Hints are of no use in memory; the object is there afterwards.
pub(in crate::vector) fn set_alloc_hint(target: &mut Target<'_>) -> Outcome<OpResult> {
    target.touch()?;
    done()
}

pub(in crate::vector) fn remove(target: &mut Target<'_>) -> Outcome<OpResult> {
    target.remove()?;
    done()
}

pub(in crate::vector) fn rollback(target: &mut Target<'_>, &snap_id: &u64) -> Outcome<OpResult> {
    target.rollback(snap_id)?;
    done()
}

pub(in crate::vector) fn list_snaps(target: &Target<'_>) -> Outcome<OpResult> {
    Ok(target.list_snaps()?.into())
}

/// What RADOS has a number for and neither does here: tmap, cache tiers, manifests.
pub(in crate::vector) fn unsupported(_: &Target<'_>, &code: &u16) -> Outcome<OpResult> {
    refuse(Errno::EOPNOTSUPP, format!("op {code:#06x} is not supported"))
}
