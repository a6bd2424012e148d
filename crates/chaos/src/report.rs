//! What a run says, for people and for programs.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Result;
use check::History;
use harness::{
    check::{Check, said, wrapped},
    timeline::{self, Line},
};
use serde::Serialize;

use crate::{evidence::Verdict, histogram::Histogram};

/// What a run comes to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything that was said is so, and no checker found anything.
    Passed,
    /// Neither is anything wrong, but too little happened for that to mean anything.
    ShowsNothing,
    /// Something is wrong.
    Failed,
}

impl Outcome {
    /// Exit status of the program.
    pub const fn status(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::ShowsNothing => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASS",
            Self::Failed => "FAIL",
            Self::ShowsNothing => "TOO LITTLE HAPPENED",
        }
    }
}

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
    /// What must have happened for the run to show anything.
    pub shown: Vec<Check>,
    /// What is told and judged by nobody.
    pub notes: Vec<String>,
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
    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        let is_right = !self.verdicts.is_empty()
            && self.statements.iter().all(|statement| statement.passed)
            && self.verdicts.iter().all(Verdict::passed);
        match (is_right, self.shown.iter().all(|shown| shown.passed)) {
            (false, _) => Outcome::Failed,
            (true, false) => Outcome::ShowsNothing,
            (true, true) => Outcome::Passed,
        }
    }

    /// One JSON document, with `passed` beside the fields.
    pub fn json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Judged<'a> {
            passed: bool,
            #[serde(flatten)]
            report: &'a Report,
        }
        Ok(serde_json::to_string(&Judged { passed: self.outcome() == Outcome::Passed, report: self })?)
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
        self.notes.iter().for_each(|note| wrapped(&mut text, "  ", note));
        text.push('\n');
        self.shown.iter().chain(&self.statements).for_each(|statement| statement.write(&mut text));
        for verdict in &self.verdicts {
            judged(&mut text, verdict);
        }
        let _ = writeln!(text, "\n{} (seed {})", self.outcome().word(), self.seed);
        text
    }
}

/// How the calls of one history ended: by op, how often each way.
pub fn answers(history: &History) -> BTreeMap<&'static str, BTreeMap<String, usize>> {
    let mut answers: BTreeMap<&'static str, BTreeMap<String, usize>> = BTreeMap::new();
    for call in &history.calls {
        let ended = match &call.completed {
            Some((_, check::Outcome::Ok { .. })) => "ok",
            Some((_, check::Outcome::Error { errno })) => errno.name(),
            Some((_, check::Outcome::Unknown)) => "unknown",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(is_right: bool, is_shown: bool) -> Report {
        let check = |passed| Check { what: "what".to_owned(), passed, found: "found".to_owned() };
        Report {
            name: "random",
            seed: 7,
            what: String::new(),
            timeline_of: String::new(),
            timeline: Vec::new(),
            measured: Vec::new(),
            statements: vec![check(is_right)],
            shown: vec![check(is_shown)],
            notes: vec!["a note".to_owned()],
            verdicts: vec![Verdict { check: "check", invariant: "I1", violations: Vec::new() }],
            calls: 0,
            answers: BTreeMap::new(),
            events: 0,
            calm_ms_max: 0,
        }
    }

    /// Too little is no pass, and nothing that was found either.
    #[test]
    fn a_run_in_which_too_little_happened_neither_passes_nor_fails() {
        assert_eq!(report(true, true).outcome(), Outcome::Passed);
        assert_eq!(report(true, false).outcome(), Outcome::ShowsNothing);
        assert_eq!(report(false, false).outcome(), Outcome::Failed);
        let statuses = [Outcome::Passed, Outcome::ShowsNothing, Outcome::Failed].map(Outcome::status);
        assert_eq!(statuses, [0, 3, 1]);
        assert!(report(true, false).json().unwrap().starts_with(r#"{"passed":false"#));
    }
}
