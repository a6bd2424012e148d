//! Object `rbd_group_header.ID`: the images of a group.

use bytes::Bytes;
use ceph_wire::cls::{GroupImageSpec, GroupImageState, GroupImageStatus, NO_POOL};
use errno::Errno;

use super::super::entries;
use crate::cls::ceph::{decode, reply, stored};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_writes("group_image_set", set),
    Method::ceph_writes("group_image_remove", remove),
    Method::ceph_reads("group_image_list", list),
];

const PREFIX: &str = "image_";

/// The pool comes first, so that images are listed pool by pool. Before all of them is the one of no pool.
fn key(GroupImageSpec { image_id, pool }: &GroupImageSpec) -> String {
    if *pool == NO_POOL { String::new() } else { format!("{PREFIX}{pool:016x}_{image_id}") }
}

fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let GroupImageStatus { spec, state } = decode(input)?;
    if spec.pool == NO_POOL {
        return refuse(Errno::EINVAL, "an image of a group has a pool");
    }
    done(entries::set(target, &key(&spec), &state))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    done(entries::remove(target, &key(&decode(input)?)))
}

fn list(target: &Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (after, max): (GroupImageSpec, u64) = decode(input)?;
    let page = entries::behind(target, PREFIX, &key(&after), max)?;
    let images = page.into_iter().map(|(name, value)| {
        let state: GroupImageState = stored(PREFIX, &value)?;
        Ok(GroupImageStatus { spec: spec(&name)?, state })
    });
    reply(&images.collect::<Outcome<Vec<_>>>()?)
}

/// Out of a key without its prefix.
fn spec(name: &str) -> Outcome<GroupImageSpec> {
    let parts = name.split_once('_');
    let spec = parts.and_then(|(pool, image_id)| {
        let pool = u64::from_str_radix(pool, 16).ok()?.cast_signed();
        Some(GroupImageSpec { image_id: image_id.to_owned(), pool })
    });
    spec.map_or_else(|| refuse(Errno::EIO, format!("omap key {PREFIX}{name} names no image")), Ok)
}
