//! What whole-system tests and the demo share beyond the harness.
//!
//! * [`scenario`]: a clone with its clients, ready to be broken;
//! * [`model`]: what an image must hold, to the byte; [`ext4`]: an image that a file system checker understands;
//! * [`play`]: scenes that are played and judged, here and in containers;
//! * [`catalogue`]: every behaviour of Ceph's own tests, and the test here that guards it.

pub mod catalogue;
pub mod ext4;
pub mod model;
pub mod play;
pub mod scenario;
