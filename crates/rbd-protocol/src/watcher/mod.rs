//! The image watcher (facts 4): what each notify means, what is acked, forwarded requests on both sides.

mod delivery;
mod event;
mod machine;
mod requester;
mod served;

pub use event::{Config, Effect, Event};
pub use machine::ImageWatcher;
