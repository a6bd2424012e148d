//! Objects `rbd_object_map.ID` and `rbd_object_map.ID.SNAP`: which data objects there are.

mod update;

use bytes::Bytes;
use ceph_wire::Writer;
use ceph_wire::cls::{BitVector, BitVectorLayout, ObjectState};
use errno::Errno;

use crate::cls::ceph::decode;
use crate::cls::{Method, done};
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

pub(super) const METHODS: &[Method] = &[
    Method::ceph_reads("object_map_load", load),
    Method::ceph_writes("object_map_save", save),
    Method::ceph_writes("object_map_resize", resize),
    Method::ceph_writes("object_map_update", update::update),
    Method::ceph_writes("object_map_snap_add", snap_add),
    Method::ceph_writes("object_map_snap_remove", snap_remove),
];

/// Of an image, as Ceph has it.
const OBJECTS_MAX: u64 = 256_000_000;

/// ENOENT without an object, or with one without data; EINVAL for data that is no map: clients make such a map anew.
fn stored(target: &Target<'_>) -> Outcome<BitVector> {
    match target.stat()?.size {
        0 => refuse(Errno::ENOENT, "the object has no object map"),
        size => valid(ceph_wire::from_bytes(&target.read(0, size)?.to_bytes(0, size))),
    }
}

fn valid<T>(read: Result<T, ceph_wire::WireError>) -> Outcome<T> {
    read.or_else(|error| refuse(Errno::EINVAL, format!("the object map does not decode: {error}")))
}

/// In place of all that was there.
fn store(target: &mut Target<'_>, map: &BitVector) -> Outcome<()> {
    let data = ceph_wire::to_bytes(map);
    let size = data.len() as u64;
    target.write(0, data)?;
    if target.stat()?.size > size { target.truncate(size) } else { Ok(()) }
}

fn load(target: &Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let mut out = Writer::new();
    stored(target)?.put_without_checksums(&mut out);
    Ok(out.finish())
}

fn save(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    done(store(target, &decode(input)?))
}

/// ESTALE when entries that are cut off say that there are objects; EFBIG beyond `object_bytes_max`.
fn resize(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (count, state): (u64, ObjectState) = decode(input)?;
    if count > OBJECTS_MAX {
        return refuse(Errno::EINVAL, format!("{count} objects are more than {OBJECTS_MAX}"));
    }
    // The input is small, whatever it asks for: no room is made for what an object does not hold.
    target.check_range(0, BitVectorLayout::of(count).stored_bytes())?;
    let is_there = target.exists() && target.stat()?.size > 0;
    let mut map = if is_there { stored(target)? } else { BitVector::default() };
    if let Some(other) = (count..map.len()).find(|&index| map.get(index) != Some(state)) {
        return refuse(Errno::ESTALE, format!("object {other} may exist still"));
    }
    map.resize(count, state);
    done(store(target, &map))
}

/// What is there has not changed since the snapshot.
fn snap_add(target: &mut Target<'_>, _: &Caller<'_>, _: &Bytes) -> Outcome<Bytes> {
    let mut map = stored(target)?;
    let is_changed = map.convert(|state| match state {
        ObjectState::Exists => ObjectState::ExistsClean,
        state => state,
    });
    done(if is_changed { store(target, &map) } else { Ok(()) })
}

/// What was changed since the snapshot before the removed one, whose map is the input, has changed since that one.
fn snap_remove(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let removed: BitVector = decode(input)?;
    let mut map = stored(target)?;
    let is_affected = |map: &BitVector, index| {
        map.get(index) == Some(ObjectState::ExistsClean)
            && matches!(removed.get(index), None | Some(ObjectState::Exists))
    };
    let mut is_changed = false;
    for index in 0..map.len() {
        if is_affected(&map, index) {
            map.set(index, ObjectState::Exists);
            is_changed = true;
        }
    }
    done(if is_changed { store(target, &map) } else { Ok(()) })
}
