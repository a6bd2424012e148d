//! The door for Ceph's own clients: a monitor, an OSD and a manager that speak messenger v2, on the pools of the same OSD
//! that gRPC clients use. No rule of the protocol lives here: the values of `messenger` and `monitor` are told what
//! arrives, and what they say is sent.

mod ask;
mod calls;
mod cluster;
mod conf;
mod config;
mod connection;
mod daemons;
mod door;
#[cfg(test)]
mod fuzzing;
mod listings;
mod mon_client;
mod ops;
mod osd_client;
mod reply;
mod request;

pub(crate) use ask::conf_of;
pub(crate) use calls::{NOTIFY_COMPLETE, calls};
pub use config::{CephAddresses, CephConfig, CephLimits};
pub(crate) use door::Door;
