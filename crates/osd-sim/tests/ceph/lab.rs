//! A server with the door open, and Ceph's clients at it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use osd_sim::{CephConfig, Config, Server};
use proto::osd::v1::{Event, EventsRequest};
use tokio::process::Command;

use crate::common;

/// A client that takes longer hangs.
pub(crate) const CLIENT_TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) fn door() -> CephConfig {
    CephConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// At a known time.
fn ci() -> Config {
    Config { started_unix_ms: 1_795_809_600_000, ..Config::ci() }
}

pub(crate) fn start(ceph: CephConfig) -> Server {
    Server::start(Config { ceph: Some(ceph), ..ci() })
}

/// A server, and the configuration that its clients need.
pub(crate) struct Lab {
    pub(crate) server: Server,
    conf: tempfile::NamedTempFile,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::of(ci())
    }

    /// With the door open in this configuration.
    pub(crate) fn of(config: Config) -> Self {
        let server = Server::start(Config { ceph: Some(door()), ..config });
        let mut conf = tempfile::NamedTempFile::new().expect("a file");
        let text = server.ceph().expect("the door is open").client_conf();
        conf.write_all(text.as_bytes()).expect("it is written");
        Self { server, conf }
    }

    /// A client that is not running yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).env("CEPH_CONF", self.conf.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Waits until something of that kind has happened.
    pub(crate) async fn event(&self, kind: &str) -> Event {
        let mut osd = common::connect(&self.server).await;
        let mut log = common::events(&mut osd, 0).await;
        let happened = tokio::time::timeout(CLIENT_TIME_MAX, common::wait_for(&mut log, kind));
        happened.await.unwrap_or_else(|_| panic!("no {kind} in time"))
    }

    /// Runs a client: its exit status, standard output and standard error. `None` where it is not installed.
    pub(crate) async fn run(&self, line: &str) -> Option<(i32, String, String)> {
        let mut command = self.command(line);
        let program = line.split(' ').next().expect("a program");
        let output = match tokio::time::timeout(CLIENT_TIME_MAX, command.output()).await {
            Err(_) => panic!("'{line}' hangs"),
            Ok(Err(error)) => {
                let is_required = std::env::var_os("RBD_SIM_CEPH_CLIENTS").is_some();
                assert!(!is_required, "{program}: {error}");
                eprintln!("NOT RUN: {program} is not installed (Debian: ceph-common)");
                return None;
            }
            Ok(Ok(output)) => output,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let status = output.status.code().unwrap_or(-1);
        Some((status, text(&output.stdout), text(&output.stderr)))
    }

    /// Runs a client that must succeed; its output.
    pub(crate) async fn output(&self, line: &str) -> Option<String> {
        let (status, output, errors) = self.run(line).await?;
        assert_eq!(status, 0, "{line}: {errors}");
        Some(output)
    }

    /// Name of the header object of an image.
    pub(crate) async fn header(&self, image: &str) -> String {
        let info = self.output(&format!("rbd info --format json {image}")).await.expect("it is installed");
        let info: serde_json::Value = serde_json::from_str(&info).expect("it is JSON");
        format!("rbd_header.{}", info["id"].as_str().expect("an image has an id"))
    }

    /// Everything that has happened until now.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let mut osd = common::connect(&self.server).await;
        let request = EventsRequest { after: 0, until_now: true };
        let mut log = osd.events(request).await.expect("a log").into_inner();
        let mut events = Vec::new();
        while let Some(event) = log.message().await.expect("the log is whole") {
            events.push(event);
        }
        events
    }
}
