//! What clients and OSDs say to each other.

mod op;
mod reply;
mod request;
mod watch_notify;

pub use op::{Call, Extent, OSD_OP_BYTES, OsdOp, Watch, Xattr, code, flag, op_flag, watch_op};
pub use reply::OsdOpReply;
pub use request::{Head, OsdOpRequest, Tail};
pub use watch_notify::{Ping, WatchNotify, WatcherItem, Watchers, notify_op};
