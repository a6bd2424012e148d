//! The verdict on a play, for people and for programs.

use std::fmt::Write;

use harness::{
    check::Check,
    timeline::{self, Line},
};
use serde::Serialize;

/// What a scene is called.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Title {
    /// Its letter, on the command line.
    #[serde(rename = "scene")]
    pub letter: &'static str,
    /// At most 12 characters, for the summary.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
}

/// What came of one scene.
#[derive(Debug, Serialize)]
pub struct Played {
    #[serde(flatten)]
    scene: Title,
    /// All checks passed, and there were some.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// SHA-256 of the exported image; empty when it did not come to that.
    pub sha256: String,
    /// What happened.
    pub timeline: Vec<Line>,
}

/// Lines of a timeline that are shown whole; of a longer one the middle is left out.
const LINES_SHOWN_MAX: usize = 46;

impl Played {
    /// A scene of which nothing is known yet.
    pub fn new(scene: Title) -> Self {
        Self {
            scene,
            passed: false,
            seconds: 0.0,
            checks: Vec::new(),
            sha256: String::new(),
            timeline: Vec::new(),
        }
    }

    /// A scene that could not even begin.
    pub fn unset(scene: Title, error: &anyhow::Error) -> Self {
        let mut played = Self::new(scene);
        let what = "the scene could be set".to_owned();
        played.checks.push(Check { what, passed: false, found: format!("{error:#}") });
        played
    }

    fn verdict(&self) -> &'static str {
        if self.passed { "PASS" } else { "FAIL" }
    }

    /// For people, at most [`timeline::WIDTH`] columns wide.
    pub fn text(&self) -> String {
        let mut text = format!("\nScene {}  {}\n\n", self.scene.letter, self.scene.title);
        text += &timeline::draw_ends(&self.timeline, LINES_SHOWN_MAX);
        text.push('\n');
        self.checks.iter().for_each(|check| check.write(&mut text));
        let _ = writeln!(text, "  {}  scene {} in {:.1} s", self.verdict(), self.scene.letter, self.seconds);
        text
    }
}

/// The whole play.
#[derive(Debug)]
pub struct Report {
    stage: String,
    /// In the order of the play.
    pub scenes: Vec<Played>,
}

impl Report {
    /// A play on this stage; no scene was played yet.
    pub fn new(stage: String) -> Self {
        Self { stage, scenes: Vec::new() }
    }

    /// Something was played, and all of it passed.
    pub fn passed(&self) -> bool {
        !self.scenes.is_empty() && self.scenes.iter().all(|scene| scene.passed)
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        let report =
            serde_json::json!({ "stage": self.stage, "passed": self.passed(), "scenes": self.scenes });
        format!("{report:#}")
    }

    /// A line a scene and the verdict.
    pub fn summary(&self) -> String {
        let mut text =
            String::from("\n  scene           verdict  checks   time  sha256 of the image at the end\n");
        for scene in &self.scenes {
            let passed = scene.checks.iter().filter(|check| check.passed).count();
            let _ = writeln!(
                text,
                "  {}  {:<12} {:<7}  {:>6}  {:>4.1}s  {}",
                scene.scene.letter,
                scene.scene.name,
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
