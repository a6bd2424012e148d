//! Object `NAME.rbd`: the header of an image of format 1, and its snapshots.

use bytes::Bytes;
use ceph_wire::cls::{OldHeader, OldSnapshot};
use errno::Errno;

use super::entries;
use crate::cls::ceph::{decode, reply};
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_reads("snap_list", list),
    Method::ceph_writes("snap_add", add),
    Method::ceph_writes("snap_remove", remove),
    Method::ceph_writes("snap_rename", rename),
];

/// ENOENT without an object, EINVAL for data that is no header.
pub(super) fn stored(target: &Target<'_>) -> Outcome<OldHeader> {
    let size = target.stat()?.size;
    let header = ceph_wire::from_bytes(&target.read(0, size)?.to_bytes(0, size));
    header.or_else(|error| refuse(Errno::EINVAL, format!("the data is no header of an image: {error}")))
}

/// In place of all that was there.
fn store(target: &mut Target<'_>, header: &OldHeader) -> Outcome<()> {
    let data = ceph_wire::to_bytes(header);
    let size = data.len() as u64;
    target.write(0, data)?;
    if target.stat()?.size > size { target.truncate(size) } else { Ok(()) }
}

fn list(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let OldHeader { fixed, snapshots, .. } = stored(target)?;
    let snapshots =
        snapshots.into_iter().map(|OldSnapshot { id, image_size, name }| (id, image_size, Bytes::from(name)));
    reply(&(fixed.snap_seq, snapshots.collect::<Vec<_>>()))
}

/// EEXIST for the name of another one.
fn check_free(header: &OldHeader, name: &[u8]) -> Outcome<()> {
    match header.snapshots.iter().any(|snapshot| snapshot.name == name) {
        true => refuse(Errno::EEXIST, "the image has a snapshot of that name"),
        false => Ok(()),
    }
}

/// Up to a zero, which would end it in the header.
fn name(given: &Bytes) -> Vec<u8> {
    given.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

/// ESTALE for an id older than the newest one, EDQUOT at the limit of snapshots.
fn add(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let mut header = stored(target)?;
    let (given, id): (Bytes, u64) = decode(input)?;
    let (name, newest) = (name(&given), header.fixed.snap_seq);
    if newest > id {
        return refuse(Errno::ESTALE, format!("snapshot id {id} is older than snap_seq {newest}"));
    }
    let limit = entries::find(target, super::record::SNAP_LIMIT)?.unwrap_or(u64::MAX);
    if header.snapshots.len() as u64 >= limit {
        return refuse(Errno::EDQUOT, format!("the image has {limit} snapshots, which is its limit"));
    }
    check_free(&header, &name)?;
    header.fixed.snap_seq = id;
    header.snapshots.insert(0, OldSnapshot { id, image_size: header.fixed.image_size, name });
    done(store(target, &header))
}

fn remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let mut header = stored(target)?;
    let name = name(&decode(input)?);
    match header.snapshots.iter().position(|snapshot| snapshot.name == name) {
        Some(index) => drop(header.snapshots.remove(index)),
        None => return refuse(Errno::ENOENT, "the image has no snapshot of that name"),
    }
    done(store(target, &header))
}

fn rename(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let mut header = stored(target)?;
    let (id, given): (u64, Bytes) = decode(input)?;
    let name = name(&given);
    check_free(&header, &name)?;
    match header.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
        Some(snapshot) => snapshot.name = name,
        None => return refuse(Errno::ENOENT, format!("the image has no snapshot with id {id}")),
    }
    done(store(target, &header))
}
