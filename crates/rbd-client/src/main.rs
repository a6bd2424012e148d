//! The program `rbd-client`; everything it does is in the library.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<ExitCode> {
    planted::plant_from_environment().map_err(anyhow::Error::msg)?;
    #[expect(clippy::disallowed_methods, reason = "randomness is drawn here and handed down")]
    let identity = uuid::Uuid::new_v4();
    let interrupted = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        cancel_on_signals(&interrupted)?;
        let arguments = std::env::args_os();
        anyhow::Ok(rbd_client::run(arguments, identity, interrupted).await)
    })?;
    // A read of standard input that nobody waits for any more must not keep the process alive.
    runtime.shutdown_background();
    Ok(ExitCode::from(status))
}

fn cancel_on_signals(interrupted: &CancellationToken) -> std::io::Result<()> {
    let ends_on_hangup = !is_hangup_ignored();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let interrupted = interrupted.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv(), if ends_on_hangup => {}
        }
        interrupted.cancel();
    });
    Ok(())
}

/// Whether whoever started this program wants it to outlive the terminal, as `nohup` does. Asked before a handler of ours
/// takes the signal.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (SignalKind::hangup().as_raw_value() - 1) & 1 == 1
}
