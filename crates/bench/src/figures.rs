//! What can be measured.

mod core;
mod flatten;
mod hand_over;
mod machine;
mod memory;
mod notify;
mod random_io;
mod start_up;
mod write;

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;

use crate::row::Row;
use random_io::Direction;

/// One block of an image.
const BLOCK: Bytes = Bytes::from_static(&[0x5a; 4096]);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Calls of each latency.
    pub rounds: usize,
    /// How long each rate is measured.
    pub seconds: Duration,
    /// Size of the flattened image.
    pub flatten_mib: u64,
}

/// A figure, or a family of figures that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// Steps of the OSD's core in this process: CPU of a write and of an omap set, bytes of an object, the longest step of a
    /// trim.
    Core,
    /// Resident memory of osd-sim over the bytes stored, after overwrites and discards.
    Memory,
    /// A client writes 4 KiB while another one owns the exclusive lock; the two take turns.
    HandOver,
    /// A write of 4 KiB by the owner of the lock.
    Write,
    /// The round trip of notify2 with 1, 2, 8 and 32 watchers.
    Notify,
    /// Writes of 4 KiB at random places, 1 and 16 in flight.
    RandomWrite,
    /// Reads of 4 KiB at random places, 1 and 16 in flight.
    RandomRead,
    /// A flatten of a clone of a full image with objects of 4 MiB, 10 objects at once.
    Flatten,
    /// Time until osd-sim is ready and until an image exists; idle memory.
    StartUp,
    /// Bare round trips of this machine, which nothing here can beat.
    Machine,
}

impl Figure {
    /// Measures it.
    pub async fn measure(self, scale: &Scale) -> Result<Vec<Row>> {
        match self {
            Self::Core => core::measure(scale),
            Self::Memory => memory::measure(scale).await,
            Self::HandOver => hand_over::measure(scale).await,
            Self::Write => write::measure(scale).await,
            Self::Notify => notify::measure(scale).await,
            Self::RandomWrite => random_io::measure(Direction::Write, scale).await,
            Self::RandomRead => random_io::measure(Direction::Read, scale).await,
            Self::Flatten => flatten::measure(scale).await,
            Self::StartUp => start_up::measure().await,
            Self::Machine => machine::measure(scale).await,
        }
    }
}

/// Resident memory of a process ("self" = this one), from its status.
fn resident_bytes(process: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let kibibytes: f64 = kibibytes.context("VmRSS is in the status of every process")?.parse()?;
    Ok(kibibytes * 1024.0)
}
