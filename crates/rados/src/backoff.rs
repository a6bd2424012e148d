use std::time::Duration;

/// Waits between attempts: exponential from `min` to `max` with seeded jitter, so that clients that lost the same OSD do
/// not come back in step and a run can be repeated from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// `stream` separates users of one seed.
    pub(crate) fn new(min: Duration, max: Duration, seed: u64, stream: u64) -> Self {
        let random = seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { min, max: max.max(min), attempts: 0, random }
    }

    /// The next wait: between `min` and `min * 2^attempts`, never above `max`.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let doubled = self.min.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        let cap = doubled.min(self.max);
        self.attempts = (self.attempts + 1).min(31);
        let spread_us = u64::try_from((cap - self.min).as_micros()).unwrap_or(u64::MAX - 1);
        self.min + Duration::from_micros(self.draw() % (spread_us + 1))
    }

    /// Contact was made: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// splitmix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_millis(200);

    fn waits(seed: u64, count: usize) -> Vec<Duration> {
        let mut backoff = Backoff::new(MIN, MAX, seed, 0);
        (0..count).map(|_| backoff.next_wait()).collect()
    }

    #[test]
    fn waits_stay_between_the_bounds_and_grow_towards_the_upper_one() {
        let waits = waits(7, 200);
        assert!(waits.iter().all(|wait| (MIN..=MAX).contains(wait)));
        assert_eq!(waits[0], MIN);
        assert!(waits[1] <= MIN * 2 && waits[2] <= MIN * 4);
        assert!(waits.iter().any(|wait| *wait > MAX / 2));
    }

    #[test]
    fn the_seed_alone_decides_the_jitter() {
        assert_eq!(waits(7, 50), waits(7, 50));
        assert_ne!(waits(7, 50), waits(8, 50));
    }

    #[test]
    fn contact_makes_the_next_wait_short() {
        let mut backoff = Backoff::new(MIN, MAX, 7, 0);
        for _ in 0..20 {
            backoff.next_wait();
        }
        backoff.reset();
        assert_eq!(backoff.next_wait(), MIN);
    }

    #[test]
    fn an_upper_bound_below_the_lower_one_counts_as_the_lower_one() {
        let mut backoff = Backoff::new(MAX, MIN, 7, 0);
        assert_eq!((backoff.next_wait(), backoff.next_wait()), (MAX, MAX));
    }
}
