//! Open images against a real OSD over gRPC on loopback: lock, forwarding, operations.
#![allow(clippy::unwrap_used, clippy::large_futures, reason = "what tests share fails the test by panicking")]

mod forward;
mod handover;
mod hang;
mod lock;
mod operations;
mod peer;
mod snapshots;
mod support;
mod valve;
