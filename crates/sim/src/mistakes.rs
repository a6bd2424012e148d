//! The proof that the proof works: each mistake of crate `planted` is made, and seeds are played until one fails.

use std::io::{self, Write};

use anyhow::Result;
use indicatif::ProgressBar;
use planted::{Mistake, plant};
use sim::{Plan, play};

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
        let mut played = 0;
        let found = (seed..).take(usize::try_from(count)?).find_map(|seed| {
            played += 1;
            let plan = Plan::draw(seed);
            let broken = broken_first(&plan, Some(mistake))?;
            broken_first(&plan, None).is_none().then_some(broken)
        });
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

/// The first rule that the plan breaks when this mistake is made.
fn broken_first(plan: &Plan, mistake: Option<Mistake>) -> Option<String> {
    plant(mistake);
    let violations = play(plan, false).violations;
    plant(None);
    violations.into_iter().next()
}
