//! One object storage daemon as a gRPC server: requests in, steps of [`osd::Osd`], effects out. No rule of the protocol
//! lives here.

mod across;
mod calls;
mod ceph;
mod clock;
mod config;
mod connections;
mod daemon;
mod events;
mod faults;
mod op_stream;
mod options;
mod passing;
mod program;
mod replies;
mod server;
mod service;
#[cfg(test)]
#[path = "../../store/tests/shaky/mod.rs"]
mod shaky;
mod watch_stream;
pub mod wire;

pub use crate::clock::ServerClock;
pub use ::clock::Clock;
pub use ceph::{CephAddresses, CephConfig, CephLimits};
pub use config::Config;
pub use faults::{FaultRules, RuleInForce};
pub use options::Options;
pub use osd::SilentWatch;
pub use program::run;
pub use server::{ServeError, Server, serve};

/// What fault rules are made of.
pub mod fault {
    pub use osd::faults::{Action, Condition, Direction, Listed, Rule};
}
