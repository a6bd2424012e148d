//! The rules of the ops on an object's map of keys.

use bytes::Bytes;
use errno::Errno;
use store::Name;

use super::done;
use crate::error::{Outcome, refuse};
use crate::limits::{KEYS_PER_PAGE_MAX, OMAP_KEY_BYTES_MAX, check_bytes};
use crate::op::{Door, Entries, OpResult, Output};
use crate::vector::comparison::{Assertions, Comparison};
use crate::vector::target::Target;

/// Keys in one answer to Ceph's clients, as RADOS' `osd_max_omap_entries_per_request`.
const CEPH_KEYS_PER_PAGE_MAX: u32 = 1024;

pub(in crate::vector) fn list(
    target: &Target<'_>,
    after: &Name,
    prefix: &Name,
    max: &u32,
) -> Outcome<OpResult> {
    target.stat()?;
    let (entries, more) = target.omap_page(prefix, after, page(target, *max))?;
    Ok(Output::Omap { entries: entries.into_iter().collect(), more }.into())
}

pub(in crate::vector) fn keys(target: &Target<'_>, after: &Name, max: &u32) -> Outcome<OpResult> {
    target.stat()?;
    let (entries, more) = target.omap_page(b"", after, page(target, *max))?;
    Ok(Output::Keys { keys: entries.into_iter().map(|(key, _)| key).collect(), more }.into())
}

/// A wish for 0 keys is one for as many as there may be, but Ceph's clients are taken at their word.
fn page(target: &Target<'_>, max: u32) -> usize {
    let max = match target.door() {
        Door::Grpc if max == 0 => KEYS_PER_PAGE_MAX,
        Door::Grpc => max.min(KEYS_PER_PAGE_MAX),
        Door::Ceph => max.min(CEPH_KEYS_PER_PAGE_MAX),
    };
    max as usize
}

pub(in crate::vector) fn get(target: &Target<'_>, keys: &[Name]) -> Outcome<OpResult> {
    check_keys(target, keys)?;
    target.stat()?;
    let mut entries = Entries::new();
    for key in keys {
        if let Some(value) = target.omap_value(key)? {
            entries.insert(key.clone(), value);
        }
    }
    Ok(Output::Omap { entries, more: false }.into())
}

pub(in crate::vector) fn set(target: &mut Target<'_>, entries: &Entries) -> Outcome<OpResult> {
    check_keys(target, entries.keys())?;
    target.touch()?;
    for (key, value) in entries {
        target.omap_set(key.clone(), value.clone())?;
    }
    done()
}

pub(in crate::vector) fn remove(target: &mut Target<'_>, keys: &[Name]) -> Outcome<OpResult> {
    check_keys(target, keys)?;
    target.stat()?;
    target.touch()?;
    for key in keys {
        target.omap_remove(key.clone())?;
    }
    done()
}

/// Keys from `from` on and before `to`.
pub(in crate::vector) fn remove_range(target: &mut Target<'_>, from: &Name, to: &Name) -> Outcome<OpResult> {
    target.stat()?;
    target.touch()?;
    if from < to {
        target.omap_remove_range(from, Some(to))?;
    }
    done()
}

/// The header goes with the keys.
pub(in crate::vector) fn clear(target: &mut Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    target.touch()?;
    target.omap_remove_range(&Name::default(), None)?;
    target.set_omap_header(Bytes::new())?;
    done()
}

pub(in crate::vector) fn header(target: &Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    Ok(Output::Header { header: target.omap_header()? }.into())
}

pub(in crate::vector) fn set_header(target: &mut Target<'_>, header: &Bytes) -> Outcome<OpResult> {
    target.set_omap_header(header.clone())?;
    done()
}

pub(in crate::vector) fn compare(
    target: &Target<'_>,
    key: &Name,
    expected: &Option<Bytes>,
) -> Outcome<OpResult> {
    check_keys(target, [key])?;
    target.stat()?;
    if target.omap_value(key)? == *expected {
        return done();
    }
    let rule = if expected.is_some() { "does not have the expected value" } else { "is there" };
    refuse(Errno::ECANCELED, format!("omap key {key:?} {rule}"))
}

/// The stored value comes first: "greater" holds when it is greater than the given one. A missing one is empty. RADOS knows
/// only equal, greater and less here (EINVAL).
pub(in crate::vector) fn compare_all(target: &Target<'_>, assertions: &Assertions) -> Outcome<OpResult> {
    check_keys(target, assertions.keys())?;
    target.stat()?;
    for (key, (expected, comparison)) in assertions {
        if !matches!(comparison, Comparison::Equal | Comparison::Greater | Comparison::Less) {
            return refuse(Errno::EINVAL, format!("omap key {key:?} cannot be compared by {comparison:?}"));
        }
        let stored = target.omap_value(key)?.unwrap_or_default();
        if !comparison.holds(stored.cmp(expected)) {
            return refuse(Errno::ECANCELED, format!("omap key {key:?} does not have the expected value"));
        }
    }
    done()
}

fn check_keys<'k>(target: &Target<'_>, keys: impl IntoIterator<Item = &'k Name>) -> Outcome<()> {
    let check = |key: &Name| check_bytes("an omap key", key, OMAP_KEY_BYTES_MAX);
    match target.door() {
        Door::Grpc => keys.into_iter().try_for_each(check),
        Door::Ceph => Ok(()),
    }
}
