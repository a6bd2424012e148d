//! What whole-system tests and the demo stand on: they start the real programs, break them, and judge what came of it.
//!
//! * [`process`], [`program`]: processes on port 0 that are ready when they say so and never outlive their handle;
//! * [`cluster`]: one `osd-sim` and any number of `rbd-client serve`; [`client`], [`call`]: what such a client is asked to do;
//! * [`events`], [`story`]: the OSD's event log, to wait for and to judge; [`words`], [`timeline`]: the same for people;
//! * [`scenario`]: a clone with its clients, ready to be broken;
//! * [`model`]: what an image must hold, to the byte; [`ext4`]: an image that a file system checker understands.

pub mod call;
pub mod catalogue;
pub mod client;
pub mod cluster;
pub mod events;
pub mod ext4;
pub mod model;
pub mod process;
pub mod program;
pub mod scenario;
pub mod story;
pub mod timeline;
pub mod wait;
pub mod words;
