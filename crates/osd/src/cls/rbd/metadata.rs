//! Pairs that users and librbd's configuration keep with an image, or with a pool in object `rbd_info`.

use std::collections::BTreeMap;

use bytes::Bytes;
use errno::Errno;

use super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_reads("metadata_list", list),
    Method::ceph_reads("metadata_get", get),
    Method::ceph_writes("metadata_set", set),
    Method::ceph_writes("metadata_remove", remove),
];

const PREFIX: &str = "metadata_";
/// What a client that asks for no pairs means.
const PAIRS_DEFAULT: u64 = 64;

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let max = if max == 0 { PAIRS_DEFAULT } else { max };
    let pairs: BTreeMap<_, _> = entries::page(target, PREFIX, &after, max)?.into_iter().collect();
    reply(&pairs)
}

fn get(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let key: String = decode(input)?;
    match target.omap_value(format!("{PREFIX}{key}").as_bytes())? {
        Some(value) => reply(&value),
        None => refuse(Errno::ENOENT, format!("there is no metadata {key:?}")),
    }
}

fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let pairs: BTreeMap<String, Bytes> = decode(input)?;
    done(pairs.into_iter().try_for_each(|(key, value)| target.omap_set(format!("{PREFIX}{key}"), value)))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let key: String = decode(input)?;
    done(entries::remove(target, &format!("{PREFIX}{key}")))
}
