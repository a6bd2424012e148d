//! What a run says, for people and for programs.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Result;
use check::{History, Outcome};
use harness::{
    check::{Check, said, wrapped},
    timeline::{self, Line},
};
use serde::Serialize;

use crate::{evidence::Verdict, histogram::Histogram};

/// The outcome of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The command.
    pub name: &'static str,
    /// Everything was drawn from it.
    pub seed: u64,
    /// What was run, in a line.
    pub what: String,
    /// Whose timeline it is, e.g. "round 7, the slowest".
    pub timeline_of: String,
    /// What happened.
    pub timeline: Vec<Line>,
    /// What was timed.
    pub measured: Vec<Histogram>,
    /// Statements of the run's own.
    pub statements: Vec<Check>,
    /// What the checkers say.
    pub verdicts: Vec<Verdict>,
    /// Calls in the history.
    pub calls: usize,
    /// How they ended: by op, how often each way.
    pub answers: BTreeMap<&'static str, BTreeMap<String, usize>>,
    /// Events in the OSD's log.
    pub events: usize,
    /// How long each call may take when nothing was broken (I5).
    pub calm_ms_max: u64,
}

impl Report {
    /// Everything that was said is so, and no checker found anything.
    pub fn passed(&self) -> bool {
        !self.verdicts.is_empty()
            && self.statements.iter().all(|statement| statement.passed)
            && self.verdicts.iter().all(Verdict::passed)
    }

    /// One JSON document, with `passed` beside the fields.
    pub fn json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Judged<'a> {
            passed: bool,
            #[serde(flatten)]
            report: &'a Report,
        }
        Ok(serde_json::to_string(&Judged { passed: self.passed(), report: self })?)
    }

    /// For a terminal. At most `lines_max` lines of the timeline.
    pub fn text(&self, lines_max: usize) -> String {
        let mut text = format!("chaos {}: seed {}, {}\n", self.name, self.seed, self.what);
        if !self.timeline.is_empty() && lines_max > 0 {
            let _ = write!(text, "\nWhat happened in {}\n\n", self.timeline_of);
            text += &timeline::draw_ends(&self.timeline, lines_max);
        }
        for measured in &self.measured {
            text.push('\n');
            text += &measured.draw();
        }
        let bound = humantime::format_duration(Duration::from_millis(self.calm_ms_max));
        let _ = writeln!(
            text,
            "\n{} calls, {} events of the OSD; a call that met no fault may take {bound}",
            self.calls, self.events
        );
        self.answers.iter().for_each(|(op, ended)| answered(&mut text, op, ended));
        text.push('\n');
        self.statements.iter().for_each(|statement| statement.write(&mut text));
        for verdict in &self.verdicts {
            judged(&mut text, verdict);
        }
        let _ = writeln!(text, "\n{} (seed {})", if self.passed() { "PASS" } else { "FAIL" }, self.seed);
        text
    }
}

/// How the calls of one history ended: by op, how often each way.
pub fn answers(history: &History) -> BTreeMap<&'static str, BTreeMap<String, usize>> {
    let mut answers: BTreeMap<&'static str, BTreeMap<String, usize>> = BTreeMap::new();
    for call in &history.calls {
        let ended = match &call.completed {
            Some((_, Outcome::Ok { .. })) => "ok",
            Some((_, Outcome::Error { errno })) => errno.name(),
            Some((_, Outcome::Unknown)) => "unknown",
            None => "no answer",
        };
        *answers.entry(call.operation.entry().name).or_default().entry(ended.to_owned()).or_default() += 1;
    }
    answers
}

/// The most frequent first.
fn answered(text: &mut String, op: &str, ended: &BTreeMap<String, usize>) {
    let mut ended: Vec<_> = ended.iter().collect();
    ended.sort_by_key(|(_, count)| Reverse(**count));
    let ended: Vec<_> = ended.into_iter().map(|(how, count)| format!("{count} {how}")).collect();
    let _ = writeln!(text, "  {op:<12} {}", ended.join(", "));
}

/// Violations of one checker that are printed; the others are in the JSON.
const VIOLATIONS_SHOWN_MAX: usize = 10;

/// A verdict with its violations.
pub fn judged(text: &mut String, verdict: &Verdict) {
    said(text, verdict.passed(), &format!("{} ({})", verdict.check, verdict.invariant));
    for violation in verdict.violations.iter().take(VIOLATIONS_SHOWN_MAX) {
        wrapped(text, "          ", violation);
    }
    let more = verdict.violations.len().saturating_sub(VIOLATIONS_SHOWN_MAX);
    if more > 0 {
        let _ = writeln!(text, "          ... {more} violations more, see --format json");
    }
}
