//! The OSD as a value: objects, snapshots, classes, sessions, blocklist, watch and notify.
//!
//! [`Osd`] decides everything and does nothing: each call is one step at a moment that the caller names, and gives a reply
//! and the [`Effect`]s to carry out. There is no clock, no randomness, no task and no socket here.

mod addresses;
mod agenda;
mod alive;
mod around;
mod blocklist;
mod cls;
mod config;
mod effect;
mod entities;
mod erasure;
pub mod error;
mod event;
pub mod faults;
mod forgetting;
pub mod limits;
mod notify;
pub mod op;
mod opening;
mod operate;
mod osd;
pub mod pool;
mod pool_snaps;
mod pools;
mod projection;
mod records;
mod saving;
mod session;
mod snap_ids;
pub mod text;
mod time;
mod trim;
mod undurable;
mod unnamed;
pub mod vector;
mod watch;
mod watching;

pub use alive::SilentWatch;
pub use around::{Around, Deed};
pub use config::Config;
pub use effect::{Effect, Notification, WatchEvent};
pub use entities::Entity;
pub use error::{OpError, Refused};
pub use event::{Event, Kind};
pub use limits::Limits;
pub use notify::{Ack, NotifyReply};
pub use operate::Request;
pub use osd::Osd;
pub use pool::{PoolInfo, PoolSnap};
pub use pools::PoolTotals;
pub use session::{Answer, Reply, SessionInfo};
pub use snap_ids::SnapIds;
pub use time::Millis;
pub use trim::OBJECTS_PER_STEP_MAX;
pub use watch::{StreamId, WatchRequest, WatcherInfo};
