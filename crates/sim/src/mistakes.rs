//! The proof that the proof works: each mistake of crate `planted` is made, and seeds are played until one fails.

use std::io::{self, Write};
use std::ops::{ControlFlow, Range};

use anyhow::Result;
use indicatif::ProgressBar;
use planted::{Mistake, plant};
use sim::{Plan, play, play_seeds};

/// Widths of the table's columns.
const NAME: usize = 24;
const RULE: usize = 40;

/// Plays seeds from `seed` on with each mistake, at most `count`, until one fails that passes without it. Prints a table; how many
/// mistakes were not found.
pub(crate) fn find(seed: u64, count: u64, out: &mut impl Write) -> Result<usize> {
    writeln!(out, "{:<NAME$} {:<RULE$} {:>7} {:>8}", "MISTAKE", "FOUND BY", "SEEDS", "SECONDS")?;
    let bar = ProgressBar::new(Mistake::ALL.len() as u64);
    let (mut missed, mut seconds) = (0, 0.0);
    for &mistake in Mistake::ALL {
        let (found, played) = first_found(mistake, seed..seed + count);
        missed += usize::from(found.is_none());
        let rule = found.unwrap_or_else(|| "-".to_owned());
        let rule = rule.split(':').next().unwrap_or("-");
        let began = std::mem::replace(&mut seconds, bar.elapsed().as_secs_f64());
        let took = seconds - began;
        bar.suspend(|| -> io::Result<()> {
            writeln!(out, "{:<NAME$} {rule:<RULE$} {played:>7} {took:>8.1}", mistake.name())
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(missed)
}

/// The first rule that one of these seeds breaks only when this mistake is made, and how many seeds were played for it.
fn first_found(mistake: Mistake, mut seeds: Range<u64>) -> (Option<String>, u64) {
    let start = seeds.start;
    while !seeds.is_empty() {
        let mut broken = None;
        plant(Some(mistake));
        play_seeds(seeds.clone(), Plan::draw, |seed, report| {
            broken = report.violations.first().map(|rule| (seed, rule.clone()));
            if broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        plant(None);
        let Some((seed, rule)) = broken else { break };
        seeds.start = seed + 1;
        if play(&Plan::draw(seed), false).violations.is_empty() {
            return (Some(rule), seeds.start - start);
        }
    }
    (None, seeds.end - start)
}
