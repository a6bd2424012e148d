//! The catalogue of behaviours that Ceph tests, and which test of ours covers each.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Rows of Ceph's own tests.
pub const CEPH_ROWS: u32 = 210;
/// Rows that Ceph does not have.
pub const OWN_ROWS: u32 = 14;

/// `catalogue.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    ceph: BTreeMap<String, Row>,
    own: BTreeMap<String, Row>,
}

/// What is known of one row.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// "path/of/file.rs::test_name", from the workspace's root.
    #[serde(default)]
    tests: Vec<String>,
    /// Why the row has no test, or what of it is left out.
    reason: Option<String>,
    /// The row applies and has no test yet.
    #[serde(default)]
    missing: bool,
}

impl Catalogue {
    /// Reads the catalogue.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("catalogue.toml")
    }

    /// Everything that is wrong with it, given the sources under `root`.
    pub fn problems(&self, root: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        check_table("row", &self.ceph, CEPH_ROWS, root, &mut problems);
        check_table("own row", &self.own, OWN_ROWS, root, &mut problems);
        problems
    }
}

fn check_table(
    what: &str,
    rows: &BTreeMap<String, Row>,
    count: u32,
    root: &Path,
    problems: &mut Vec<String>,
) {
    for number in 1..=count {
        match rows.get(&number.to_string()) {
            Some(row) => check_row(&format!("{what} {number}"), row, root, problems),
            None => problems.push(format!("{what} {number} is not listed")),
        }
    }
    for name in rows.keys() {
        if !name.parse::<u32>().is_ok_and(|number| (1..=count).contains(&number)) {
            problems.push(format!("{what} {name} does not exist"));
        }
    }
}

fn check_row(row_name: &str, row: &Row, root: &Path, problems: &mut Vec<String>) {
    if row.missing {
        problems.push(format!("{row_name} has no test yet"));
    } else if row.tests.is_empty() && row.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
        problems.push(format!("{row_name} has neither a test nor a reason"));
    }
    for test in &row.tests {
        if let Err(problem) = find_test(test, root) {
            problems.push(format!("{row_name}: {problem:#}"));
        }
    }
}

/// Whether "file::name" names a function with a test attribute.
fn find_test(test: &str, root: &Path) -> Result<()> {
    let (file, name) = test.split_once("::").with_context(|| format!("'{test}' is not FILE::TEST"))?;
    let source = fs::read_to_string(root.join(file)).with_context(|| format!("'{test}': reading {file}"))?;
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let is_head = |line: &str| line.starts_with(&head) || line.contains(&format!(" {head}"));
    let at =
        lines.iter().position(|line| is_head(line)).with_context(|| format!("'{test}': no such function"))?;
    let is_attribute =
        |line: &&&str| line.starts_with("#[") || line.starts_with("//") || line.ends_with(")]");
    let has_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let is_test = lines[..at].iter().rev().take_while(is_attribute).any(has_test);
    is_test.then_some(()).with_context(|| format!("'{test}': the function is no test"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn problems(row: &str, source: &str) -> Vec<String> {
        let root = TempDir::new().unwrap();
        fs::write(root.path().join("a.rs"), source).unwrap();
        let row: Row = toml::from_str(row).unwrap();
        let mut problems = Vec::new();
        check_row("row 1", &row, root.path(), &mut problems);
        problems
    }

    #[test]
    fn a_test_that_exists_is_fine() {
        let source = "#[test]\n/// Says why.\nfn works() {}\n\n#[tokio::test]\nasync fn waits() {}\n";
        assert!(problems("tests = ['a.rs::works', 'a.rs::waits']", source).is_empty());
    }

    #[test]
    fn a_test_that_is_gone_is_a_problem() {
        assert_eq!(problems("tests = ['a.rs::gone']", "#[test]\nfn works() {}\n").len(), 1);
    }

    #[test]
    fn a_function_that_is_no_test_is_a_problem() {
        assert_eq!(problems("tests = ['a.rs::works']", "#[test]\nfn other() {}\nfn works() {}\n").len(), 1);
    }

    #[test]
    fn a_row_without_test_and_without_reason_is_a_problem() {
        assert_eq!(problems("", "").len(), 1);
        assert_eq!(problems("reason = ' '", "").len(), 1);
        assert_eq!(problems("missing = true", "").len(), 1);
        assert!(problems("reason = 'no journal here'", "").is_empty());
    }

    #[test]
    fn a_row_that_is_not_listed_is_a_problem() {
        let catalogue = Catalogue::parse("[ceph]\n0 = { reason = 'x' }\n[own]\n").unwrap();
        let problems = catalogue.problems(Path::new("/nonexistent"));
        assert_eq!(problems.len(), (CEPH_ROWS + OWN_ROWS + 1) as usize);
    }
}
