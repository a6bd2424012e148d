//! The programs under test: where they lie, and one run of one of them.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};

use crate::wait::until;

/// The program `name` beside this executable, or beside its directory (tests lie in `deps/`).
pub fn find(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("asking where this program lies")?;
    let candidates: Vec<PathBuf> =
        this.ancestors().skip(1).take(2).map(|directory| directory.join(name)).collect();
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "the program {name} is neither at {} nor at {}: scripts/test and scripts/demo build it",
            candidates[0].display(),
            candidates[1].display()
        ),
    }
}

/// How a run of a program ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; a program that a signal ended is an error instead.
    pub status: i32,
    /// What it wrote for programs.
    pub stdout: String,
    /// What it wrote for people.
    pub stderr: String,
}

impl Output {
    /// Standard output, or an error that carries the status and what the program said.
    pub fn success(self, what: &str) -> Result<String> {
        if self.status != 0 {
            bail!("{what}: exit status {}: {}", self.status, self.stderr.trim());
        }
        Ok(self.stdout)
    }
}

/// Ends a run of a program from outside.
#[derive(Clone, Debug)]
pub struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// SIGKILL. Nothing happens to one that has been waited for.
    pub fn kill(&self) -> Result<()> {
        self.child().kill().context("sending SIGKILL")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with its handle.
struct Running(Killer);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child has been waited for already.
        let mut child = self.0.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Runs `program` to its end, which must come within `bound`.
pub async fn run(program: &Path, arguments: &[String], bound: Duration) -> Result<Output> {
    let output = run_killable(program, arguments, bound, |_| ()).await?;
    output.with_context(|| format!("{} {}: it was ended by SIGKILL", program.display(), arguments.join(" ")))
}

/// The same for a run that somebody may kill, by what `begun` is handed; `None`: somebody did.
pub async fn run_killable(
    program: &Path,
    arguments: &[String],
    bound: Duration,
    begun: impl FnOnce(Killer),
) -> Result<Option<Output>> {
    let what = format!("{} {}", program.display(), arguments.join(" "));
    timeout(bound, run_to_end(program, arguments, begun))
        .await
        .with_context(|| format!("{what}: no end within {bound:?}"))?
        .with_context(|| what)
}

async fn run_to_end(
    program: &Path,
    arguments: &[String],
    begun: impl FnOnce(Killer),
) -> Result<Option<Output>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running(Killer(Arc::new(Mutex::new(command.spawn().context("starting it")?))));
    let (stdout, stderr) = {
        let mut child = running.0.child();
        (
            child.stdout.take().context("its output is a pipe")?,
            child.stderr.take().context("its error output is a pipe")?,
        )
    };
    begun(running.0.clone());
    let (stdout, stderr) = tokio::try_join!(
        read_to_end(pipe::Receiver::from_owned_fd(stdout.into())?),
        read_to_end(pipe::Receiver::from_owned_fd(stderr.into())?),
    )?;
    // Both outputs have ended: the exit is at most a moment away.
    let status = until("its exit", Duration::from_secs(10), || {
        let status = running.0.child().try_wait();
        async { Ok(status?) }
    })
    .await?;
    if status.signal() == Some(Signal::KILL.as_raw()) {
        return Ok(None);
    }
    let status = status.code().with_context(|| format!("it was ended by a signal ({status})"))?;
    Ok(Some(Output { status, stdout, stderr }))
}

async fn read_to_end(mut pipe: pipe::Receiver) -> Result<String> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a process with this id exists (a zombie does not count).
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state(&stat).is_some_and(|state| !['Z', 'X'].contains(&state))
}

/// Whether every thread of a process is stopped by a signal.
pub fn is_stopped(pid: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since it was listed.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        if state(&stat).is_some_and(|state| state != 'T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The letter after the name in `/proc/PID/stat`.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Ids of the processes whose parent is `pid`.
pub fn children_of(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(candidate) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since it was listed.
        let stat = fs::read_to_string(format!("/proc/{candidate}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        if parent == Some(pid.to_string().as_str()) {
            children.push(candidate);
        }
    }
    Ok(children)
}
