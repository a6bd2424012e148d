//! Object `rbd_mirror_leader`: the mirroring daemons that are there.

use bytes::Bytes;

use super::super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::Outcome;
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("mirror_instances_list", list),
    Method::ceph_writes("mirror_instances_add", add),
    Method::ceph_writes("mirror_instances_remove", remove),
];

const PREFIX: &str = "instance_";

fn list(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let page = entries::page(target, PREFIX, "", u64::MAX)?;
    reply(&page.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
}

/// The value is empty.
fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    done(target.omap_set(format!("{PREFIX}{id}"), Bytes::new()))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let id: String = decode(input)?;
    done(entries::remove(target, &format!("{PREFIX}{id}")))
}
