//! Data with holes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

/// Pieces shorter than this are copied, and joined with their neighbours up to this length: a small piece must not keep a
/// large receive buffer alive, and many small writes must not become many pieces. Longer pieces are kept by reference.
pub const SMALL_PIECE_BYTES: usize = 16 * 1024;

/// Pieces of data by their offset: ascending, never empty, never overlapping. What lies between them are holes, which
/// read as zeros. Cloning refers to the same bytes.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    pieces: BTreeMap<u64, Bytes>,
    allocated: u64,
}

impl Extents {
    /// No data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that are not holes.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// No data at all.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.pieces.iter().map(|(&offset, data)| (offset, data))
    }

    /// Offset behind the last byte of data; 0 when empty.
    pub fn end(&self) -> u64 {
        self.pieces.last_key_value().map_or(0, |(&offset, data)| offset + data.len() as u64)
    }

    /// Replaces what is at `offset`. `offset + data.len()` must not overflow.
    pub fn write(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.zero(offset, data.len() as u64);
        if data.len() < SMALL_PIECE_BYTES {
            self.insert_small(offset, &data);
        } else {
            self.insert(offset, data);
        }
    }

    /// Makes a hole.
    pub fn zero(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        if length == 0 {
            return;
        }
        if let Some((start, piece)) = self.piece_over(offset) {
            self.remove(start);
            self.insert_rest(start, piece.slice(..(offset - start) as usize));
            self.insert(offset, piece.slice((offset - start) as usize..));
        }
        let inside: Vec<u64> = self.pieces.range(offset..end).map(|(&start, _)| start).collect();
        for start in inside {
            let piece = self.remove(start);
            let kept = end - start;
            if kept < piece.len() as u64 {
                self.insert_rest(end, piece.slice(kept as usize..));
            }
        }
    }

    /// Drops everything at and behind `size`.
    pub fn truncate(&mut self, size: u64) {
        self.zero(size, u64::MAX - size);
    }

    /// The data in a range by reference, at the same offsets.
    pub fn slice(&self, offset: u64, length: u64) -> Self {
        let end = offset.saturating_add(length);
        let mut slice = Self::new();
        if length == 0 {
            return slice;
        }
        let first = self.piece_over(offset).map_or(offset, |(start, _)| start);
        for (&start, piece) in self.pieces.range(first..end) {
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(piece.len() as u64) as usize;
            slice.insert(start + from as u64, piece.slice(from..to));
        }
        slice
    }

    /// The same data with every offset lowered by `base`, which must not be above the first offset.
    pub fn rebased(self, base: u64) -> Self {
        let pieces = self.pieces.into_iter().map(|(offset, data)| (offset - base, data)).collect();
        Self { pieces, allocated: self.allocated }
    }

    /// The bytes of a range, holes filled with zeros. By reference when one piece covers it.
    pub fn to_bytes(&self, offset: u64, length: u64) -> Bytes {
        let slice = self.slice(offset, length);
        if let Some((&start, piece)) = slice.pieces.first_key_value()
            && start == offset
            && piece.len() as u64 == length
        {
            return piece.clone();
        }
        let mut bytes = BytesMut::zeroed(length as usize);
        for (start, piece) in slice.iter() {
            let at = (start - offset) as usize;
            bytes[at..at + piece.len()].copy_from_slice(piece);
        }
        bytes.freeze()
    }

    /// The piece that begins before `offset` and reaches over it.
    fn piece_over(&self, offset: u64) -> Option<(u64, Bytes)> {
        let (&start, piece) = self.pieces.range(..offset).next_back()?;
        (start + piece.len() as u64 > offset).then(|| (start, piece.clone()))
    }

    /// What remains of a piece that was cut: copied when it would keep much more alive than it is.
    fn insert_rest(&mut self, offset: u64, rest: Bytes) {
        let rest = if rest.len() < SMALL_PIECE_BYTES { Bytes::copy_from_slice(&rest) } else { rest };
        self.insert(offset, rest);
    }

    fn insert_small(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let before = self.pieces.range(..offset).next_back().map(|(&start, piece)| (start, piece.len()));
        let before = before.filter(|&(start, length)| start + length as u64 == offset);
        let before = before.filter(|&(_, length)| length + data.len() <= SMALL_PIECE_BYTES);
        let room = SMALL_PIECE_BYTES - data.len() - before.map_or(0, |(_, length)| length);
        let after = self.pieces.get(&end).is_some_and(|piece| piece.len() <= room);
        let mut joined = BytesMut::new();
        let start = before.map_or(offset, |(start, _)| start);
        if before.is_some() {
            joined.extend_from_slice(&self.remove(start));
        }
        joined.extend_from_slice(data);
        if after {
            joined.extend_from_slice(&self.remove(end));
        }
        self.insert(start, joined.freeze());
    }

    fn insert(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.allocated += data.len() as u64;
        let replaced = self.pieces.insert(offset, data);
        debug_assert!(replaced.is_none(), "pieces never overlap");
    }

    fn remove(&mut self, offset: u64) -> Bytes {
        let piece = self.pieces.remove(&offset).expect("the caller found a piece at this offset");
        self.allocated -= piece.len() as u64;
        piece
    }
}

/// Equal content at equal places: where pieces are divided does not matter.
impl PartialEq for Extents {
    fn eq(&self, other: &Self) -> bool {
        self.allocated == other.allocated && self.runs().eq(other.runs())
    }
}

impl Eq for Extents {}

impl Extents {
    /// Data as bytes with their offsets; only for comparison.
    fn runs(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        self.iter().flat_map(|(start, piece)| (start..).zip(piece.iter().copied()))
    }
}

impl FromIterator<(u64, Bytes)> for Extents {
    fn from_iter<I: IntoIterator<Item = (u64, Bytes)>>(pieces: I) -> Self {
        let mut extents = Self::new();
        for (offset, data) in pieces {
            extents.write(offset, data);
        }
        extents
    }
}
