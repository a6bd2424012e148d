use std::ops::Range;

/// Bytes of an input at most: enough that room which is made for each item shows.
const BYTES_MAX: usize = 64 << 10;
/// Changes of one input at most.
const CHANGES_MAX: usize = 6;
/// Where counts, lengths, versions and sizes change their meaning.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x10000,
    256_000_000,
    i32::MAX as u64,
    u32::MAX as u64,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Draws changes of inputs. The same seed draws the same.
#[derive(Debug)]
pub(crate) struct Mutator(fastrand::Rng);

impl Mutator {
    /// From this seed on.
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// One of several, of which there is at least one.
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.0.usize(..of.len())]
    }

    /// One of the inputs, changed; with parts of others.
    pub(crate) fn mutated(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one(inputs).clone();
        for _ in 0..self.0.usize(1..=CHANGES_MAX) {
            self.change(&mut bytes, inputs);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        match self.0.u8(..12) {
            0..=2 => self.flip(bytes),
            3..=6 => self.number(bytes),
            7 => bytes.truncate(self.place(bytes)),
            8 => {
                let cut = self.range(bytes, 16);
                bytes.drain(cut);
            }
            9 => {
                let (at, noise) = (self.place(bytes), self.0.u64(..).to_le_bytes());
                let count = self.0.usize(..=noise.len());
                bytes.splice(at..at, noise.into_iter().take(count));
            }
            10 => {
                let other = self.one(inputs);
                let part = other[self.range(other, other.len())].to_vec();
                let place = self.range(bytes, part.len());
                bytes.splice(place, part);
            }
            _ => self.repeat(bytes),
        }
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.0.usize(..bytes.len());
            bytes[at] ^= 1 << self.0.u8(..8);
        }
    }

    /// Writes a number over bytes, as Ceph writes it.
    fn number(&mut self, bytes: &mut [u8]) {
        let width = 1 << self.0.u8(..4);
        if bytes.len() >= width {
            let at = self.0.usize(..=bytes.len() - width);
            let number = self.one(NUMBERS).wrapping_add(self.0.u64(..3)).wrapping_sub(1);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
    }

    /// Many of the same, behind each other.
    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let part = bytes[self.range(bytes, 64)].to_vec();
        let room = BYTES_MAX.saturating_sub(bytes.len()).checked_div(part.len()).unwrap_or(0);
        let usual = room.min(1 << self.0.u8(..14));
        let at = self.place(bytes);
        bytes.splice(at..at, part.repeat(usual));
    }

    fn place(&mut self, bytes: &[u8]) -> usize {
        self.0.usize(..=bytes.len())
    }

    fn range(&mut self, bytes: &[u8], length_max: usize) -> Range<usize> {
        let start = self.place(bytes);
        start..start + self.0.usize(..=length_max.min(bytes.len() - start))
    }
}
