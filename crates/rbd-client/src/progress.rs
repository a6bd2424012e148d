//! How far long work is, on standard error: a bar on a terminal, plain lines elsewhere, nothing with `--no-progress`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use librbd::{OperationEvent, ProgressSink};

use crate::{
    console::{Console, say},
    size::Human,
};

/// Lines are printed at these steps, so that a log of a long operation stays short.
const LINE_STEP_PERCENT: u64 = 10;

/// Where the end is not known, the first line comes after this much.
const FIRST_LINE_BYTES: u64 = 64 << 20;

/// The progress of one piece of work. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    label: &'static str,
    style: Appearance,
}

enum Appearance {
    Hidden,
    Bar(ProgressBar),
    /// The percentage of the last line; held while a line is printed, so that lines keep their order.
    Lines(Mutex<u64>),
}

impl Progress {
    /// `label` is what the work is called, e.g. "Flatten".
    pub(crate) fn new(label: &'static str, console: Console) -> Self {
        let style = if !console.progress {
            Appearance::Hidden
        } else if console.draws_bars() {
            Appearance::Bar(bar(label))
        } else {
            Appearance::Lines(Mutex::new(0))
        };
        Self { shared: Arc::new(Shared { label, style }) }
    }

    /// What an operation reports to.
    pub(crate) fn sink(&self) -> ProgressSink {
        let progress = self.clone();
        Arc::new(move |event| progress.operation(&event))
    }

    /// `done` of `total` is done.
    pub(crate) fn at(&self, done: u64, total: u64) {
        match &self.shared.style {
            Appearance::Hidden => {}
            Appearance::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Appearance::Lines(last) => {
                let percent = percent(done, total) / LINE_STEP_PERCENT * LINE_STEP_PERCENT;
                let mut last = lock(last);
                if percent > *last && percent < 100 {
                    *last = percent;
                    say(format_args!("{}: {percent}% complete...", self.shared.label));
                }
            }
        }
    }

    /// `done` bytes are done, nobody knows of how many.
    pub(crate) fn so_far(&self, done: u64) {
        match &self.shared.style {
            Appearance::Hidden => {}
            Appearance::Bar(bar) => {
                bar.set_style(growing());
                bar.set_position(done);
            }
            // A line at 64 MiB, and whenever there is twice as much.
            Appearance::Lines(last) => {
                let doublings =
                    u64::from((done / FIRST_LINE_BYTES).checked_ilog2().map_or(0, |log2| log2 + 1));
                let mut last = lock(last);
                if doublings > *last {
                    *last = doublings;
                    say(format_args!("{}: {} so far...", self.shared.label, Human(done)));
                }
            }
        }
    }

    /// The work is done.
    pub(crate) fn done(&self) {
        match &self.shared.style {
            Appearance::Hidden => {}
            Appearance::Bar(bar) => {
                bar.finish_and_clear();
                say(format_args!("{}: 100% complete...done.", self.shared.label));
            }
            Appearance::Lines(_) => say(format_args!("{}: 100% complete...done.", self.shared.label)),
        }
    }

    /// The work failed; the error is printed by the caller.
    pub(crate) fn failed(&self) {
        match &self.shared.style {
            Appearance::Hidden => {}
            Appearance::Bar(bar) => {
                bar.abandon();
                say(format_args!("{}: failed.", self.shared.label));
            }
            Appearance::Lines(_) => say(format_args!("{}: failed.", self.shared.label)),
        }
    }

    /// Ends it by how the work ended, and hands the result on.
    pub(crate) fn ended<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.done(),
            Err(_) => self.failed(),
        }
        result
    }

    fn operation(&self, event: &OperationEvent) {
        match event {
            OperationEvent::Placed { attempt, forwarded: true, owner_gid } => {
                self.say(&format!("forwarded to the lock owner{} (attempt {attempt})", client(*owner_gid)));
            }
            OperationEvent::Placed { .. } => {}
            OperationEvent::Progress { offset, total, .. } => self.at(*offset, *total),
            OperationEvent::Restarted { reason, attempt } => {
                if let Appearance::Lines(last) = &self.shared.style {
                    *lock(last) = 0;
                }
                self.say(&format!("{reason}; starting over (attempt {attempt})"));
            }
        }
    }

    fn say(&self, text: &str) {
        let line = format!("{}: {text}", self.shared.label);
        match &self.shared.style {
            Appearance::Hidden => {}
            Appearance::Bar(bar) => bar.suspend(|| say(format_args!("{line}"))),
            Appearance::Lines(last) => {
                let _order = lock(last);
                say(format_args!("{line}"));
            }
        }
    }
}

fn bar(label: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}: [{wide_bar}] {percent}% {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style).with_prefix(label)
}

fn growing() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {binary_bytes} so far, {binary_bytes_per_sec} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn client(gid: u64) -> String {
    match gid {
        0 => String::new(),
        gid => format!(" client.{gid}"),
    }
}

/// An empty work is done.
fn percent(done: u64, total: u64) -> u64 {
    match total {
        0 => 100,
        total => u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).unwrap_or(100),
    }
}

/// A number is never left half-changed, so a panic of another holder does no harm.
fn lock(mutex: &Mutex<u64>) -> MutexGuard<'_, u64> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_whole_and_never_over_100() {
        assert_eq!(percent(0, 3), 0);
        assert_eq!(percent(2, 3), 66);
        assert_eq!(percent(9, 3), 100);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 100);
    }
}
