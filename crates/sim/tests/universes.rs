//! The same seed is the same run, seeds pass, and what once failed passes.

use std::ops::ControlFlow;
use std::path::Path;

use sim::{Plan, play, play_seeds};

#[test]
fn a_seed_is_one_run() {
    for seed in 0..10 {
        let plan = Plan::draw(seed);
        let (first, again) = (play(&plan, false), play(&plan, true));
        assert_eq!((first.trace_hash, first.steps), (again.trace_hash, again.steps), "seed {seed}");
    }
    assert_ne!(play(&Plan::draw(1), false).trace_hash, play(&Plan::draw(2), false).trace_hash);
}

#[test]
fn the_clients_of_a_thousand_universes_keep_the_rules() {
    play_seeds(1..1_001, Plan::draw, |seed, report| {
        assert!(report.violations.is_empty(), "scripts/sim --seed {seed}: {:#?}", report.violations);
        ControlFlow::Continue(())
    });
}

/// Universes in which something was found once, each named after it.
#[test]
fn what_was_found_once_is_not_found_again() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut played = 0;
    for entry in std::fs::read_dir(&directory).expect("they are kept there") {
        let file = entry.expect("it can be listed").path();
        let text = std::fs::read_to_string(&file).expect("it can be read");
        let report = play(&toml::from_str(&text).expect("it is a plan"), false);
        assert!(report.violations.is_empty(), "{}: {:#?}", file.display(), report.violations);
        played += 1;
    }
    assert!(played > 0, "{} has none", directory.display());
}
