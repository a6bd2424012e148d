//! The log on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::options::LogFormat;

/// Starts it, filtered by RUST_LOG; without that variable warnings and errors. The first call in a process counts.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let log = tracing_subscriber::fmt()
        // When nobody listens, telling so on the same standard error would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Plain => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    // Refused when the program that calls this library logs already: its choice stands.
    drop(started);
}
