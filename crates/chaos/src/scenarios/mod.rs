//! What is done to a stage, one module for each command.

pub mod owner_lost;
pub mod random;
pub mod regressions;
pub mod slow_watcher;
pub mod two_owners;
