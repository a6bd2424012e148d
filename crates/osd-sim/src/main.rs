//! The program `osd-sim`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    osd_sim::run(osd_sim::Options::parse())
}
