//! How many calls of one kind are done in a second, with so many of them in flight.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::spread::{Latencies, Spread};

/// Part of the time that passes before calls count.
const WARM_UP_PART: u32 = 5;

/// What was found.
pub(crate) struct Rate {
    /// Calls in a second.
    pub(crate) per_second: f64,
    /// Of the single calls.
    pub(crate) spread: Spread,
}

/// Keeps `in_flight` calls going for `time`, after a warm-up; `call` is told a number that differs from call to call.
pub(crate) async fn rate<F>(in_flight: usize, time: Duration, call: impl Fn(u64) -> F) -> Result<Rate>
where
    F: Future<Output = Result<()>>,
{
    let begin = Instant::now() + time / WARM_UP_PART;
    let end = begin + time;
    let lanes = (0..in_flight).map(|lane| {
        let call = &call;
        async move {
            let mut latencies = Latencies::new()?;
            let mut number = lane as u64;
            loop {
                let begun = Instant::now();
                if begun >= end {
                    return anyhow::Ok(latencies);
                }
                call(number).await?;
                number += in_flight as u64;
                if begun >= begin {
                    latencies.record(begun.elapsed())?;
                }
            }
        }
    });
    let lanes = try_join_all(lanes).await?;
    let took = begin.elapsed();
    let mut all = Latencies::new()?;
    for latencies in &lanes {
        all.add(latencies)?;
    }
    let spread = all.spread();
    Ok(Rate { per_second: spread.calls as f64 / took.as_secs_f64(), spread })
}

/// The same numbers in every run, spread evenly over all (SplitMix64).
pub(crate) fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
