//! The client's protocol machines as values: exclusive lock, acquire and break, image watcher, retry decisions.
//!
//! No I/O, no clock, no randomness, no wire types. An event goes in (`step(now, event)`), effects come out; the driver
//! (the image's owner task in `librbd`) performs each effect and feeds its end back as an event. Machines with timers say
//! when they want [`Event::Timer`](lock::Event::Timer) through `next_deadline()`; an early or superfluous timer event is harmless.
//!
//! | machine | decides | librbd's name |
//! |---|---|---|
//! | [`lock::ExclusiveLock`] | who may write: taking, waiting for, keeping and giving away the lock | ManagedLock, ExclusiveLock |
//! | [`acquire::AcquireRequest`] | how the lock is taken at the OSD, and when a dead owner is fenced and broken | AcquireRequest |
//! | [`break_lock::BreakRequest`] | the second half of it, also for a forced `lock break` | BreakRequest |
//! | [`watcher::ImageWatcher`] | what each notify means, what is acked, forwarded requests on both sides | ImageWatcher |
//! | [`invoke`] | what an outcome means to the loop that runs a maintenance operation | C_InvokeAsyncRequest |

pub mod acquire;
pub mod break_lock;
mod ids;
pub mod invoke;
pub mod lock;
pub mod locker;
mod message;
mod operation;
mod outcome;
pub mod retry;
pub mod watcher;

pub use ids::{ClientId, Millis, RequestId, Token};
pub use message::{Message, Request};
pub use operation::{Entry, Operation};
pub use outcome::{
    Answer, Ended, Failure, NotifyAnswers, OpOutcome, OpResult, Payload, REASON_BYTES_MAX, RpcOutcome,
    ended_from_message, ended_to_message, op_result, pick_answer, rpc_outcome,
};
