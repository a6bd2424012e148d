//! The object map: two bits for each data object of an image, or of a snapshot.

mod layout;

use crate::crc::crc32c;
use crate::error::{Problem, WireError};
use crate::{Reader, Wire, Writer};

pub use layout::{BitVectorLayout, BitVectorWindow};

const ENTRIES_PER_BYTE: u64 = 4;
/// What a checksum is of.
const BLOCK_BYTES: usize = 4096;

numbered! {
    /// What is known of a data object.
    ObjectState: u8 {
        /// It does not exist.
        Nonexistent = 0,
        /// It may, and was changed since the latest snapshot.
        Exists = 1,
        /// It is removed.
        Pending = 2,
        /// It may, and is as in the latest snapshot.
        ExistsClean = 3,
    }
}

/// An array of two-bit entries, with checksums when it travels or is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitVector {
    count: u64,
    /// Four entries a byte, the first one in the topmost bits; what is behind the last entry is 0.
    data: Vec<u8>,
}

impl BitVector {
    /// So many entries, all the same.
    ///
    /// # Panics
    ///
    /// When they do not fit into memory.
    pub fn new(count: u64, state: ObjectState) -> Self {
        let mut vector = Self::default();
        vector.resize(count, state);
        vector
    }

    /// How many entries it has.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An entry; `None` behind the last one.
    pub fn get(&self, index: u64) -> Option<ObjectState> {
        (index < self.count)
            .then(|| ObjectState::ALL[usize::from(self.data[byte(index)] >> shift(index) & 3)])
    }

    /// Changes an entry.
    ///
    /// # Panics
    ///
    /// Behind the last one.
    pub fn set(&mut self, index: u64, state: ObjectState) {
        assert!(index < self.count, "{index} is behind the last of {} entries", self.count);
        let byte = &mut self.data[byte(index)];
        *byte = *byte & !(3 << shift(index)) | state.number() << shift(index);
    }

    /// Cuts entries off, or appends ones that are `state`.
    ///
    /// # Panics
    ///
    /// When they do not fit into memory.
    pub fn resize(&mut self, count: u64, state: ObjectState) {
        let (former, bytes) = (self.count, bytes(count).expect("it fits into memory"));
        self.data.resize(bytes, state.number() * 0b0101_0101);
        self.count = count;
        // What shares its byte with the last of those that stay.
        (former..count.min(former.next_multiple_of(ENTRIES_PER_BYTE)))
            .for_each(|index| self.set(index, state));
        self.clear_behind();
    }

    /// Makes each entry what `change` says, and says whether one is another than before.
    pub fn convert(&mut self, change: impl Fn(ObjectState) -> ObjectState) -> bool {
        let entry = |byte: u8, index| ObjectState::ALL[usize::from(byte >> shift(index) & 3)];
        let of_byte = |byte| {
            (0..ENTRIES_PER_BYTE).map(|index| change(entry(byte, index)).number() << shift(index)).sum()
        };
        let table: [u8; 256] = std::array::from_fn(|byte| of_byte(byte as u8));
        let before = self.data.clone();
        self.data.iter_mut().for_each(|byte| *byte = table[usize::from(*byte)]);
        self.clear_behind();
        self.data != before
    }

    fn clear_behind(&mut self) {
        let used = self.count % ENTRIES_PER_BYTE;
        if let Some(last) = self.data.last_mut()
            && used > 0
        {
            *last &= !(u8::MAX >> (2 * used));
        }
    }

    /// With no checksums: what `object_map_load` answers.
    pub fn put_without_checksums(&self, out: &mut Writer) {
        self.put_parts(out);
        0u32.put(out);
    }

    fn put_parts(&self, out: &mut Writer) {
        out.counted(|out| put_header(self.count, out));
        out.bytes(&self.data);
    }

    /// Of the struct in front, and of the entries, 4,096 bytes each.
    fn checksums(&self) -> (u32, Vec<u32>) {
        let mut header = Writer::new();
        put_header(self.count, &mut header);
        (crc32c(0, header.written()), block_checksums(&self.data))
    }
}

fn block_checksums(data: &[u8]) -> Vec<u32> {
    data.chunks(BLOCK_BYTES).map(|block| crc32c(0, block)).collect()
}

fn put_header(count: u64, out: &mut Writer) {
    out.versioned(1, 1, |out| count.put(out));
}

fn bytes(count: u64) -> Option<usize> {
    count.div_ceil(ENTRIES_PER_BYTE).try_into().ok()
}

fn byte(index: u64) -> usize {
    (index / ENTRIES_PER_BYTE) as usize
}

fn shift(index: u64) -> u64 {
    2 * (ENTRIES_PER_BYTE - 1 - index % ENTRIES_PER_BYTE)
}

/// Written with checksums; read with them or without.
impl Wire for BitVector {
    fn put(&self, out: &mut Writer) {
        self.put_parts(out);
        out.counted(|out| self.checksums().put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        take(from).map_err(|error| error.at("BitVector"))
    }
}

fn take(from: &mut Reader<'_>) -> Result<BitVector, WireError> {
    let count = from.counted()?.versioned(1, |from, _| u64::take(from))?;
    let short = Problem::Short { needed: usize::MAX, left: from.left().len() };
    let data = from.bytes(bytes(count).ok_or(WireError::new(short))?)?.to_vec();
    let mut vector = BitVector { count, data };
    let mut footer = from.counted()?;
    if !footer.is_empty() && <(u32, Vec<u32>)>::take(&mut footer)? != vector.checksums() {
        return Err(WireError::new(Problem::Checksum));
    }
    vector.clear_behind();
    Ok(vector)
}
