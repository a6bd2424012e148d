//! Maintenance operations happen once (I3), and what they leave agrees (I4, I6).

mod agreement;
mod commits;
mod state;

pub use agreement::parents_and_children_agree;
pub use commits::maintenance_happened_once;
pub use state::state_matches_the_calls;
