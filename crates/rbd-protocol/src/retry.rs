//! Pacing of retries: bounded exponential back-off with deterministic jitter.

use crate::ids::Millis;

/// Delays that double from a minimum to a maximum, each shortened by up to half, never below the minimum. The jitter
/// comes from the seed, so equal seeds wait equally.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Millis,
    max: Millis,
    step: u32,
    random: u64,
}

/// By its bounds: where it stands between them is no state of a protocol.
impl std::hash::Hash for Backoff {
    fn hash<H: std::hash::Hasher>(&self, into: &mut H) {
        (self.min, self.max).hash(into);
    }
}

impl Backoff {
    /// A minimum of 0 counts as 1 ms: no retry is ever a busy loop.
    pub fn new(min: Millis, max: Millis, seed: u64) -> Self {
        let min = Millis(min.0.max(1));
        Self { min, max: max.max(min), step: 0, random: seed }
    }

    /// The next delay, between the minimum and the maximum.
    pub fn next_delay(&mut self) -> Millis {
        let base = self.min.0.saturating_mul(1 << self.step.min(32)).min(self.max.0);
        self.step = self.step.saturating_add(1);
        let shortened = base - self.draw() % (base / 2 + 1);
        Millis(shortened.max(self.min.0))
    }

    /// Starts over at the minimum: something worked.
    pub fn reset(&mut self) {
        self.step = 0;
    }

    /// splitmix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(seed: u64, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::new(Millis(100), Millis(1000), seed);
        (0..count).map(|_| backoff.next_delay().0).collect()
    }

    #[test]
    fn delays_grow_and_stay_within_their_bounds() {
        for seed in 0..100 {
            let seen = delays(seed, 12);
            assert_eq!(seen[0], 100, "seed {seed}: the first delay is the minimum");
            assert!(seen.iter().all(|delay| (100..=1000).contains(delay)), "seed {seed}: {seen:?}");
            assert!(
                seen[4..].iter().all(|delay| *delay >= 500),
                "seed {seed}: half the maximum is reached: {seen:?}"
            );
        }
    }

    #[test]
    fn equal_seeds_wait_equally_and_others_differ() {
        assert_eq!(delays(7, 20), delays(7, 20));
        assert_ne!(delays(7, 20), delays(8, 20));
    }

    #[test]
    fn a_reset_starts_over_at_the_minimum() {
        let mut backoff = Backoff::new(Millis(100), Millis(1000), 3);
        for _ in 0..40 {
            backoff.next_delay();
        }
        backoff.reset();
        assert_eq!(backoff.next_delay(), Millis(100));
    }

    #[test]
    fn a_minimum_of_nothing_still_waits() {
        assert!(Backoff::new(Millis(0), Millis(0), 1).next_delay() >= Millis(1));
    }
}
