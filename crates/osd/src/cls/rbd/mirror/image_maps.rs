//! Object `rbd_mirror_leader`: which of the mirroring daemons serves which image.

use std::collections::BTreeMap;

use bytes::Bytes;
use ceph_wire::cls::MirrorImageMap;

use super::super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::Outcome;
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("mirror_image_map_list", list),
    Method::ceph_writes("mirror_image_map_update", update),
    Method::ceph_writes("mirror_image_map_remove", remove),
];

const PREFIX: &str = "image_map_";

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (String, u64) = decode(input)?;
    let maps: BTreeMap<String, MirrorImageMap> =
        entries::decoded(entries::page(target, PREFIX, &after, max)?, PREFIX)?;
    reply(&maps)
}

fn update(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (global_id, map): (String, MirrorImageMap) = decode(input)?;
    done(entries::set(target, &format!("{PREFIX}{global_id}"), &map))
}

/// One that is not there may be removed.
fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let global_id: String = decode(input)?;
    done(if target.exists() { entries::remove(target, &format!("{PREFIX}{global_id}")) } else { Ok(()) })
}
