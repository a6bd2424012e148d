//! Entries of a range, of which only their blocks are read and written.

use std::ops::Range;

use bytes::Bytes;
use ceph_wire::cls::{BitVector, BitVectorLayout, ObjectState};
use errno::Errno;

use super::valid;
use crate::cls::ceph::decode;
use crate::cls::done;
use crate::error::{Outcome, refuse};
use crate::vector::Caller;
use crate::vector::target::Target;

/// Those that are `current` become `state`; all, without a `current`. ERANGE beyond the map.
pub(super) fn update(target: &mut Target<'_>, _: &Caller<'_>, input: &Bytes) -> Outcome<Bytes> {
    let (start, end, state, current): (u64, u64, ObjectState, Option<ObjectState>) = decode(input)?;
    let layout = layout(target)?;
    if start >= end || end > layout.entries() {
        return refuse(Errno::ERANGE, format!("{start}..{end} is no range of {} objects", layout.entries()));
    }
    let window = layout.window(start..end);
    let read = |range: &Range<u64>| -> Outcome<Bytes> {
        let length = range.end - range.start;
        Ok(target.read(range.start, length)?.to_bytes(range.start, length))
    };
    let mut entries = valid(window.read(&read(&window.data)?, &read(&window.checksums)?))?;
    let mut is_changed = false;
    for index in start - window.first..end - window.first {
        if is_current(&entries, index, current) && entries.get(index) != Some(state) {
            entries.set(index, state);
            is_changed = true;
        }
    }
    if is_changed {
        let (data, checksums) = window.write(entries);
        target.write(window.data.start, data)?;
        target.write(window.checksums.start, checksums)?;
    }
    done(Ok(()))
}

fn layout(target: &Target<'_>) -> Outcome<BitVectorLayout> {
    let size = target.stat()?.size;
    let header = target.read(0, BitVectorLayout::HEADER_BYTES)?.to_bytes(0, BitVectorLayout::HEADER_BYTES);
    let layout = valid(BitVectorLayout::read(&header))?;
    match layout.stored_bytes() == size {
        true => Ok(layout),
        false => refuse(Errno::EINVAL, format!("{size} bytes are no object map with checksums")),
    }
}

/// What exists is current also when it has not changed since the latest snapshot.
fn is_current(entries: &BitVector, index: u64, current: Option<ObjectState>) -> bool {
    let found = entries.get(index);
    current.is_none()
        || found == current
        || (current == Some(ObjectState::Exists) && found == Some(ObjectState::ExistsClean))
}
