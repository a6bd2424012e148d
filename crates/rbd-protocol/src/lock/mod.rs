//! The exclusive lock of one open image (facts 3.6 to 3.12).

mod acquiring;
mod event;
mod machine;
mod queue;
mod releasing;
mod state;

pub use event::{Config, Effect, Event, Ownership, Policy, Purpose};
pub use machine::ExclusiveLock;
pub use state::State;
