//! What the help and the documents say of the limits is what they are.

use std::collections::BTreeMap;

use clap::CommandFactory;

use super::*;

/// The text of the documents.
const DOCUMENT: &str = include_str!("../../../../docs/osd-sim.md");

/// By flag, the default in the brackets that end its help.
fn limits() -> BTreeMap<String, String> {
    let command = Options::command();
    let named = command.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument)));
    let limits = named.filter(|(long, _)| long.ends_with("-max")).map(|(long, argument)| {
        let help = argument.get_help().expect("every option has one").to_string();
        let default = help.strip_suffix(']').and_then(|help| help.rsplit_once('['));
        let (_, default) = default.unwrap_or_else(|| panic!("--{long} says no default: {help}"));
        (format!("--{long}"), default.to_owned())
    });
    limits.collect()
}

fn config(words: &[&str]) -> Config {
    let words = ["osd-sim", "--ceph", "127.0.0.1:0"].iter().chain(words);
    Options::try_parse_from(words).expect("it is a value that the option takes").serve.config()
}

#[test]
fn each_limit_has_the_default_that_its_help_says() {
    for (flag, default) in limits() {
        assert_eq!(config(&[&flag, &default]), config(&[]), "{flag} {default}");
    }
}

#[test]
fn the_table_of_limits_has_each_with_its_default() {
    let table =
        DOCUMENT.split("\n## ").find(|section| section.starts_with("Limits\n")).expect("there is one");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = table.lines().filter(|line| line.starts_with("| `--")).map(cells);
    let documented: BTreeMap<_, _> =
        rows.map(|row| (row[1].trim_matches('`').to_owned(), row[3].clone())).collect();
    assert_eq!(documented, limits());
}
