//! What the clients of an image do: drawn from a seed.

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

/// A maintenance step; its parts are drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Takes a snapshot.
    SnapCreate,
    /// Removes one, if there is any.
    SnapRemove,
    /// Gives one another name.
    SnapRename,
    /// Removes all that are not protected.
    SnapPurge,
    /// Reads one through a process of its own.
    SnapRead,
    /// Clones one through the client, with little patience.
    Clone,
    /// Makes HEAD what one is, and reads it.
    SnapRollback,
    /// Protects one, and takes that back; often twice at once.
    SnapProtect,
    /// Gives the image another name.
    Rename,
    /// Changes the size.
    Resize,
    /// Flattens the image while one of its objects is written, overwritten and discarded.
    Flatten,
    /// Takes the lock by hand, keeps it for a while, and gives it back.
    HoldLock,
}

/// How often each chore comes up in a deck.
const CHORES: [(Chore, usize); 12] = [
    (Chore::Flatten, 1),
    (Chore::SnapCreate, 4),
    (Chore::SnapRemove, 1),
    (Chore::SnapRename, 1),
    (Chore::SnapPurge, 1),
    (Chore::SnapRead, 1),
    (Chore::SnapRollback, 1),
    (Chore::SnapProtect, 1),
    (Chore::Rename, 1),
    (Chore::Resize, 1),
    (Chore::Clone, 1),
    (Chore::HoldLock, 1),
];

/// A step of whoever makes, clones, flattens and removes images by verbs; its parts are drawn when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Makes an image, sometimes twice at once, and removes it.
    Create,
    /// Clones a snapshot that the clients' image comes from, changes the clone, and clones it once more.
    Clone,
    /// Flattens a clone, often twice at once.
    Flatten,
    /// Protects a snapshot of a clone and takes that back, often twice at once.
    Protect,
    /// Removes a snapshot that was cloned: it must not go while somebody needs it.
    SnapRemove,
    /// Gives a clone and one of its snapshots another name.
    Rename,
    /// Removes a clone with its snapshots, one by one or all at once.
    Remove,
}

const ERRANDS: [(Errand, usize); 7] = [
    (Errand::Create, 1),
    (Errand::Clone, 3),
    (Errand::Flatten, 2),
    (Errand::Protect, 1),
    (Errand::SnapRemove, 1),
    (Errand::Rename, 1),
    (Errand::Remove, 1),
];

/// Things to do that come up as often as they are in it before it is dealt anew.
#[derive(Clone, Debug)]
pub struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    fn of(counted: &[(T, usize)]) -> Self {
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

/// Who is given chores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// A client of an image that only rbd-clients have open.
    Alone,
    /// An rbd-client of an image that a librbd has open too.
    BesideLibrbd,
    /// That librbd.
    Librbd,
}

impl Hand {
    /// What librbd does in steps of which each may be its last leaves something behind: a renaming the image's id under two names, or under
    /// neither; a clone a child without an entry at its parent. It is asked for neither, also not by way of the lock's owner. It keeps no
    /// record of a request, and makes a snapshot once more when an owner has made it and a purge has taken it: nobody purges beside it. A
    /// rollback that is interrupted lets a write go that has waited for it, when the lock has gone (docs/hazards.md, 12). Nor is it to take
    /// the lock by hand: that call was seen never to return, beside others that need the lock.
    fn does(self, chore: Chore) -> bool {
        match self {
            Self::Alone => true,
            Self::BesideLibrbd => !matches!(chore, Chore::Rename | Chore::SnapPurge),
            Self::Librbd => {
                Self::BesideLibrbd.does(chore)
                    && !matches!(chore, Chore::Clone | Chore::SnapRollback | Chore::HoldLock)
            }
        }
    }
}

impl Deck<Chore> {
    /// Of a client.
    pub fn chores(hand: Hand) -> Self {
        // Beside a librbd, which is asked for none, it rolls back for all.
        let often = |chore| if hand == Hand::BesideLibrbd && chore == Chore::SnapRollback { 3 } else { 1 };
        let does = CHORES.iter().filter(|(chore, _)| hand.does(*chore));
        Self::of(&does.map(|&(chore, count)| (chore, count * often(chore))).collect::<Vec<_>>())
    }
}

impl Deck<Errand> {
    /// Of an operator.
    pub fn errands() -> Self {
        Self::of(&ERRANDS)
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

    #[test]
    fn nobody_renames_or_purges_an_image_that_a_librbd_has_open() {
        for hand in [Hand::BesideLibrbd, Hand::Librbd] {
            for chore in [Chore::Rename, Chore::SnapPurge] {
                assert!(!Deck::chores(hand).all.contains(&chore), "{hand:?} {chore:?}");
            }
        }
        assert!(Deck::chores(Hand::BesideLibrbd).all.contains(&Chore::Clone));
        for chore in [Chore::Clone, Chore::SnapRollback] {
            assert!(!Deck::chores(Hand::Librbd).all.contains(&chore), "{chore:?}");
        }
    }

    #[test]
    fn every_chore_comes_up_in_each_deck() {
        let mut rng = Rng::with_seed(1);
        let mut deck = Deck::chores(Hand::Alone);
        let size = deck.all.len();
        for _ in 0..3 {
            let drawn: Vec<_> = (0..size).map(|_| deck.draw(&mut rng)).collect();
            assert!(CHORES.iter().all(|(chore, _)| drawn.contains(chore)));
        }
    }
}
