//! What holds for every sequence of events: nobody waits without a wake-up, every caller is completed once, every message is
//! acked once.

mod lock;
mod watcher;
