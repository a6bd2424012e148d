//! The client's side of an OSD: a session that survives broken connections, op vectors, notifies, and watches that
//! repair themselves. Nothing here knows what the objects mean.
//!
//! * An op ends with an answer or with its session; a caller that goes away ends the wait, not the op. Unanswered ops
//!   are sent again in program order after a reconnect, and the OSD applies each once.
//! * Other calls are sent again, too, until they are answered: lists read, the blocklist's and the snap ids' calls are
//!   recognised or do the same again, and a notify is delivered at least once by its nature. Nothing is abandoned by a
//!   time limit of its own: a caller who wants one drops the future.
//! * A session ends for good when the OSD answers EBLOCKLISTED (fenced) or ENOTCONN (not known any more), by
//!   [`Rados::shutdown`], or when its last handle is dropped. Everything pending then fails with that error.
//! * Runs unchanged in a simulation: messages travel by a [`Transport`], jitter from [`Config::backoff_seed`], tasks start
//!   through [`Config::executor`], time is [`Config::clock`]'s, and [`Config::machine`]'s where it guards against broken connections.

mod backoff;
mod calls;
mod config;
mod error;
mod grpc;
mod io_ctx;
mod notify;
mod op;
mod op_stream;
mod rados;
mod reply;
mod session;
mod submitted;
mod transport;
mod watch;
mod window;

pub use config::Config;
pub use error::Error;
pub use grpc::Grpc;
pub use io_ctx::{IoCtx, Watcher};
pub use notify::{Answer, NotifyReply};
pub use op::{ObjectOp, SnapContext};
pub use rados::{BlocklistEntry, PoolInfo, Rados, SessionInfo};
pub use reply::{ObjectClone, ObjectSnaps, Omap, OpResult, Reply, Stat};
pub use submitted::Submitted;
pub use transport::{Answer as CallAnswer, Call, Connection, Down, Failure, Transport};
pub use watch::{Ack, Notification, Watch, WatchEvent};
