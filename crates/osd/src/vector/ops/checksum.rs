//! Checksums of an object's bytes, as RADOS' clients verify what they have written.

use errno::Errno;
use store::Stat;

use crate::error::{Outcome, refuse};
use crate::op::{OpResult, Output};
use crate::vector::target::Target;

/// Which checksum, and what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Checksum {
    XxHash32(u32),
    XxHash64(u64),
    /// As Ceph computes it: without the inversion at either end.
    Crc32c(u32),
}

/// One for each chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Of 32 bits.
    Narrow(Vec<u32>),
    /// Of 64 bits.
    Wide(Vec<u64>),
}

impl Checksum {
    fn of<'c>(self, chunks: impl Iterator<Item = &'c [u8]>) -> Checksums {
        match self {
            Self::XxHash32(seed) => {
                Checksums::Narrow(chunks.map(|chunk| xxhash_rust::xxh32::xxh32(chunk, seed)).collect())
            }
            Self::XxHash64(seed) => {
                Checksums::Wide(chunks.map(|chunk| xxhash_rust::xxh64::xxh64(chunk, seed)).collect())
            }
            Self::Crc32c(seed) => {
                Checksums::Narrow(chunks.map(|chunk| !crc32c::crc32c_append(!seed, chunk)).collect())
            }
        }
    }
}

impl Checksums {
    /// How many bytes they have.
    pub(in crate::vector) fn bytes(&self) -> u64 {
        match self {
            Self::Narrow(checksums) => size_of_val(checksums.as_slice()) as u64,
            Self::Wide(checksums) => size_of_val(checksums.as_slice()) as u64,
        }
    }
}

/// Of each chunk of a range; a chunk of 0 bytes is the whole range. EINVAL for a range that is no multiple of the chunk, also
/// when the object's end cuts it.
pub(in crate::vector) fn checksum(
    target: &Target<'_>,
    kind: &Checksum,
    &offset: &u64,
    &length: &u64,
    &chunk: &u32,
) -> Outcome<OpResult> {
    let chunk = u64::from(chunk);
    let stat = target.stat()?;
    if chunk > 0 && length == 0 {
        return refuse(Errno::EINVAL, "a range that is divided into chunks has a length");
    }
    check_chunks(length, chunk)?;
    let length = covered(&stat, offset, length);
    check_chunks(length, chunk)?;
    let data = target.read(offset, length)?.to_bytes(offset, length);
    let chunk = if chunk > 0 { chunk } else { length.max(1) };
    Ok(Output::Checksums { checksums: kind.of(data.chunks(chunk as usize)), summed: length }.into())
}

fn check_chunks(length: u64, chunk: u64) -> Outcome<()> {
    if chunk > 0 && !length.is_multiple_of(chunk) {
        return refuse(Errno::EINVAL, format!("{length} bytes are no multiple of chunks of {chunk}"));
    }
    Ok(())
}

/// How much of a range is inside the object. Only a range without offset and length is the whole object.
fn covered(stat: &Stat, offset: u64, length: u64) -> u64 {
    if offset == 0 && length == 0 { stat.size } else { length.min(stat.size.saturating_sub(offset)) }
}
