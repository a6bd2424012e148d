//! What a session sends, as an OSD that records it sees it; between them a proxy that cuts connections.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "a test is what the executor's runtime belongs to")]

mod fake;
mod op_session;
#[path = "../support/mod.rs"]
mod support;
mod watch_stream;
