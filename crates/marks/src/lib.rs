//! Marks at the rows of the protocol's tables: the proof that the simulation reaches them.
//!
//! Each [`Mark`] is a row of a state table or of the error table, and stands at the place of its decision. They are counted by
//! the feature `on` only; without it [`hit`] is nothing for the compiler, and nothing remains of them.

mod report;
mod table;

pub use report::Report;
pub use table::{Group, Mark};

#[cfg(feature = "on")]
mod counted {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Mark;

    static HITS: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

    /// The row has decided what happens.
    pub fn hit(mark: Mark) {
        HITS[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so, in the whole process.
    pub fn hits(mark: Mark) -> u64 {
        HITS[mark as usize].load(Ordering::Relaxed)
    }
}

#[cfg(feature = "on")]
pub use counted::{hit, hits};

/// The row has decided what happens: nobody counts it in this build.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn hit(_: Mark) {}
