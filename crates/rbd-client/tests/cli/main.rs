//! The program, run as people and scripts run it, against an OSD in this process.

mod as_rbd;
mod blocklist_and_pools;
mod clock;
mod du;
mod faults;
mod harness;
mod images;
mod import_export;
mod locks_and_status;
mod refusals;
mod serving;
mod serving_operations;
mod snapshots_and_clones;
mod spellings;
