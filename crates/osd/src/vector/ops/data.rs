//! The rules of the ops on an object's bytes.

use bytes::{Bytes, BytesMut};
use errno::Errno;
use store::Stat;

use super::done;
use crate::error::{Outcome, refuse};
use crate::op::{OpResult, Output};
use crate::vector::target::Target;

/// Above the number of every error: a comparison that fails at offset n of its data comes to -(4095 + n).
const MISMATCH: u64 = 4095;

pub(in crate::vector) fn read(target: &Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    let length = length_within(&target.stat()?, offset, length);
    Ok(Output::Read { data: target.read(offset, length)?, offset, length }.into())
}

pub(in crate::vector) fn sparse_read(target: &Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    let length = length_within(&target.stat()?, offset, length);
    Ok(Output::SparseRead { data: target.read(offset, length)? }.into())
}

/// How much of a range is inside the object.
pub(super) fn length_within(stat: &Stat, offset: u64, length: u64) -> u64 {
    let rest = stat.size.saturating_sub(offset);
    if length == 0 { rest } else { length.min(rest) }
}

/// What lies beyond the object's end compares as zeros, and so does an object that is missing.
pub(in crate::vector) fn compare_extent(
    target: &Target<'_>,
    &offset: &u64,
    data: &Bytes,
) -> Outcome<OpResult> {
    if data.is_empty() {
        return done();
    }
    let mut stored = Bytes::new();
    if target.exists() {
        let length = length_within(&target.stat()?, offset, data.len() as u64);
        stored = target.read(offset, length)?.to_bytes(offset, length);
    }
    let stored = stored.iter().copied().chain(std::iter::repeat(0));
    match data.iter().zip(stored).position(|(expected, stored)| *expected != stored) {
        None => done(),
        Some(at) => {
            let at = at as u64;
            let number = i32::try_from(MISMATCH + at).map_or(i32::MIN, |number| -number);
            refuse::<OpResult>(Errno::EILSEQ, format!("byte {} is another one", offset + at))
                .map_err(|refusal| refusal.numbered(number))
        }
    }
}

pub(in crate::vector) fn write(target: &mut Target<'_>, &offset: &u64, data: &Bytes) -> Outcome<OpResult> {
    target.write(offset, data.clone())?;
    done()
}

pub(in crate::vector) fn write_full(target: &mut Target<'_>, data: &Bytes) -> Outcome<OpResult> {
    target.truncate(0)?;
    target.write(0, data.clone())?;
    done()
}

pub(in crate::vector) fn append(target: &mut Target<'_>, data: &Bytes) -> Outcome<OpResult> {
    let size = target.stat().map_or(0, |stat| stat.size);
    target.write(size, data.clone())?;
    done()
}

/// A length of 0 does nothing, whatever the data.
pub(in crate::vector) fn write_same(
    target: &mut Target<'_>,
    &offset: &u64,
    &length: &u64,
    data: &Bytes,
) -> Outcome<OpResult> {
    if length == 0 {
        return done();
    }
    let part = data.len() as u64;
    if !length.is_multiple_of(part) {
        return refuse(
            Errno::EINVAL,
            format!("{length} bytes are no multiple of the {part} that are to be repeated"),
        );
    }
    target.check_range(offset, length)?;
    let mut whole = BytesMut::with_capacity(length as usize);
    (0..length / part).for_each(|_| whole.extend_from_slice(data));
    target.write(offset, whole.freeze())?;
    done()
}

/// Leaves a missing object missing.
pub(in crate::vector) fn truncate(target: &mut Target<'_>, &size: &u64) -> Outcome<OpResult> {
    target.check_range(size, 0)?;
    if target.exists() {
        target.truncate(size)?;
    }
    done()
}

/// Never grows the object, and leaves a missing one missing. A range that reaches the end is cut off.
pub(in crate::vector) fn zero(target: &mut Target<'_>, &offset: &u64, &length: &u64) -> Outcome<OpResult> {
    target.check_zeroed(offset, length)?;
    let size = target.stat().map_or(0, |stat| stat.size);
    if length > 0 && offset < size {
        if length < size - offset {
            target.zero(offset, length)?;
        } else {
            target.truncate(offset)?;
        }
    }
    done()
}
