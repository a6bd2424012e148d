//! How a latency is spread over many calls.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// Latencies of many calls, in nanoseconds, to three digits.
pub struct Latencies(Histogram<u64>);

/// What is told of them. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The fastest call.
    pub min: f64,
    /// Half of the calls took no longer.
    pub p50: f64,
    /// Nine of ten calls took no longer.
    pub p90: f64,
    /// 99 of 100 calls took no longer.
    pub p99: f64,
    /// The slowest call.
    pub max: f64,
    /// How many calls there were.
    pub calls: u64,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// Adds one call.
    pub fn record(&mut self, latency: Duration) -> Result<()> {
        let nanoseconds = u64::try_from(latency.as_nanos()).context("a call of centuries")?;
        Ok(self.0.record(nanoseconds)?)
    }

    /// Does `call` and adds how long it took.
    pub async fn time<T>(&mut self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let done = call.await?;
        self.record(begun.elapsed())?;
        Ok(done)
    }

    /// Adds all calls of `other`.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// What is told of them.
    pub fn spread(&self) -> Spread {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        Spread {
            min: milliseconds(self.0.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: milliseconds(self.0.max()),
            calls: self.0.len(),
        }
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let mut latencies = Latencies::new().unwrap();
        for microseconds in 1..=1000 {
            latencies.record(Duration::from_micros(microseconds)).unwrap();
        }
        let Spread { min, p50, p90, p99, max, calls } = latencies.spread();
        assert_eq!(calls, 1000);
        for (found, expected) in [(min, 0.001), (p50, 0.5), (p90, 0.9), (p99, 0.99), (max, 1.0)] {
            assert!((found - expected).abs() <= expected / 500.0, "{found} is not {expected}");
        }
    }
}
