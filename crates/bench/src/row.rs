//! One measured figure, with what it is compared to.

use serde::Serialize;

use crate::spread::Spread;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Milliseconds; less is better.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds; less is better.
    #[serde(rename = "us")]
    Microseconds,
    /// Seconds; less is better.
    #[serde(rename = "s")]
    Seconds,
    /// Calls in a second; more is better.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Mebibytes of memory; less is better.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Bytes of memory; less is better.
    #[serde(rename = "B")]
    Bytes,
    /// Times as much; less is better.
    #[serde(rename = "x")]
    Times,
}

/// One line of the report. Values of one row have one unit.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Of `value`, `ceph` and `limit`.
    pub unit: Unit,
    /// What was found; of latencies the median.
    pub value: f64,
    /// What Ceph 16.2.15 with a memory store reached on a machine of this size.
    pub ceph: Option<f64>,
    /// What the machine itself needs for the least that has to be done, measured in the same run.
    pub limit: Option<f64>,
    /// What that least is.
    pub limit_is: &'static str,
    /// How the latencies were spread.
    pub spread: Option<Spread>,
}

impl Row {
    /// A single value.
    pub fn of(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { what: what.into(), unit, value, ceph: None, limit: None, limit_is: "", spread: None }
    }

    /// The median of latencies.
    pub fn latency(what: impl Into<String>, spread: Spread) -> Self {
        Self { spread: Some(spread), ..Self::of(what, Unit::Milliseconds, spread.p50) }
    }

    /// Beside Ceph's figure.
    pub fn ceph(self, value: f64) -> Self {
        Self { ceph: Some(value), ..self }
    }

    /// Beside the physical limit.
    pub fn limit(self, limit_is: &'static str, value: f64) -> Self {
        Self { limit: Some(value), limit_is, ..self }
    }
}
