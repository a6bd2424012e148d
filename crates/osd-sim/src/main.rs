//! The program `osd-sim`.

use std::process::ExitCode;

use clap::Parser;

mod allocator;

fn main() -> ExitCode {
    let options = osd_sim::Options::parse();
    if let Err(error) = allocator::give_back_what_is_free() {
        eprintln!("osd-sim: the memory allocator: {error}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = planted::plant_from_environment() {
        eprintln!("osd-sim: {error}");
        return ExitCode::FAILURE;
    }
    osd_sim::run(options)
}
