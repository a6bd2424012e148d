//! Whether a pool is mirrored, and as what it is known to others.

use bytes::Bytes;
use ceph_wire::cls::{MirrorMode, MirrorPeer};
use errno::Errno;

use super::super::entries;
use super::peers;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(in crate::cls::rbd) const METHODS: &[Method] = &[
    Method::ceph_reads("mirror_uuid_get", get_uuid),
    Method::ceph_writes("mirror_uuid_set", set_uuid),
    Method::ceph_reads("mirror_mode_get", get),
    Method::ceph_writes("mirror_mode_set", set),
];

/// Its value is the bare text.
const UUID: &str = "mirror_uuid";
const MODE: &str = "mirror_mode";

/// The pool's own id; `None` before it has one.
pub(super) fn uuid(target: &Target<'_>) -> Outcome<Option<String>> {
    let uuid = target.omap_value(UUID.as_bytes())?;
    Ok(uuid.map(|uuid| String::from_utf8_lossy(&uuid).into_owned()))
}

/// EINVAL unless the pool is mirrored.
pub(super) fn check_enabled(target: &Target<'_>) -> Outcome<()> {
    match entries::find(target, MODE)? {
        Some(MirrorMode::Image | MirrorMode::Pool) => Ok(()),
        Some(MirrorMode::Disabled) | None => refuse(Errno::EINVAL, "the pool is not mirrored"),
    }
}

fn get_uuid(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    match uuid(target)? {
        Some(uuid) => reply(&uuid),
        None => refuse(Errno::ENOENT, "the pool has no id for mirroring"),
    }
}

fn set_uuid(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let uuid: String = decode(input)?;
    if uuid.is_empty() {
        return refuse(Errno::EINVAL, "the pool's id for mirroring is not empty");
    }
    if entries::find(target, MODE)?.is_some_and(|mode: MirrorMode| mode != MirrorMode::Disabled) {
        return refuse(Errno::EINVAL, "the pool is mirrored: its id stays");
    }
    done(target.omap_set(UUID, uuid))
}

fn get(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    reply(&entries::get::<MirrorMode>(target, MODE)?)
}

/// EINVAL before the pool has an id; EBUSY when mirroring is to end while there are peers.
fn set(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let mode: MirrorMode = decode(input)?;
    if mode != MirrorMode::Disabled {
        return match uuid(target)? {
            Some(_) => done(entries::set(target, MODE, &mode)),
            None => refuse(Errno::EINVAL, "the pool has no id for mirroring"),
        };
    }
    if !entries::all::<MirrorPeer>(target, peers::PREFIX)?.is_empty() {
        return refuse(Errno::EBUSY, "the pool has peers");
    }
    if target.exists() {
        entries::remove(target, MODE)?;
        entries::remove(target, UUID)?;
    }
    done(Ok(()))
}
