//! What the demo, the chaos programs and the whole-system tests stand on: it starts the real programs, drives and breaks them, and
//! tells what happened.
//!
//! * [`process`], [`program`]: processes on port 0 that are ready when they say so and never outlive their handle;
//! * [`proxy`]: a network between a client and its OSD that can be cut, slowed and lost one way;
//! * [`osd`], [`verbs`]: what is asked of an OSD, wherever it runs; [`cluster`]: one `osd-sim` process and its clients;
//! * [`remote`]: what is asked of an `rbd-client serve`, wherever it runs; [`client`]: one as a process; [`call`]: a maintenance call;
//! * [`librbd`]: Ceph's own librbd as a process;
//! * [`events`], [`story`]: the OSD's event log, to wait for and to judge; [`words`], [`timeline`], [`check`]: the
//!   same for people.

pub mod call;
pub mod check;
pub mod client;
pub mod cluster;
pub mod events;
pub mod librbd;
pub mod osd;
pub mod process;
pub mod program;
pub mod proxy;
pub mod remote;
pub mod story;
pub mod timeline;
pub mod verbs;
pub mod wait;
pub mod words;
