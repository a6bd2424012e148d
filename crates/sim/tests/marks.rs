//! Universes count the marks that they reach, in builds for it: scripts/sim-marks.

use marks::{Mark, Report, hits};
use sim::{Plan, play};

#[test]
fn a_few_universes_reach_some_marks_and_not_all() {
    for seed in 1..21 {
        play(&Plan::draw_small(seed), false);
    }
    for mark in [Mark::LockTaken, Mark::AcquireLocked, Mark::SessionStarted, Mark::WatchRegistered] {
        assert!(hits(mark) >= 20, "each universe reaches {mark}");
    }
    let report = Report::of(hits);
    assert!(!report.wrong().is_empty(), "so few universes do not reach every mark");
    assert!(report.wrong().iter().all(|wrong| wrong.contains("never reached")), "{:?}", report.wrong());
}
