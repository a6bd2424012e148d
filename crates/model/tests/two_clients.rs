//! Two clients, searched to the end.

use model::scenario::{self, Scenario};
use model::search::{Found, Limits, search};

fn scenario(name: &str) -> Scenario {
    scenario::all(2).into_iter().find(|scenario| scenario.name == name).expect("a scenario of the table")
}

fn found(scenario: &Scenario) -> Found {
    search(scenario, Limits::default()).expect("the OSD makes the image")
}

/// The states are many enough to have interleaved something.
fn assert_holds(name: &str, states_min: usize) {
    let found = found(&scenario(name));
    assert!(found.broken.is_none(), "{name}: {:?}", found.broken);
    assert!(found.is_exhaustive, "{name}: states were left out");
    assert!(found.states >= states_min, "{name}: {} states", found.states);
}

/// I1, I2, I5: the lock goes from one to the other, and nobody waits for a timeout.
#[test]
fn two_writers_hand_the_lock_over() {
    assert_holds("hand-over", 1_000);
}

/// I3, I5: a forwarded snapshot is taken once.
#[test]
fn forwarded_snapshot_is_taken_once() {
    assert_holds("forward", 1_000);
}

/// I2, I4: a flatten of an object with data and a hole, beside a discard.
#[test]
fn flatten_and_discard_keep_every_byte() {
    assert_holds("flatten", 1_000);
}

/// I1: a breaker that does not fence lets a dead owner's write land beside its own.
#[test]
fn two_owners_are_found_without_the_blocklist() {
    let scenario = Scenario { blocklist: false, ..scenario("crash") };
    let broken = found(&scenario).broken.expect("two owners");
    assert_eq!(broken.property, "one-writer", "{}", broken.why);
}

/// A search that was cut short does not say that it was exhaustive.
#[test]
fn search_to_a_depth_says_that_it_left_states_out() {
    let limits = Limits { depth: Some(5), states: None };
    let found = search(&scenario("hand-over"), limits).expect("the OSD makes the image");
    assert_eq!((found.depth, found.is_exhaustive), (5, false));
}
