//! ARCHITECTURE.md names tests and rooms: they exist. What it says of the bans is so.

use std::{fs, path::Path};

/// The cells of the table of mechanisms that name a test, as "path::function".
fn named_tests(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`'))
        .filter(|word| word.contains(".rs::"))
        .collect()
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("it is part of the project");
    let named = named_tests(&text);
    assert!(named.len() >= 20, "the table has {} tests: was it moved?", named.len());
    let missing: Vec<_> = named.into_iter().filter(|name| !exists(root, name)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names tests that are not there: {missing:#?}");
}

fn exists(root: &Path, name: &str) -> bool {
    let Some((file, function)) = name.split_once("::") else { return false };
    let path = if file.starts_with("tests/") { root.join(file) } else { root.join("crates").join(file) };
    let source = fs::read_to_string(path).unwrap_or_default();
    source.contains(&format!("fn {function}("))
}

#[test]
fn crates_that_ban_more_ban_what_the_workspace_bans_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let bans = fs::read_to_string(root.join("clippy.toml")).expect("it is part of the project");
    for name in ["librbd", "rados"] {
        let own =
            fs::read_to_string(root.join("crates").join(name).join("clippy.toml")).expect("it bans more");
        let missing: Vec<_> = bans.lines().filter(|line| !own.lines().any(|own| own == *line)).collect();
        assert!(missing.is_empty(), "crates/{name}/clippy.toml lacks {missing:#?}");
    }
}
