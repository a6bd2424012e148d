//! Many seeds, on all cores of the machine. Each universe has one core to itself, and knows of no other.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::plan::Plan;
use crate::run::{Player, Report};

/// Plays the universes that `draw` draws of these seeds. `told` hears of them in the order of the seeds, and may end it.
pub fn play_seeds(
    seeds: Range<u64>,
    draw: fn(u64) -> Plan,
    mut told: impl FnMut(u64, &Report) -> ControlFlow<()>,
) {
    let next = AtomicU64::new(seeds.start);
    let is_over = AtomicBool::new(false);
    let (reports, played) = mpsc::channel();
    let work = || {
        let mut player = Player::default();
        let reports = reports.clone();
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                break;
            }
            let playing = AssertUnwindSafe(|| player.play(&draw(seed), false));
            let report = panic::catch_unwind(playing).unwrap_or_else(|_| {
                player = Player::default();
                Report { violations: vec!["panic: its message is above".to_owned()], ..Report::default() }
            });
            // Nobody hears of more than was asked for.
            let _ = reports.send((seed, report));
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 0..cores {
            scope.spawn(work);
        }
        let mut early = BTreeMap::new();
        for seed in seeds.clone() {
            let report = loop {
                match early.remove(&seed) {
                    Some(report) => break report,
                    None => early.extend(played.recv()),
                }
            };
            if told(seed, &report).is_break() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_told_in_their_order_until_one_ends_it_and_each_is_the_run_that_it_is_alone() {
        let mut hashes = Vec::new();
        play_seeds(5..30, Plan::draw_small, |seed, report| {
            hashes.push((seed, report.trace_hash));
            if seed == 16 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let alone = |seed| (seed, crate::play(&Plan::draw_small(seed), false).trace_hash);
        assert_eq!(hashes, (5..17).map(alone).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_panics_is_one_that_fails() {
        fn draw(seed: u64) -> Plan {
            assert!(seed != 2, "it is drawn");
            Plan::draw_small(seed)
        }
        let mut failed = Vec::new();
        play_seeds(1..4, draw, |seed, report| {
            failed.extend((!report.violations.is_empty()).then_some(seed));
            ControlFlow::Continue(())
        });
        assert_eq!(failed, [2]);
    }
}
