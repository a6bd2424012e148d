//! Where the parts of a stored object map are, so that a few entries of many are changed without reading and writing all.

use std::ops::Range;

use bytes::Bytes;

use super::{BLOCK_BYTES, BitVector, ENTRIES_PER_BYTE, block_checksums, bytes};
use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

/// The count of bytes of the struct in front, and the struct.
const HEADER_BYTES: u64 = 18;
/// The count of bytes of the checksums, that of the struct in front, and their count.
const FOOTER_BYTES: u64 = 12;
const ENTRIES_PER_BLOCK: u64 = BLOCK_BYTES as u64 * ENTRIES_PER_BYTE;

/// An object map with checksums, as it lies in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitVectorLayout {
    count: u64,
}

impl BitVectorLayout {
    /// How many bytes [`Self::read`] needs.
    pub const HEADER_BYTES: u64 = HEADER_BYTES;

    /// Of a map with so many entries.
    pub fn of(entries: u64) -> Self {
        Self { count: entries }
    }

    /// Out of the object's first bytes.
    pub fn read(header: &[u8]) -> Result<Self, WireError> {
        let count = Reader::new(header)
            .counted()
            .and_then(|mut header| header.versioned(1, |from, _| u64::take(from)));
        count.map(|count| Self { count }).map_err(|error| error.at("BitVector"))
    }

    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.count
    }

    /// How many bytes the object has.
    pub fn stored_bytes(&self) -> u64 {
        self.checksums_offset() + 4 * self.data_bytes().div_ceil(BLOCK_BYTES as u64)
    }

    /// The blocks that have these entries.
    ///
    /// # Panics
    ///
    /// When there are no such entries.
    pub fn window(&self, entries: Range<u64>) -> BitVectorWindow {
        assert!(entries.start < entries.end && entries.end <= self.count, "{entries:?} of {}", self.count);
        let (first, last) = (entries.start / ENTRIES_PER_BLOCK, (entries.end - 1) / ENTRIES_PER_BLOCK);
        // A count that nobody can store is still a count.
        let end = (last + 1).saturating_mul(ENTRIES_PER_BLOCK).min(self.count);
        let data = first * BLOCK_BYTES as u64..end.div_ceil(ENTRIES_PER_BYTE);
        BitVectorWindow {
            first: first * ENTRIES_PER_BLOCK,
            count: end - first * ENTRIES_PER_BLOCK,
            data: HEADER_BYTES + data.start..HEADER_BYTES + data.end,
            checksums: self.checksums_offset() + 4 * first..self.checksums_offset() + 4 * (last + 1),
        }
    }

    fn data_bytes(&self) -> u64 {
        self.count.div_ceil(ENTRIES_PER_BYTE)
    }

    fn checksums_offset(&self) -> u64 {
        HEADER_BYTES + self.data_bytes() + FOOTER_BYTES
    }
}

/// Some blocks of a stored object map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitVectorWindow {
    /// The entry of the map that is the first one here.
    pub first: u64,
    count: u64,
    /// Where their entries are in the object.
    pub data: Range<u64>,
    /// Where their checksums are in the object.
    pub checksums: Range<u64>,
}

impl BitVectorWindow {
    /// The entries, out of what lies in both places.
    pub fn read(&self, data: &[u8], checksums: &[u8]) -> Result<BitVector, WireError> {
        let mut from = Reader::new(checksums);
        let stored: Result<Vec<u32>, _> = data.chunks(BLOCK_BYTES).map(|_| u32::take(&mut from)).collect();
        if bytes(self.count) != Some(data.len()) || stored? != block_checksums(data) {
            return Err(WireError { field: "BitVector", problem: Problem::Checksum });
        }
        Ok(BitVector { count: self.count, data: data.to_vec() })
    }

    /// What lies in both places, out of the entries.
    pub fn write(&self, entries: BitVector) -> (Bytes, Bytes) {
        let mut checksums = Writer::new();
        block_checksums(&entries.data).iter().for_each(|checksum| checksum.put(&mut checksums));
        (entries.data.into(), checksums.finish())
    }
}
