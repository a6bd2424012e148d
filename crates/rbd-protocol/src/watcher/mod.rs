//! The image watcher (facts 4): what each notify means, what is acked, forwarded requests on both sides.

mod delivery;
mod event;
mod machine;
mod owner;
mod requester;

pub use event::{Config, Effect, Event};
pub use machine::ImageWatcher;
