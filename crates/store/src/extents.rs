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

    /// Ranges with data, offset and length, joined where there is no hole in between.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        let length = |group: &[(u64, Bytes)]| group.iter().map(|(_, data)| data.len() as u64).sum();
        let ranges: Vec<_> = self.groups().map(|group| (group[0].0, length(group))).collect();
        ranges.into_iter()
    }

    /// The bytes of a range in pieces, holes filled with zeros. Nothing is copied.
    pub fn pieces(&self, offset: u64, length: u64) -> Vec<Bytes> {
        let end = offset + length;
        let mut pieces = Vec::with_capacity(self.0.len());
        let mut reached = offset;
        for (start, data) in &self.0 {
            let from = (*start).clamp(offset, end);
            let to = (start + data.len() as u64).clamp(offset, end);
            if from < to {
                pieces.extend(zeros(from - reached));
                pieces.push(data.slice((from - start) as usize..(to - start) as usize));
                reached = to;
            }
        }
        pieces.extend(zeros(end - reached));
        pieces
    }

    /// The bytes of a range, holes filled with zeros. By reference when one piece covers it.
    pub fn to_bytes(&self, offset: u64, length: u64) -> Bytes {
        match &self.pieces(offset, length)[..] {
            [whole] => whole.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

/// So many zeros, in pieces.
fn zeros(count: u64) -> impl Iterator<Item = Bytes> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    (0..count)
        .step_by(ZEROS.len())
        .map(move |at| Bytes::from_static(&ZEROS[..ZEROS.len().min((count - at) as usize)]))
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
