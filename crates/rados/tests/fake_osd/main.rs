//! What a session sends, as an OSD that records it sees it; between them a proxy that cuts connections.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;
mod op_session;
#[path = "../support/mod.rs"]
mod support;
mod watch_stream;
