//! A run that is too short to say anything about speed says all the rest.

use std::{process::Command, time::Duration};

use bench::figures::{Figure, Scale};
use clap::ValueEnum;

const TINY: Scale = Scale { rounds: 4, seconds: Duration::from_millis(50), flatten_mib: 8 };

/// Every figure is measured, in order of size; what is measured happened, or the figure would have been an error.
#[tokio::test(flavor = "multi_thread")]
async fn every_figure_is_measured() {
    for figure in Figure::value_variants() {
        let rows = figure.measure(&TINY).await.unwrap_or_else(|error| panic!("{figure:?}: {error:#}"));
        assert!(!rows.is_empty(), "{figure:?}");
        for row in rows {
            assert!(row.value > 0.0, "{row:?}");
            assert_eq!(row.limit.is_some(), !row.limit_is.is_empty(), "{row:?}");
            let Some(spread) = row.spread else { continue };
            let ascending = [spread.min, spread.p50, spread.p90, spread.p99, spread.max];
            assert!(spread.calls > 0 && ascending.is_sorted(), "{row:?}");
        }
    }
}

/// The output for programs is one document; figures are chosen by name; what is unknown is refused by name.
#[test]
fn figures_are_chosen_by_name_and_told_to_programs() {
    let bench = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).output().expect("the program runs")
    };
    let told = bench(&["machine", "--rounds", "2", "--format", "json"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("one JSON document");
    assert_eq!(told["rows"].as_array().map(Vec::len), Some(2), "{told}");
    let refused = bench(&["speed"]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("'speed'") && text.contains("hand-over"), "{text}");
}
