//! What must be so, and what was found: for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::timeline::WIDTH;

/// One statement that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What must be so.
    pub what: String,
    /// Whether it is.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

impl Check {
    /// Adds a line, or as many as it takes.
    pub fn write(&self, text: &mut String) {
        said(text, self.passed, &format!("{}: {}", self.what, self.found));
    }
}

/// Adds `what` behind "ok" or "FAIL".
pub fn said(text: &mut String, passed: bool, what: &str) {
    wrapped(text, if passed { "  ok    " } else { "  FAIL  " }, what);
}

/// Adds `line` behind `prefix`, broken at spaces so that it fits.
pub fn wrapped(text: &mut String, prefix: &str, line: &str) {
    let width = WIDTH - prefix.len();
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
