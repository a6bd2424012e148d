//! How long something took, over many rounds.

use std::{fmt::Write as _, time::Duration};

use harness::check::wrapped;
use serde::Serialize;

/// Rows of a drawn histogram.
const ROWS: usize = 8;
/// Width of its longest bar.
const BAR_MAX: usize = 50;

/// Durations of the same thing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Histogram {
    /// From what to what.
    pub what: String,
    /// What it should be, and by whom; may be empty.
    pub goal: String,
    /// In milliseconds, in the order of the rounds.
    pub times_ms: Vec<f64>,
}

impl Histogram {
    /// Nothing has been timed.
    pub fn new(what: &str, goal: &str) -> Self {
        Self { what: what.to_owned(), goal: goal.to_owned(), times_ms: Vec::new() }
    }

    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.times_ms.push(time.as_secs_f64() * 1000.0);
    }

    /// The time that a part of all times, from 0 to 1, does not exceed; 0 when there are none.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let mut sorted = self.times_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (part * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank.min(sorted.len()).wrapping_sub(1)).copied().unwrap_or(0.0)
    }

    /// For a terminal.
    pub fn draw(&self) -> String {
        let mut text = match self.times_ms.len() {
            0 => return format!("{}: it did not occur\n", self.what),
            1 => format!("{}, once\n", self.what),
            times => format!("{}, {times} times\n", self.what),
        };
        let at = |part| span(self.quantile_ms(part));
        let _ = writeln!(
            text,
            "  min {}  median {}  p90 {}  p99 {}  max {}",
            at(0.0),
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        if !self.goal.is_empty() {
            wrapped(&mut text, "  ", &self.goal);
        }
        let (least, most) = (self.quantile_ms(0.0), self.quantile_ms(1.0));
        let width = ((most - least) / ROWS as f64).max(f64::EPSILON);
        let mut counts = [0_usize; ROWS];
        for time in &self.times_ms {
            counts[(((time - least) / width) as usize).min(ROWS - 1)] += 1;
        }
        let highest = counts.iter().copied().max().unwrap_or(1).max(1);
        for (row, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = least + row as f64 * width;
            let bar = "#".repeat((count * BAR_MAX).div_ceil(highest));
            let _ = writeln!(text, "  {:>10} to {:>10} {count:>5}  {bar}", span(from), span(from + width));
        }
        text
    }
}

/// With the unit that fits.
fn span(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times_ms: &[f64]) -> Histogram {
        Histogram { times_ms: times_ms.to_vec(), ..Histogram::new("x", "") }
    }

    #[test]
    fn quantiles_are_times_that_occurred() {
        let histogram = of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        let at = |part| histogram.quantile_ms(part);
        assert_eq!([at(0.0), at(0.5), at(0.9), at(1.0)], [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(of(&[]).quantile_ms(0.5), 0.0);
    }

    #[test]
    fn every_time_is_in_one_row() {
        for times in [&[1.0][..], &[1.0, 1.0], &[0.0, 10.0, 5.0, 9.99]] {
            let drawn = of(times).draw();
            let rows = drawn.lines().filter(|line| line.contains('#'));
            let counted: usize =
                rows.map(|row| row.split_whitespace().nth(5).unwrap().parse::<usize>().unwrap()).sum();
            assert_eq!(counted, times.len(), "{drawn}");
        }
    }
}
