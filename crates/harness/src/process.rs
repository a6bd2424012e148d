//! A long-running program: ready when it prints its line, signalled by pid, gone with its handle.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
    time::timeout,
};

use crate::{program, wait::until};

/// How long a program may take until it says that it is ready.
const READY_BOUND: Duration = Duration::from_secs(30);

/// How long threads may go on after SIGSTOP.
const FREEZE_BOUND: Duration = Duration::from_secs(10);

/// The line that a serving program prints when it accepts connections.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// "host:port".
    pub address: String,
    /// Of `rbd-client serve`: its client instance; else 0.
    #[serde(default)]
    pub gid: u64,
}

/// A program that serves until it is ended. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    /// Holds the other end of its standard input: with `--until-stdin-ends` it does not outlive this process.
    child: Child,
    errors: PathBuf,
    /// Stays open, or the program's next line would end it; `None`: somebody else reads it.
    stdout: Option<BufReader<pipe::Receiver>>,
}

impl Process {
    /// Starts `program` and waits for its ready line. Its error output goes to `directory/<name>.log`.
    pub async fn start(
        program: &str,
        name: &str,
        arguments: &[String],
        directory: &Path,
    ) -> Result<(Self, Ready)> {
        let mut command = Command::new(program::find(program)?);
        command.args(arguments);
        let what = || format!("{name}: {program} {}", arguments.join(" "));
        let (process, line) = Self::spawn(command, name, directory).await.with_context(what)?;
        let ready = serde_json::from_str(&line);
        Ok((process, ready.with_context(|| format!("{}: its first line is no ready line: {line}", what()))?))
    }

    /// Starts any program and waits for its first line.
    pub async fn spawn(mut command: Command, name: &str, directory: &Path) -> Result<(Self, String)> {
        let errors = directory.join(format!("{}.log", name.replace(' ', "-")));
        let log = File::options().create(true).append(true).open(&errors)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().context("starting it")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let stdout = BufReader::new(pipe::Receiver::from_owned_fd(stdout.into())?);
        let mut process = Self { name: name.to_owned(), child, errors, stdout: Some(stdout) };
        let line = process.first_line().await?;
        Ok((process, line))
    }

    async fn first_line(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("its output is here")?;
        timeout(READY_BOUND, stdout.read_line(&mut line))
            .await
            .with_context(|| format!("not ready within {READY_BOUND:?}; it said: {}", self.said()))??;
        if line.is_empty() {
            bail!("it ended before it was ready; it said: {}", self.said());
        }
        Ok(line)
    }

    /// Its input and its output, for a program that is talked to line by line: its input ends with the first.
    pub fn pipes(&mut self) -> Result<(pipe::Sender, BufReader<pipe::Receiver>)> {
        let stdin = self.child.stdin.take().context("its input is here")?;
        let stdout = self.stdout.take().context("its output is here")?;
        Ok((pipe::Sender::from_owned_fd(stdin.into())?, stdout))
    }

    /// Its name in timelines and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote to its error output.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// SIGKILL: no goodbye to anybody.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGSTOP: the process freezes, its connections stay open. Returns when no thread of it runs any more.
    pub async fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let (what, pid) = (format!("the freeze of {}", self.name), self.pid());
        until(&what, FREEZE_BOUND, || async move { Ok(program::is_stopped(pid)?.then_some(())) }).await
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn wake(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM: it closes what it has open and ends.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Closes its standard input, as the end of this process would: with `--until-stdin-ends` it ends.
    pub fn hang_up(&mut self) {
        self.child.stdin = None;
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking whether {} has ended", self.name))
    }

    /// Waits for its end.
    pub async fn ended(&mut self, bound: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        until(&what, bound, || {
            let status = child.try_wait();
            async { Ok(status?) }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process has been waited for already. SIGKILL ends a frozen process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
