//! Object `rbd_namespace`: the namespaces of a pool.

use bytes::Bytes;
use errno::Errno;

use super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_writes("namespace_add", add),
    Method::ceph_writes("namespace_remove", remove),
    Method::ceph_reads("namespace_list", list),
];

const PREFIX: &str = "name_";

/// The value is empty.
fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let name: String = decode(input)?;
    let key = format!("{PREFIX}{name}");
    match target.omap_value(key.as_bytes())? {
        None => done(target.omap_set(key, Bytes::new())),
        Some(_) => refuse(Errno::EEXIST, format!("there is a namespace {name:?}")),
    }
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let name: String = decode(input)?;
    let key = format!("{PREFIX}{name}");
    match target.omap_value(key.as_bytes())? {
        Some(_) => done(entries::remove(target, &key)),
        None => refuse(Errno::ENOENT, format!("there is no namespace {name:?}")),
    }
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let page = entries::page(target, PREFIX, &after, max)?;
    reply(&page.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
}
