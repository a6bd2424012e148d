//! Data that was read, with holes.

use bytes::{Bytes, BytesMut};

/// Pieces of data by their offset: ascending, never empty, never overlapping. What lies between them are holes, which read
/// as zeros. They refer to the bytes where these are kept.
#[derive(Clone, Debug, Default)]
pub struct Extents(Vec<(u64, Bytes)>);

impl Extents {
    /// No data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece behind all others.
    pub fn push(&mut self, offset: u64, data: Bytes) {
        debug_assert!(self.end() <= offset, "pieces ascend");
        if !data.is_empty() {
            self.0.push((offset, data));
        }
    }

    /// Adds pieces behind all others.
    pub fn append(&mut self, behind: Self) {
        debug_assert!(behind.0.first().is_none_or(|&(offset, _)| self.end() <= offset), "pieces ascend");
        self.0.extend(behind.0);
    }

    /// No data at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are not holes.
    pub fn allocated(&self) -> u64 {
        self.0.iter().map(|(_, data)| data.len() as u64).sum()
    }

    /// Offset behind the last byte of data; 0 when empty.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |(offset, data)| offset + data.len() as u64)
    }

    /// The pieces, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.0.iter().map(|(offset, data)| (*offset, data))
    }

    /// The pieces in groups without holes.
    fn groups(&self) -> impl Iterator<Item = &[(u64, Bytes)]> {
        self.0.chunk_by(|(offset, data), (next, _)| offset + data.len() as u64 == *next)
    }

    /// How many pieces there are once those without a hole between them are joined.
    pub fn runs(&self) -> usize {
        self.groups().count()
    }

    /// The data with its offsets, joined where there is no hole in between.
    pub fn joined(&self) -> impl Iterator<Item = (u64, Bytes)> {
        self.groups().map(|group| match group {
            [(offset, data)] => (*offset, data.clone()),
            group => {
                let length = group.iter().map(|(_, data)| data.len()).sum();
                let mut joined = BytesMut::with_capacity(length);
                group.iter().for_each(|(_, data)| joined.extend_from_slice(data));
                (group[0].0, joined.freeze())
            }
        })
    }

    /// The bytes of a range, holes filled with zeros. By reference when one piece covers it.
    pub fn to_bytes(&self, offset: u64, length: u64) -> Bytes {
        let end = offset + length;
        if let [(start, data)] = &self.0[..]
            && *start <= offset
            && end <= start + data.len() as u64
        {
            return data.slice((offset - start) as usize..(end - start) as usize);
        }
        let mut bytes = BytesMut::with_capacity(length as usize);
        for (start, data) in &self.0 {
            let from = (*start).clamp(offset, end);
            let to = (start + data.len() as u64).clamp(offset, end);
            if from < to {
                bytes.resize((from - offset) as usize, 0);
                bytes.extend_from_slice(&data[(from - start) as usize..(to - start) as usize]);
            }
        }
        bytes.resize(length as usize, 0);
        bytes.freeze()
    }
}

/// Equal content at equal places: where pieces are divided does not matter.
impl PartialEq for Extents {
    fn eq(&self, other: &Self) -> bool {
        self.joined().eq(other.joined())
    }
}

impl Eq for Extents {}

/// Of pieces that ascend.
impl FromIterator<(u64, Bytes)> for Extents {
    fn from_iter<I: IntoIterator<Item = (u64, Bytes)>>(pieces: I) -> Self {
        let mut extents = Self::new();
        pieces.into_iter().for_each(|(offset, data)| extents.push(offset, data));
        extents
    }
}
