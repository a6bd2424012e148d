//! What the OSD reads of strangers and of its store, fuzzed: inputs of class methods in both dialects, what classes have stored, and
//! the OSD's own records.

#[path = "../common/mod.rs"]
mod common;
mod methods;
mod records;
#[path = "../../../store/tests/shaky/mod.rs"]
mod shaky;
mod stored;

/// What fuzzing has found.
const REGRESSIONS: &str = include_str!("../fuzz-regressions.txt");

/// Those of these decoders: every test has its own.
fn regressions(names: &[String]) -> String {
    let is_of =
        |line: &&str| line.split_once(' ').is_some_and(|(name, _)| names.iter().any(|known| known == name));
    REGRESSIONS.lines().filter(is_of).collect::<Vec<_>>().join("\n")
}

/// Every line of the regressions is played by one of the tests.
#[test]
fn every_regression_has_its_decoder() {
    let known: Vec<String> = methods::decoder_names()
        .into_iter()
        .chain(stored::NAMES.map(str::to_owned))
        .chain(records::names())
        .collect();
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(regressions(&known).lines().count(), lines);
}
