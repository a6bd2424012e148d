//! Every seed a universe: whole clients (`librbd`, `rados`) and the OSD (`osd`) as they ship, on one executor and one clock, under one
//! seeded scheduler that decides which task runs, which message arrives, when time passes and what breaks.
//!
//! No production code knows of it: clients reach the OSD through `rados::Transport`, start their tasks through `tasks::Executor`, and
//! take the time from `clock::Clock`.

mod begin;
mod client;
mod host;
mod mail;
mod maker;
mod many;
mod minimise;
mod plan;
mod pool;
mod recorder;
mod rest;
mod run;
/// What a disk does at its worst.
#[path = "../../store/tests/shaky/mod.rs"]
mod shaky;
mod state;
mod trace;
mod transport;
mod world;

pub use many::play_seeds;
pub use minimise::minimise;
pub use plan::{BLOCK, Fault, ORDER, Plan, Step, What, When};
pub use run::{Player, Report, play};
