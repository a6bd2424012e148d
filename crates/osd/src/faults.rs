//! Faults on purpose: which of the things that pass between clients and the OSD are delayed, lost, repeated, refused or
//! held. Decisions only: whoever steps the OSD asks at its doors and carries out what is decided.

mod calls;
mod crossing;
mod on_osd;
mod pattern;
mod payload;
mod rule;
mod table;

pub use calls::Call;
pub use crossing::{Crossing, Direction};
pub use rule::{Action, Condition, Rule};
pub use table::{Faults, Listed, RULES_MAX, Verdict};
