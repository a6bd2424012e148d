//! Sessions against a real OSD; a proxy disturbs one of two clients.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "a test is what the executor's runtime belongs to")]

mod fixture;
mod objects;
mod op_stream;
#[path = "../support/mod.rs"]
mod support;
mod watch;
