//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use harness::cluster::Preset;

use crate::nemesis::Nemesis;

/// Breaks running RBD clients on purpose and judges what came of it.
///
/// Starts one osd-sim and several clients as processes, `rbd-client serve` and, with --librbd, Ceph's own librbd, each with a network of its
/// own to the OSD (a TCP proxy; a librbd's is made of fault rules), drives them, breaks them, heals them, waits until everything has come to rest, and asks the checkers. Every call is written to
/// history.jsonl, every event of the OSD to events.jsonl, and what was found at the end to findings.json.
///
/// Exit status 0: no violation. 1: a violation, or the run could not be made. 2: the command line is wrong. 3: no violation, but too little
/// happened for that to mean anything.
#[derive(Parser, Debug)]
#[command(name = "chaos", version, after_help = EXAMPLES)]
pub struct Options {
    /// What is done.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  chaos kill-owner                             20 owners die; how long until the next write is acknowledged
  chaos kill-owner --preset ceph --rounds 1    the same as Ceph does it, in 30 s
  chaos kill-owner --measure flatten           the owner dies in the middle of a forwarded flatten
  chaos random --seed 7 --minutes 5            everything at once, reproducible by its seed
  chaos random --seed 7 --nemesis cut-owner,kill-requester --rounds 1 --keep run
  chaos random --clients 4 --librbd 2          two of the four are real librbd processes
  chaos random --nemesis kill-at-owner=rbd.parent_detach+1   between a flatten's commit and the op after it
  chaos check run/7                            judges the files of that round once more";

/// What is done.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// The lock owner is killed with writes in flight, or in the middle of a forwarded flatten
    KillOwner(Lost),
    /// The lock owner freezes, others take over, and it wakes up
    FreezeOwner(Lost),
    /// The lock owner is cut off, mute or deaf, others take over, and its network is healed
    Partition(Lost),
    /// A watcher of the image never acks: whoever waits for every ack waits for the timeout
    SlowWatcher(Common),
    /// Fencing is switched off: two clients own the lock, and the checker must catch it
    TwoOwners(Common),
    /// Everything at once: a seeded workload under a seeded schedule of faults
    Random(Random),
    /// Plays the seeds that once failed again
    Regressions(Regressions),
    /// Judges the files that a run has left with --keep
    Check {
        /// Directory with history.jsonl, events.jsonl and findings.json
        directory: PathBuf,
        /// How the verdict is printed
        #[arg(long, value_enum, default_value_t = Format::Plain)]
        format: Format,
    },
}

/// What every run takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Everything that is drawn is drawn from it; without it another one each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// Constants of all programs; each command has its own default
    #[arg(long, value_enum)]
    pub preset: Option<PresetName>,
    /// Rounds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// Clients of the image
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    pub clients: u16,
    /// What is printed and kept.
    #[command(flatten)]
    pub output: Output,
}

/// What is printed and kept.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    pub format: Format,
    /// Keep logs, history, events and findings in this directory, which must not exist yet; each round of `random` and of
    /// `regressions` in one of its own below it
    #[arg(long, value_name = "DIRECTORY")]
    pub keep: Option<PathBuf>,
    /// Longest timeline that is printed, in lines
    #[arg(long, default_value_t = 40, value_name = "LINES")]
    pub timeline: usize,
    /// No progress bar
    #[arg(long)]
    pub no_progress: bool,
}

impl Options {
    /// What no option can say of itself alone.
    pub fn check(&self) -> Result<(), String> {
        match &self.command {
            Command::Random(random) => random.check(),
            _ => Ok(()),
        }
    }
}

/// An owner is lost, once a round.
#[derive(Args, Clone, Debug)]
pub struct Lost {
    /// What is waited for after the fault
    #[arg(long, value_enum, default_value_t = Measure::Write)]
    pub measure: Measure,
    /// Options of every run.
    #[command(flatten)]
    pub common: Common,
}

/// A seeded run.
#[derive(Args, Clone, Debug)]
pub struct Random {
    /// How long rounds are begun; without it --rounds counts
    #[arg(long, conflicts_with = "rounds", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub minutes: Option<u64>,
    /// What may happen; without it everything: {kill|freeze|cut|slow|mute|deaf|reset}-{owner|requester|bystander},
    /// {kill-at|error-at|delay-at}-{owner|requester|bystander|operator}[=OP[+K]], silent-watcher
    #[arg(long, value_delimiter = ',')]
    pub nemesis: Vec<Nemesis>,
    /// How long each round is broken
    #[arg(long, value_parser = chaos_time, default_value = "12s", value_name = "TIME")]
    pub chaos: Duration,
    /// So many of the clients are Ceph's own librbd (Debian's python3-rbd), the last ones; the first is always an rbd-client
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub librbd: u16,
    /// Options of every run.
    #[command(flatten)]
    pub common: Common,
}

impl Random {
    /// An rbd-client finishes what others have left in an image: librbd does not.
    pub fn check(&self) -> Result<(), String> {
        let (librbd, clients) = (self.librbd, self.common.clients);
        if librbd < clients {
            Ok(())
        } else {
            Err(format!("--librbd {librbd}: fewer than --clients {clients}"))
        }
    }
}

/// From a second to a day.
fn chaos_time(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    match humantime::parse_duration(text) {
        Ok(time) if bounds.contains(&time) => Ok(time),
        Ok(_) => Err("expected a time from 1s to 24h".to_owned()),
        Err(error) => Err(format!("{error}; expected a time from 1s to 24h, with its unit")),
    }
}

/// Seeds that once failed.
#[derive(Args, Clone, Debug)]
pub struct Regressions {
    /// Another list than crates/chaos/regressions.toml, which is built in
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What is printed and kept.
    #[command(flatten)]
    pub output: Output,
}

/// What is waited for after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Another client's write is acknowledged
    Write,
    /// A flatten that was forwarded to the owner has ended
    Flatten,
}

/// What the outcome is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Plain,
    /// For programs: one JSON document
    Json,
}

/// The constants of all programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// As Ceph behaves: watch 30 s, also for one whose connection is gone
    Ceph,
    /// Ceph's constants, and 500 ms for a watch whose connection is gone
    Default,
    /// One order shorter: watch 3 s, 300 ms
    Ci,
}

impl PresetName {
    /// The preset of this name.
    pub const fn preset(self) -> Preset {
        match self {
            Self::Ceph => Preset::Ceph,
            Self::Default => Preset::Default,
            Self::Ci => Preset::Ci,
        }
    }
}
