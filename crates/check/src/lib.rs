#![doc = include_str!("../README.md")]

mod at_rest;
mod blocks;
mod bounds;
mod errors;
mod events;
mod fencing;
mod history;
mod image;
mod maintenance;
mod register;
mod sizes;
mod snapshots;
#[cfg(test)]
mod testing;
mod violation;

pub use at_rest::{AtRest, Entry, HeaderRecord, Lock, Opened, Watch, nothing_left_over};
pub use blocks::blocks_are_linearizable;
pub use bounds::{Bounds, Disturbance, calls_ended_in_time};
pub use errors::{Clients, errors_have_a_cause};
pub use events::{Event, EventLog, EventLogError, Fact};
pub use fencing::{BreakRule, one_writer_at_a_time};
pub use history::{
    Call, Effect, Entry as OperationEntry, History, HistoryBuilder, HistoryError, HistoryWriter, Kind,
    Moment, NEVER, Operation, Outcome, Place, Record, What,
};
pub use image::{FinalImage, FinalParent, FinalSnapshot, FinalState, ImageObjects, SnapshotName};
pub use maintenance::{maintenance_happened_once, parents_and_children_agree, state_matches_the_calls};
pub use register::{Action, CONFIGURATIONS_MAX, RegisterOp, Start, Verdict, linearize};
pub use snapshots::snapshots_never_change;
pub use violation::{At, Rule, Violation};
