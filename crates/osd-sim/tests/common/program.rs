//! The real program, started for one test.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Within which a program is ready, or ends.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) struct Program {
    pub(crate) child: Child,
    pid: Pid,
    pub(crate) address: rpc::Address,
    pub(crate) said: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts osd-sim by a shell command in which `$0` is the program, and waits until it is ready.
    pub(crate) async fn start(command: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", command, env!("CARGO_BIN_EXE_osd-sim")])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("there is a shell");
        let mut lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let said = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        let line = timeout(BOUND, lines.next_line()).await.expect("it is ready in time").expect("it says so");
        let ready: serde_json::Value =
            serde_json::from_str(&line.expect("it goes on")).expect("the line is JSON");
        let address = ready["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let pid = ready["pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).expect("a pid");
        Self { child, pid, address, said }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it lives");
    }

    /// Waits until it says a line with these words.
    pub(crate) async fn says(&mut self, words: &str) {
        let saying = async {
            loop {
                let line = self.said.next_line().await.expect("it is text").expect("it goes on");
                if line.contains(words) {
                    return;
                }
            }
        };
        timeout(BOUND, saying).await.expect("it says so in time");
    }

    /// Ticks of CPU (a hundredth of a second) that it has used.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).expect("it lives");
        let (_, rest) = stat.rsplit_once(") ").expect("its name is in parentheses");
        let numbers = rest.split(' ').skip(11).take(2).map(|text| text.parse::<u64>().expect("a number"));
        numbers.sum()
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).expect("it lives");
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        kibibytes.and_then(|text| text.parse::<u64>().ok()).expect("every process says so") << 10
    }
}
