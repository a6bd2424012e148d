//! Bounded waiting for conditions that no event announces.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a condition that nothing announces is looked at.
const PROBE_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until `probe` gives a value; an error, naming `what`, once `bound` has passed.
pub async fn until<T, F, Fut>(what: &str, bound: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + bound;
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {bound:?}");
        }
    }
}
