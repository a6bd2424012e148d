//! One op on the target.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use errno::Errno;
use store::{Attributes, Object};

use super::Caller;
use super::target::Target;
use crate::cls;
use crate::error::{Outcome, refuse};
use crate::limits::{KEYS_PER_PAGE_MAX, NAME_BYTES_MAX, OMAP_KEY_BYTES_MAX, check_name, kept};
use crate::op::{Op, OpResult};

pub(super) fn execute(target: &mut Target<'_>, caller: &Caller<'_>, op: &Op) -> Outcome<OpResult> {
    check_names(op)?;
    match op {
        Op::Read { offset, length } => Ok(read(target.object()?, *offset, *length)),
        Op::SparseRead { offset, length } => Ok(sparse_read(target.object()?, *offset, *length)),
        Op::Stat => Ok(OpResult::Stat { size: target.object()?.size, version: target.version() }),
        Op::GetXattr { name } => get_xattr(target.object()?, name),
        Op::ListXattrs => Ok(OpResult::Xattrs { entries: target.object()?.xattrs.as_ref().clone() }),
        Op::OmapList { after, prefix, max } => Ok(omap_list(&target.object()?.omap, after, prefix, *max)),
        Op::OmapGet { keys } => Ok(omap_get(&target.object()?.omap, keys)),
        Op::ListSnaps => target.list_snaps(),
        Op::Exec { class, method, input } => {
            let output = cls::method(class, method)?.run(target, caller, input)?;
            Ok(OpResult::Exec { output })
        }
        _ => check_or_change(target, op).map(|()| OpResult::Done),
    }
}

/// ENAMETOOLONG for a name or a key beyond its limit, EINVAL for an xattr without a name.
fn check_names(op: &Op) -> Outcome<()> {
    let mut keys = match op {
        Op::GetXattr { name }
        | Op::SetXattr { name, .. }
        | Op::RemoveXattr { name }
        | Op::CompareXattr { name, .. } => return check_xattr_name(name),
        Op::Exec { class, method, .. } => {
            check_name("a class's name", class, NAME_BYTES_MAX)?;
            return check_name("a method's name", method, NAME_BYTES_MAX);
        }
        Op::OmapCompare { key, .. } => return check_key(key),
        Op::OmapSet { entries } => return entries.keys().try_for_each(|key| check_key(key)),
        Op::OmapGet { keys } | Op::OmapRemove { keys } => keys.iter(),
        _ => return Ok(()),
    };
    keys.try_for_each(|key| check_key(key))
}

fn check_xattr_name(name: &str) -> Outcome<()> {
    if name.is_empty() {
        return refuse(Errno::EINVAL, "an xattr has a name");
    }
    check_name("an xattr's name", name, NAME_BYTES_MAX)
}

fn check_key(key: &str) -> Outcome<()> {
    check_name("an omap key", key, OMAP_KEY_BYTES_MAX)
}

/// The ops without an answer.
fn check_or_change(target: &mut Target<'_>, op: &Op) -> Outcome<()> {
    match op {
        Op::AssertExists => target.object().map(|_| ()),
        Op::AssertVersion { version } => assert_version(target.object()?, *version),
        Op::CompareXattr { name, value } => compare_xattr(target.object()?, name, value),
        Op::OmapCompare { key, value } => omap_compare(target.object()?, key, value.as_ref()),
        Op::Write { offset, data } => target.write(*offset, data.clone()),
        Op::WriteFull { data } => {
            target.truncate(0)?;
            target.write(0, data.clone())
        }
        Op::Truncate { size } => truncate(target, *size),
        Op::Zero { offset, length } => zero(target, *offset, *length),
        Op::Create { exclusive } => create(target, *exclusive),
        Op::Remove => target.remove(),
        Op::SetXattr { name, value } => {
            target.set_xattr(name, value.clone());
            Ok(())
        }
        Op::RemoveXattr { name } => {
            if target.object()?.xattrs.contains_key(name) {
                target.remove_xattr(name);
            }
            Ok(())
        }
        Op::OmapSet { entries } => {
            let added = entries.iter().map(|(key, value)| (key.clone(), kept(value.clone())));
            target.omap_mut().extend(added);
            Ok(())
        }
        Op::OmapRemove { keys } => omap_remove(target, keys),
        Op::Rollback { snap_id } => target.rollback(*snap_id),
        _ => unreachable!("`execute` answers the ops that have an answer"),
    }
}

/// How much of a range is inside the object.
fn length_within(object: &Object, offset: u64, length: u64) -> u64 {
    let rest = object.size.saturating_sub(offset);
    if length == 0 { rest } else { length.min(rest) }
}

fn read(object: &Object, offset: u64, length: u64) -> OpResult {
    let length = length_within(object, offset, length);
    OpResult::Read { data: object.data.slice(offset, length).rebased(offset), length }
}

fn sparse_read(object: &Object, offset: u64, length: u64) -> OpResult {
    OpResult::SparseRead { data: object.data.slice(offset, length_within(object, offset, length)) }
}

fn assert_version(object: &Object, expected: u64) -> Outcome<()> {
    let version = object.version;
    match expected.cmp(&version) {
        _ if expected == 0 => refuse(Errno::EINVAL, "no object has version 0"),
        Ordering::Less => refuse(Errno::ERANGE, format!("{expected} is lower than version {version}")),
        Ordering::Greater => refuse(Errno::EOVERFLOW, format!("{expected} is higher than version {version}")),
        Ordering::Equal => Ok(()),
    }
}

/// Leaves a missing object missing.
fn truncate(target: &mut Target<'_>, size: u64) -> Outcome<()> {
    target.check_size(size)?;
    if target.exists() { target.truncate(size) } else { Ok(()) }
}

/// Never grows the object, and leaves a missing one missing. A range that reaches the end is cut off.
fn zero(target: &mut Target<'_>, offset: u64, length: u64) -> Outcome<()> {
    let Ok(object) = target.object() else { return Ok(()) };
    if length == 0 || offset >= object.size {
        return Ok(());
    }
    if length >= object.size - offset {
        return target.truncate(offset);
    }
    Arc::make_mut(&mut target.object_mut().data).zero(offset, length);
    Ok(())
}

fn create(target: &mut Target<'_>, exclusive: bool) -> Outcome<()> {
    match (target.exists(), exclusive) {
        (true, true) => refuse(Errno::EEXIST, "the object exists and the creation is exclusive"),
        (true, false) => Ok(()),
        (false, _) => {
            target.object_mut();
            Ok(())
        }
    }
}

fn get_xattr(object: &Object, name: &str) -> Outcome<OpResult> {
    let Some(value) = object.xattrs.get(name) else {
        return refuse(Errno::ENODATA, format!("there is no xattr {name:?}"));
    };
    Ok(OpResult::Xattrs { entries: BTreeMap::from([(name.to_owned(), value.clone())]) })
}

fn compare_xattr(object: &Object, name: &str, expected: &Bytes) -> Outcome<()> {
    if object.xattrs.get(name).is_none_or(Bytes::is_empty) && expected.is_empty() {
        return Ok(());
    }
    if object.xattrs.get(name) != Some(expected) {
        return refuse(Errno::ECANCELED, format!("xattr {name:?} has another value"));
    }
    Ok(())
}

fn omap_list(omap: &Attributes, after: &str, prefix: &str, max: u32) -> OpResult {
    let max = if max == 0 { KEYS_PER_PAGE_MAX } else { max.min(KEYS_PER_PAGE_MAX) };
    let start = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
    let mut keys =
        omap.range::<str, _>((start, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
    let page = keys.by_ref().take(max as usize);
    let entries = page.map(|(key, value)| (key.clone(), value.clone())).collect();
    OpResult::Omap { entries, more: keys.next().is_some() }
}

fn omap_get(omap: &Attributes, keys: &[String]) -> OpResult {
    let found = keys.iter().filter_map(|key| Some((key.clone(), omap.get(key)?.clone())));
    OpResult::Omap { entries: found.collect(), more: false }
}

fn omap_compare(object: &Object, key: &str, expected: Option<&Bytes>) -> Outcome<()> {
    if object.omap.get(key) != expected {
        let rule = if expected.is_some() { "does not have the expected value" } else { "is there" };
        return refuse(Errno::ECANCELED, format!("omap key {key:?} {rule}"));
    }
    Ok(())
}

fn omap_remove(target: &mut Target<'_>, keys: &[String]) -> Outcome<()> {
    let omap = &target.object()?.omap;
    if keys.iter().any(|key| omap.contains_key(key)) {
        let omap = target.omap_mut();
        keys.iter().for_each(|key| drop(omap.remove(key)));
    }
    Ok(())
}
