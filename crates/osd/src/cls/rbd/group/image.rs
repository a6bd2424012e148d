//! The group that an image is in, in its header.

use bytes::Bytes;
use ceph_wire::cls::GroupSpec;
use errno::Errno;

use super::super::{entries, features, record};
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("image_group_get", get),
    Method::ceph_writes("image_group_add", add),
    Method::ceph_writes("image_group_remove", remove),
];

const KEY: &str = "rbd_group_ref";

fn get(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    target.stat()?;
    reply(&entries::find(target, KEY)?.unwrap_or_else(GroupSpec::none))
}

/// EEXIST for an image of another group.
fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let group: GroupSpec = decode(input)?;
    record::check_image(target)?;
    match entries::find::<GroupSpec>(target, KEY)? {
        Some(found) if found == group => return done(Ok(())),
        Some(found) => return refuse(Errno::EEXIST, format!("the image is in group {:?}", found.group_id)),
        None => {}
    }
    features::set_op_features(target, features::OP_GROUP, features::OP_GROUP)?;
    done(entries::set(target, KEY, &group))
}

/// EBADF for an image of another group.
fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let group: GroupSpec = decode(input)?;
    target.stat()?;
    let found: GroupSpec = entries::get(target, KEY)?;
    if found != group {
        return refuse(Errno::EBADF, format!("the image is in group {:?}", found.group_id));
    }
    entries::remove(target, KEY)?;
    done(features::set_op_features(target, 0, features::OP_GROUP))
}
