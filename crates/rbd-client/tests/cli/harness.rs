use std::{ffi::OsStr, path::PathBuf, process::Stdio, time::Duration};

use rpc::{Network, rbd::rbd_client_client::RbdClientClient};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tonic::transport::Channel;

/// No step of a test takes longer, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An OSD, and a directory for files.
pub(crate) struct Lab {
    osd: osd_sim::Server,
    directory: TempDir,
}

/// What a run of the program left.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(osd_sim::Config::ci())
    }

    /// The OSD started in another way.
    pub(crate) fn with(config: osd_sim::Config) -> Self {
        let osd = osd_sim::Server::start(config);
        Self { osd, directory: tempfile::tempdir().expect("a directory for files") }
    }

    /// Path of a file in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn address(&self) -> String {
        self.osd.address().to_string()
    }

    pub(crate) fn network() -> Network {
        Network::tcp(PATIENCE)
    }

    /// A session of the test's own.
    pub(crate) async fn rados(&self) -> rados::Rados {
        let config = rados::Config::ci();
        rados::Rados::connect(Self::network(), self.osd.address(), config)
            .await
            .expect("the OSD accepts the test")
    }

    /// Names of the data objects in pool "rbd".
    pub(crate) async fn data_objects(&self) -> Vec<String> {
        let io = self.rados().await.io_ctx("rbd").await.expect("the pool is there");
        io.list_objects("rbd_data.").await.expect("the pool lists its objects")
    }

    /// The program, with nothing of the test's environment.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_rbd-client")), arguments)
    }

    /// The same, ended by a hangup also where whoever runs the tests ignores it (`nohup`): the program inherits that, and
    /// heeds it. `env` sets the signal back and becomes the program.
    pub(crate) fn command_ended_by_hangup<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut env = Command::new("env");
        env.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_rbd-client")]);
        self.prepared(env, arguments)
    }

    fn prepared<A: AsRef<OsStr>>(
        &self,
        mut command: Command,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        command
            .args(arguments)
            .env_clear()
            .env("RBD_CLIENT_OSD", self.address())
            .env("RBD_CLIENT_PRESET", "ci")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        ended(self.command(arguments).spawn().expect("the program starts")).await
    }

    /// Runs it with `input` on standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let feeding = async {
            stdin.write_all(input).await.expect("the program reads its input");
            drop(stdin);
        };
        tokio::join!(ended(child), feeding).0
    }

    /// Runs it and returns its standard output; panics unless it succeeds.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.status, 0, "{arguments:?}: {}", ended.err);
        String::from_utf8(ended.out).expect("reports are UTF-8")
    }

    /// Runs it with `--format json` and returns what it prints.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut with_format = arguments.to_vec();
        with_format.extend(["--format", "json"]);
        let out = self.ok(&with_format).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Runs it and returns its standard error; panics unless it fails with `status`.
    pub(crate) async fn fails(&self, arguments: &[&str], status: i32) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.status, status, "{arguments:?}: {}", ended.err);
        ended.err
    }

    /// Starts `rbd-client serve` with `arguments` and waits until it serves.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> Serving {
        let mut command = self.command(["serve"]);
        let mut child = command.args(arguments).stderr(Stdio::inherit()).spawn().expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = timeout(PATIENCE, out.next_line()).await.expect("it serves in time");
        let line = line.expect("its output can be read").expect("it says where it serves");
        let line: Value = serde_json::from_str(&line).expect("the line is JSON");
        let address = line["address"].as_str().and_then(|text| text.parse().ok()).expect("it has an address");
        let channel = Self::network().connect(&address).await.expect("it accepts connections");
        Serving { client: RbdClientClient::new(channel.clone()), channel, line, child, _out: out }
    }
}

/// A running `rbd-client serve`; killed when dropped.
pub(crate) struct Serving {
    pub(crate) client: RbdClientClient<Channel>,
    pub(crate) channel: Channel,
    /// What it printed.
    pub(crate) line: Value,
    pub(crate) child: Child,
    /// Kept open: a closed pipe would be an error of its output.
    _out: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    pub(crate) fn gid(&self) -> u64 {
        self.line["gid"].as_u64().expect("it has a gid")
    }

    /// Sends SIGTERM and returns the exit status.
    pub(crate) async fn terminate(&mut self) -> i32 {
        signal(&self.child, "TERM").await;
        let status =
            timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("it is our child");
        status.code().expect("it ends by itself")
    }
}

/// Sends a signal to a running program.
pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill is installed");
    assert!(sent.success(), "signal {name} to {pid}");
}

/// Waits for the end of the program.
pub(crate) async fn ended(child: Child) -> Ended {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time");
    let output = output.expect("its output can be read");
    Ended {
        status: output.status.code().expect("it ends by itself"),
        out: output.stdout,
        err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

/// The errno's name in a status of service RbdClient.
pub(crate) fn reason(status: &tonic::Status) -> String {
    rpc::status::to_error(status).unwrap_or_else(|| panic!("no errno in {status}")).name
}
