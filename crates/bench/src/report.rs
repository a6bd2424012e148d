//! The figures as a table, and for programs.

use std::fmt::Write;

use serde_json::json;

use crate::{
    row::{Row, Unit},
    spread::Spread,
};

/// Columns of the table.
const WIDTH: usize = 100;

const LEGEND: &str =
    "/s: calls in a second, beside the latency of the single calls. s, us, MiB, B, x: one run.
Ceph: 16.2.15 with a memory store on 2 cores, where known. limit, measured in this run, of
";

/// The heads of the columns.
pub fn head() -> String {
    let spread = "min / p90 / p99 / max";
    let names = format!("{:<34} {:>10} {:>10} {:>10}", "figure", "median", "Ceph", "limit");
    format!("{names}  {spread:>31}\n{}\n", "-".repeat(WIDTH))
}

/// One row of the table.
pub fn line(row: &Row) -> String {
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| amount(value, row.unit));
    let (value, ceph, limit) = (amount(row.value, row.unit), optional(row.ceph), optional(row.limit));
    let mut line = format!("{:<34} {value:>10} {ceph:>10} {limit:>10}", row.what);
    if let Some(Spread { min, p90, p99, max, .. }) = row.spread {
        let spread = format!("{min:.2} / {p90:.2} / {p99:.2} / {max:.2} ms");
        let _ = write!(line, "  {spread:>31}");
    }
    line.push('\n');
    line
}

/// What the columns mean, and what the limits of the rows are: each is said once for rows that follow each other.
pub fn legend(rows: &[Row]) -> String {
    let mut text = String::from(LEGEND);
    for alike in rows.chunk_by(|row, next| row.limit_is == next.limit_is) {
        if alike[0].limit.is_some() {
            let _ = writeln!(text, "  {:<34} {}", alike[0].what, alike[0].limit_is);
        }
    }
    text
}

/// All rows as one JSON document.
pub fn json(rows: &[Row]) -> String {
    format!("{:#}", json!({ "ceph": "16.2.15, memory store, 2 cores", "rows": rows }))
}

fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds => format!("{value:.3} ms"),
        Unit::Microseconds => format!("{value:.2} us"),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerSecond => format!("{value:.0} /s"),
        Unit::Mebibytes => format!("{value:.1} MiB"),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Times => format!("{value:.2} x"),
    }
}
