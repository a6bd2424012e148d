//! What lies under an omap key in Ceph's encoding, and keys that share a prefix.

use bytes::Bytes;
use ceph_wire::Wire;
use errno::Errno;

use crate::cls::ceph::stored;
use crate::error::{Outcome, refuse};
use crate::vector::target::Target;

/// `None` for a key that is not there.
pub(super) fn find<T: Wire>(target: &Target<'_>, key: &str) -> Outcome<Option<T>> {
    target.omap_value(key.as_bytes())?.map(|value| stored(key, &value)).transpose()
}

/// ENOENT for a key that is not there.
pub(super) fn get<T: Wire>(target: &Target<'_>, key: &str) -> Outcome<T> {
    match find(target, key)? {
        Some(value) => Ok(value),
        None => refuse(Errno::ENOENT, format!("the object has no omap key {key:?}")),
    }
}

pub(super) fn set(target: &mut Target<'_>, key: &str, value: &impl Wire) -> Outcome<()> {
    target.omap_set(key, ceph_wire::to_bytes(value))
}

/// A key that is not there may be removed; ENOENT without an object.
pub(super) fn remove(target: &mut Target<'_>, key: &str) -> Outcome<()> {
    target.stat()?;
    target.omap_remove(key)
}

/// Keys with the prefix, at most `max` and behind the one that ends in `after`, without the prefix; ENOENT without an object.
pub(super) fn page(
    target: &Target<'_>,
    prefix: &str,
    after: &str,
    max: u64,
) -> Outcome<Vec<(String, Bytes)>> {
    behind(target, prefix, &format!("{prefix}{after}"), max)
}

/// The same behind a key that need not have the prefix.
pub(super) fn behind(
    target: &Target<'_>,
    prefix: &str,
    after: &str,
    max: u64,
) -> Outcome<Vec<(String, Bytes)>> {
    target.stat()?;
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let (page, _) = target.omap_page(prefix.as_bytes(), after.as_bytes(), max)?;
    let named = |(key, value): (store::Name, Bytes)| match std::str::from_utf8(&key[prefix.len()..]) {
        Ok(name) => Ok((name.to_owned(), value)),
        Err(_) => refuse(Errno::EIO, format!("an omap key behind {prefix:?} is not UTF-8")),
    };
    page.into_iter().map(named).collect()
}

/// All keys with the prefix, their values decoded; empty without an object.
pub(super) fn all<T: Wire>(target: &Target<'_>, prefix: &str) -> Outcome<Vec<(String, T)>> {
    if !target.exists() {
        return Ok(Vec::new());
    }
    decoded(page(target, prefix, "", u64::MAX)?, prefix)
}

/// Decodes the values of a page; EIO for one that is not what the prefix says.
pub(super) fn decoded<T: Wire, C: FromIterator<(String, T)>>(
    page: Vec<(String, Bytes)>,
    prefix: &str,
) -> Outcome<C> {
    page.into_iter().map(|(name, value)| Ok((name, stored(prefix, &value)?))).collect()
}
