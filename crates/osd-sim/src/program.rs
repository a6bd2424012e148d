//! What `main` does.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::{self, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rpc::{Address, Network};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tracing_subscriber::EnvFilter;

use crate::Config;
use crate::ceph::{self, CephAddresses};
use crate::options::{Command, LogFormat, Options, Serve};
use crate::server::{Prepared, listen};

/// Threads that serve.
const WORKERS: usize = 2;
/// How long whoever asks a running server waits for it.
const HEALTH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Runs the program; its exit status.
pub fn run(options: Options) -> ExitCode {
    let runtime = match Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = match options.command {
        Some(Command::Health { address }) => runtime.block_on(health(&address)),
        Some(Command::CephConf { monitor }) => runtime.block_on(print_ceph_conf(monitor)),
        None => runtime.block_on(serve_until_signal(&options.serve)),
    };
    // Calls that outlived their time are dropped with the runtime.
    runtime.shutdown_background();
    outcome.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("osd-sim: {error:#}");
    ExitCode::FAILURE
}

async fn serve_until_signal(options: &Serve) -> Result<()> {
    log_to_stderr(options.log_format);
    let config = Config { started_unix_ms: unix_ms(), ..options.config() };
    let listener = listen(&config).with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?.to_string();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let until_stdin_ends = options.until_stdin_ends;
    let shutdown = async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = rpc::stdin_ended(), if until_stdin_ends => {}
        }
        tracing::info!("closing");
    };
    let server = Prepared::new(config, seed())?;
    if let (Some(file), Some(addresses)) = (&options.ceph.conf_file, server.ceph()) {
        let written = std::fs::write(file, addresses.client_conf());
        written.with_context(|| format!("writing {}", file.display()))?;
    }
    announce(&address, server.ceph())?;
    tracing::info!(address, "serving");
    Ok(server.serve(rpc::incoming(listener), shutdown).await?)
}

/// The socket accepts by now: whoever reads this may call.
fn announce(address: &str, ceph: Option<&CephAddresses>) -> io::Result<()> {
    let mut line = json!({ "program": "osd-sim", "address": address, "pid": process::id() });
    if let Some(CephAddresses { fsid, monitor, osd, manager }) = ceph {
        line["ceph"] = json!({ "fsid": fsid, "monitor": monitor, "osd": osd, "manager": manager });
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Tells this run's client instances from those of other runs.
fn seed() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "drawn once, at the edge of the program")]
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    seed
}

/// Wall clock in milliseconds of Unix time; 0 before 1970.
fn unix_ms() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "read once, at the edge of the program")]
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        // When nobody listens, telling so on the same standard error would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Plain => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Prints the configuration of clients of a running server.
async fn print_ceph_conf(monitor: SocketAddr) -> Result<()> {
    let asked = tokio::time::timeout(HEALTH_WAIT_MAX, ceph::conf_of(monitor)).await;
    let conf = asked.with_context(|| format!("{monitor} did not answer within {HEALTH_WAIT_MAX:?}"))?;
    io::stdout().write_all(conf.with_context(|| format!("asking {monitor}"))?.as_bytes())?;
    Ok(())
}

async fn health(address: &Address) -> Result<()> {
    let asking = async {
        let channel = Network::tcp(HEALTH_WAIT_MAX).connect(address).await?;
        let reply = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await?;
        anyhow::Ok(reply.into_inner().status())
    };
    let status = tokio::time::timeout(HEALTH_WAIT_MAX, asking).await;
    match status.with_context(|| format!("{address} did not answer within {HEALTH_WAIT_MAX:?}"))? {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(status) => bail!("{address} says {}", status.as_str_name()),
        Err(error) => Err(error).with_context(|| format!("asking {address}")),
    }
}
