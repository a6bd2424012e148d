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
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = interrupted.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        interrupted.cancel();
    });
    Ok(())
}
