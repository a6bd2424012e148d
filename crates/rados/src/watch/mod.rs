//! Watches that repair themselves.

mod handle;
mod queue;
mod stream;
mod table;

pub use handle::{Ack, Notification, Watch, WatchEvent};
pub(crate) use stream::{close_all, run};
pub(crate) use table::Command;
