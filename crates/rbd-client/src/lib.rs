//! The command line of `rbd-client`, and the process that `rbd-client serve` is. No rule of the protocol is decided here:
//! a verb turns arguments into calls of librbd, and what comes back into output and an exit status.

mod client_name;
mod console;
mod duration;
mod failure;
mod log;
mod named;
mod options;
mod progress;
mod report;
mod serve;
mod session;
mod shape;
mod size;
mod sparse;
mod spec;
mod timestamp;
mod timing;
mod usage;
mod verbs;
mod visible;

use std::ffi::OsString;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use console::Console;
use failure::Failure;
use options::Options;
use session::Session;

/// Does what `arguments` (the program's name first) and the environment say, and returns the exit status: 0, or the
/// number of the errno; for a wrong command line that of `rbd`. `identity` names this client and seeds its back-off;
/// cancelling `interrupted` ends the verb in an orderly way, within a bound.
pub async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    identity: Uuid,
    interrupted: CancellationToken,
) -> u8 {
    let options = match Options::of(arguments) {
        Ok(options) => options,
        Err(usage) => return usage::explain(&usage),
    };
    log::start(options.log_format);
    match work(&options, identity, interrupted).await {
        Ok(()) => 0,
        Err(failure) => {
            console::say(format_args!("rbd-client: {}: {failure}", options.verb.attempted(&options.pool)));
            if let Some(advice) = options.verb.advice(&failure) {
                console::say(format_args!("rbd-client: what next: {advice}"));
            }
            failure.exit_status()
        }
    }
}

async fn work(options: &Options, identity: Uuid, interrupted: CancellationToken) -> Result<(), Failure> {
    let console =
        Console { format: options.format, is_pretty: options.pretty_format, progress: !options.no_progress };
    let session = Session::open(options, console, identity, interrupted).await?;
    let result = options.verb.run(&session).await;
    session.close().await;
    result
}
