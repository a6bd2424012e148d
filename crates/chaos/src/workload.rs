//! What is drawn from a seed for the clients of an image: reads and writes, and what comes up next.

use check::Operation;
use fastrand::Rng;

use crate::recorder::{BLOCK_BYTES, Recorder};

/// The image that clients work on.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Blocks at first.
    pub blocks: u64,
    /// Blocks that everybody fights over, from the first one on.
    pub hot_blocks: u64,
    /// Most blocks of one read, write or discard.
    pub run_blocks_max: u64,
}

impl Shape {
    /// Small enough to be judged block by block, and of enough objects to be interrupted between.
    pub const fn small() -> Self {
        Self { blocks: 512, hot_blocks: 12, run_blocks_max: 8 }
    }

    /// Bytes at first.
    pub const fn size(&self) -> u64 {
        self.blocks * BLOCK_BYTES
    }

    /// Bytes that the image may grow to.
    pub const fn size_max(&self) -> u64 {
        self.size() * 3 / 2
    }
}

/// Things to do that come up as often as they are in it before it is dealt anew.
#[derive(Clone, Debug)]
pub struct Deck<T> {
    pub(crate) all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// `counted` = how often each is in it.
    pub fn of(counted: &[(T, usize)]) -> Self {
        let all = counted.iter().flat_map(|&(card, count)| std::iter::repeat_n(card, count)).collect();
        Self { all, left: Vec::new() }
    }

    /// The next one.
    pub fn draw(&mut self, rng: &mut Rng) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
        }
        self.left.swap_remove(rng.usize(0..self.left.len()))
    }
}

/// A read, write, discard or flush.
pub fn draw_io(rng: &mut Rng, shape: &Shape, recorder: &Recorder) -> Operation {
    let (offset, length) = draw_range(rng, shape);
    match rng.u32(0..100) {
        0..45 => Operation::Write { offset, length, tag: recorder.fresh_tag() },
        45..90 => Operation::Read { offset, length, snap: None },
        90..97 => Operation::Discard { offset, length },
        _ => Operation::Flush,
    }
}

/// An object of the image: offset and length.
pub fn draw_object(rng: &mut Rng, shape: &Shape, object_bytes: u64) -> (u64, u64) {
    (rng.u64(0..shape.size() / object_bytes) * object_bytes, object_bytes)
}

/// Half of all ranges begin in the hot blocks.
fn draw_range(rng: &mut Rng, shape: &Shape) -> (u64, u64) {
    let first = if rng.bool() { rng.u64(0..shape.hot_blocks) } else { rng.u64(0..shape.blocks) };
    let most = shape.run_blocks_max.min(shape.blocks - first);
    let blocks = if rng.bool() { 1 } else { rng.u64(1..=most) };
    (first * BLOCK_BYTES, blocks * BLOCK_BYTES)
}

/// A size of whole objects around the first one.
pub fn draw_size(rng: &mut Rng, shape: &Shape, object_bytes: u64) -> u64 {
    rng.u64(shape.size() / 2 / object_bytes..=shape.size_max() / object_bytes) * object_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Operation> {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&directory.path().join("history")).unwrap();
        let mut rng = Rng::with_seed(seed);
        (0..200).map(|_| draw_io(&mut rng, &Shape::small(), &recorder)).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_calls() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn ranges_are_whole_blocks_of_the_image() {
        for operation in drawn(3) {
            let Some((offset, length)) = operation.range() else { continue };
            assert!(length > 0 && offset % BLOCK_BYTES == 0 && length % BLOCK_BYTES == 0);
            assert!(offset + length <= Shape::small().size());
        }
    }
}
