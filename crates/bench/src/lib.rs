//! Performance, measured on the real programs, beside Ceph's figures and the limits of the machine.
//!
//! * [`figures`]: what can be measured; each starts its own `osd-sim` and clients with Ceph's constants;
//! * [`limits`]: what the machine itself needs, measured in the same run;
//! * [`spread`], [`row`], [`report`]: latencies, one figure, the table.

pub mod figures;
pub mod limits;
mod rate;
pub mod report;
pub mod row;
mod session;
pub mod spread;
