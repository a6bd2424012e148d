//! What clients and the monitor say to each other.

mod command;
mod log;
mod mgrmap;
mod monmap;
mod pool_op;
mod service;
mod stats;
mod subscribe;

pub use command::{Command, CommandReply, MonCommand, MonCommandAck};
pub use log::{Log, LogEntry, LogLevel};
pub use mgrmap::{MgrMap, Standby};
pub use monmap::{FeatureSet, MonGetMap, MonInfo, MonMap, MonMapMessage};
pub use pool_op::{PoolOp, PoolOpReply, op};
pub use service::{Config, GetVersion, GetVersionReply, Paxos};
pub use stats::{GetPoolStats, GetPoolStatsReply, Statfs, StatfsReply};
pub use subscribe::{Subscribe, SubscribeItem};
