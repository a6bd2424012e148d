//! Open images against a real OSD over gRPC on loopback: lock, forwarding, operations.
#![allow(clippy::unwrap_used, clippy::large_futures, reason = "what tests share fails the test by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test is what the executor's runtime belongs to")]

mod abandoned;
mod cuts;
mod detach;
mod faster;
#[path = "../common/faults.rs"]
mod faults;
mod forward;
mod handover;
mod hang;
mod killed;
mod limits;
mod lock;
mod operations;
mod order;
mod panics;
mod peer;
mod random_io;
mod records;
mod remove;
mod rename;
mod resize;
mod rewatch;
mod rollback;
mod snap_steps;
mod snapshots;
mod story;
mod support;
mod timestamps;
mod traces;
mod under_io;
mod unmaintained;
mod usage;
mod valve;
