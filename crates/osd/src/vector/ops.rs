//! The rules of the ops. Each works on the target as the ops before it have left it.

use std::cmp::Ordering;

use bytes::Bytes;
use errno::Errno;
use store::{Name, Stat};

use super::Caller;
use super::target::Target;
use crate::cls;
use crate::error::{Outcome, refuse};
use crate::limits::{KEYS_PER_PAGE_MAX, NAME_BYTES_MAX, OMAP_KEY_BYTES_MAX, check_bytes, check_name};
use crate::op::{Dialect, Entries, OpResult, Output};

pub(super) fn read(target: &Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    let length = length_within(&target.stat()?, offset, length);
    Ok(Output::Read { data: target.read(offset, length)?, offset, length }.into())
}

pub(super) fn sparse_read(target: &Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    let length = length_within(&target.stat()?, offset, length);
    Ok(Output::SparseRead { data: target.read(offset, length)? }.into())
}

/// How much of a range is inside the object.
fn length_within(stat: &Stat, offset: u64, length: u64) -> u64 {
    let rest = stat.size.saturating_sub(offset);
    if length == 0 { rest } else { length.min(rest) }
}

pub(super) fn stat(target: &Target<'_>) -> Outcome<OpResult> {
    let Stat { size, version, mtime_unix_ns, .. } = target.stat()?;
    Ok(Output::Stat { size, version, mtime_unix_ns }.into())
}

pub(super) fn assert_exists(target: &Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    done()
}

pub(super) fn assert_version(target: &Target<'_>, &expected: &u64) -> Outcome<OpResult> {
    let version = target.stat()?.version;
    match expected.cmp(&version) {
        _ if expected == 0 => refuse(Errno::EINVAL, "no object has version 0"),
        Ordering::Less => refuse(Errno::ERANGE, format!("{expected} is lower than version {version}")),
        Ordering::Greater => refuse(Errno::EOVERFLOW, format!("{expected} is higher than version {version}")),
        Ordering::Equal => done(),
    }
}

pub(super) fn write(target: &mut Target<'_>, &offset: &u64, data: &Bytes) -> Outcome<OpResult> {
    target.write(offset, data.clone())?;
    done()
}

pub(super) fn write_full(target: &mut Target<'_>, data: &Bytes) -> Outcome<OpResult> {
    target.truncate(0)?;
    target.write(0, data.clone())?;
    done()
}

/// Leaves a missing object missing.
pub(super) fn truncate(target: &mut Target<'_>, &size: &u64) -> Outcome<OpResult> {
    target.check_size(size)?;
    if target.exists() {
        target.truncate(size)?;
    }
    done()
}

/// Never grows the object, and leaves a missing one missing. A range that reaches the end is cut off.
pub(super) fn zero(target: &mut Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    let size = target.stat().map_or(0, |stat| stat.size);
    if length > 0 && offset < size {
        if length < size - offset {
            target.zero(offset, length)?;
        } else {
            target.truncate(offset)?;
        }
    }
    done()
}

pub(super) fn create(target: &mut Target<'_>, &exclusive: &bool) -> Outcome<OpResult> {
    if exclusive && target.exists() {
        return refuse(Errno::EEXIST, "the object exists and the creation is exclusive");
    }
    target.create()?;
    done()
}

pub(super) fn remove(target: &mut Target<'_>) -> Outcome<OpResult> {
    target.remove()?;
    done()
}

pub(super) fn rollback(target: &mut Target<'_>, &snap_id: &u64) -> Outcome<OpResult> {
    target.rollback(snap_id)?;
    done()
}

pub(super) fn list_snaps(target: &Target<'_>) -> Outcome<OpResult> {
    Ok(target.list_snaps()?.into())
}

pub(super) fn get_xattr(target: &Target<'_>, name: &Name) -> Outcome<OpResult> {
    check_xattr_name(target, name)?;
    target.stat()?;
    match target.xattr(name)? {
        Some(value) => Ok(Output::Xattrs { entries: [(name.clone(), value)].into() }.into()),
        None => refuse(Errno::ENODATA, format!("there is no xattr {name:?}")),
    }
}

pub(super) fn list_xattrs(target: &Target<'_>) -> Outcome<OpResult> {
    target.stat()?;
    Ok(Output::Xattrs { entries: target.xattrs()? }.into())
}

pub(super) fn set_xattr(target: &mut Target<'_>, name: &Name, value: &Bytes) -> Outcome<OpResult> {
    check_xattr_name(target, name)?;
    target.set_xattr(name.clone(), value.clone())?;
    done()
}

/// A missing one is fine.
pub(super) fn remove_xattr(target: &mut Target<'_>, name: &Name) -> Outcome<OpResult> {
    check_xattr_name(target, name)?;
    target.stat()?;
    target.remove_xattr(name.clone())?;
    done()
}

pub(super) fn compare_xattr(target: &Target<'_>, name: &Name, expected: &Bytes) -> Outcome<OpResult> {
    check_xattr_name(target, name)?;
    target.stat()?;
    if target.xattr(name)?.unwrap_or_default() == *expected {
        Ok(OpResult { number: 1, output: Output::Done })
    } else {
        refuse(Errno::ECANCELED, format!("xattr {name:?} has another value"))
    }
}

pub(super) fn omap_list(target: &Target<'_>, after: &Name, prefix: &Name, &max: &u32) -> Outcome<OpResult> {
    target.stat()?;
    let max = if max == 0 { KEYS_PER_PAGE_MAX } else { max.min(KEYS_PER_PAGE_MAX) };
    let (entries, more) = target.omap_page(prefix, after, max as usize)?;
    Ok(Output::Omap { entries: entries.into_iter().collect(), more }.into())
}

pub(super) fn omap_get(target: &Target<'_>, keys: &[Name]) -> Outcome<OpResult> {
    keys.iter().try_for_each(check_key)?;
    target.stat()?;
    let mut entries = Entries::new();
    for key in keys {
        if let Some(value) = target.omap_value(key)? {
            entries.insert(key.clone(), value);
        }
    }
    Ok(Output::Omap { entries, more: false }.into())
}

pub(super) fn omap_set(target: &mut Target<'_>, entries: &Entries) -> Outcome<OpResult> {
    entries.keys().try_for_each(check_key)?;
    target.create()?;
    for (key, value) in entries {
        target.omap_set(key.clone(), value.clone())?;
    }
    done()
}

pub(super) fn omap_remove(target: &mut Target<'_>, keys: &[Name]) -> Outcome<OpResult> {
    keys.iter().try_for_each(check_key)?;
    target.stat()?;
    for key in keys {
        target.omap_remove(key.clone())?;
    }
    done()
}

pub(super) fn omap_compare(target: &Target<'_>, key: &Name, expected: &Option<Bytes>) -> Outcome<OpResult> {
    check_key(key)?;
    target.stat()?;
    if target.omap_value(key)? == *expected {
        return done();
    }
    let rule = if expected.is_some() { "does not have the expected value" } else { "is there" };
    refuse(Errno::ECANCELED, format!("omap key {key:?} {rule}"))
}

pub(super) fn exec(
    target: &mut Target<'_>,
    caller: &Caller<'_>,
    class: &str,
    method: &str,
    dialect: Dialect,
    input: &Bytes,
) -> Outcome<OpResult> {
    check_name("a class's name", class, NAME_BYTES_MAX)?;
    check_name("a method's name", method, NAME_BYTES_MAX)?;
    let output = cls::method(class, method, dialect)?.run(target, caller, input)?;
    Ok(Output::Exec { output }.into())
}

fn check_xattr_name(target: &Target<'_>, name: &Name) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "an xattr has a name");
    }
    check_bytes("an xattr's name", name, target.door().xattr_name_bytes_max())
}

fn check_key(key: &Name) -> Outcome<()> {
    check_bytes("an omap key", key, OMAP_KEY_BYTES_MAX)
}

/// The answer of an op that has none.
fn done() -> Outcome<OpResult> {
    Ok(Output::Done.into())
}
