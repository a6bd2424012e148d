//! The program `osd-sim`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let options = osd_sim::Options::parse();
    if let Err(error) = planted::plant_from_environment() {
        eprintln!("osd-sim: {error}");
        return ExitCode::FAILURE;
    }
    osd_sim::run(options)
}
