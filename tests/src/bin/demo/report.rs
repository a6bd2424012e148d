use std::fmt::Write;

use harness::timeline::{self, Line};
use serde::Serialize;

use crate::options::Scene;

/// One statement that was checked.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) passed: bool,
    /// What was found.
    pub(crate) found: String,
}

/// What came of one scene.
#[derive(Debug, Serialize)]
pub(crate) struct Played {
    pub(crate) scene: &'static str,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    pub(crate) checks: Vec<Check>,
    /// SHA-256 of the exported image; empty when it did not come to that.
    pub(crate) sha256: String,
    pub(crate) timeline: Vec<Line>,
}

/// Lines of a timeline that are shown whole; of a longer one the middle is left out.
const LINES_SHOWN_MAX: usize = 46;

impl Played {
    pub(crate) fn new(scene: Scene) -> Self {
        Self {
            scene: scene.letter(),
            name: scene.name(),
            title: scene.title(),
            passed: false,
            seconds: 0.0,
            checks: Vec::new(),
            sha256: String::new(),
            timeline: Vec::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        if self.passed { "PASS" } else { "FAIL" }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("\nScene {}  {}\n\n", self.scene, self.title);
        let lines = &self.timeline;
        if lines.len() <= LINES_SHOWN_MAX {
            text += &timeline::draw(lines);
        } else {
            let (head, tail) = (LINES_SHOWN_MAX / 2, lines.len() - LINES_SHOWN_MAX / 2);
            text += &timeline::draw(&lines[..head]);
            let _ = writeln!(text, "            ... {} lines more, see --format json ...", tail - head);
            text += &timeline::draw(&lines[tail..]);
        }
        text.push('\n');
        for check in &self.checks {
            let mark = if check.passed { "ok  " } else { "FAIL" };
            wrapped(&mut text, &format!("  {mark}  "), &format!("{}: {}", check.what, check.found));
        }
        let _ = writeln!(text, "  {}  scene {} in {:.1} s", self.verdict(), self.scene, self.seconds);
        text
    }
}

/// The whole play.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    stage: String,
    passed: bool,
    pub(crate) scenes: Vec<Played>,
}

impl Report {
    pub(crate) fn new(stage: String) -> Self {
        Self { stage, passed: false, scenes: Vec::new() }
    }

    pub(crate) fn opening(&self) -> String {
        format!("rbd-sim demo: {}\n", self.stage)
    }

    /// Something was played, and all of it passed.
    pub(crate) fn passed(&self) -> bool {
        !self.scenes.is_empty() && self.scenes.iter().all(|scene| scene.passed)
    }

    pub(crate) fn json(&self) -> String {
        let report =
            serde_json::json!({ "stage": self.stage, "passed": self.passed(), "scenes": self.scenes });
        format!("{report:#}")
    }

    pub(crate) fn summary(&self) -> String {
        let mut text =
            String::from("\n  scene           verdict  checks   time  sha256 of the image at the end\n");
        for scene in &self.scenes {
            let passed = scene.checks.iter().filter(|check| check.passed).count();
            let _ = writeln!(
                text,
                "  {}  {:<12} {:<7}  {:>6}  {:>4.1}s  {}",
                scene.scene,
                scene.name,
                scene.verdict(),
                format!("{passed}/{}", scene.checks.len()),
                scene.seconds,
                scene.sha256
            );
        }
        let _ = writeln!(text, "\n{}", if self.passed() { "PASS" } else { "FAIL" });
        text
    }
}

/// Adds `line` behind `prefix`, broken at spaces so that it fits.
fn wrapped(text: &mut String, prefix: &str, line: &str) {
    let width = timeline::WIDTH - prefix.len();
    let mut row = String::new();
    let mut lead = prefix.to_owned();
    for word in line.split_whitespace() {
        if !row.is_empty() && row.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(text, "{lead}{row}");
            lead = " ".repeat(prefix.len());
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row += word;
    }
    let _ = writeln!(text, "{lead}{row}");
}
