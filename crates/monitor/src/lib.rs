//! The only monitor of a cluster with one OSD, as a value: [`Monitor::step`] takes what happened at a moment that the caller
//! names and gives the messages to send. There is no clock, no socket and no task here.
//!
//! Pools, snapshot ids and fences are not the monitor's: it asks the [`Cluster`] for them, and makes maps of them.

mod calls;
mod clients;
mod cluster;
mod commands;
mod json;
mod log;
mod machine;
mod maps;
mod pool_ops;
mod time;

pub use calls::{Call, CallName, MAPS, call_names, refuse};
pub use clients::ConnectionId;
pub use cluster::{Cluster, Fence, NamedSnap, PoolState, Refusal, Usage};
pub use machine::{Addresses, Event, Identity, Monitor, Send};
