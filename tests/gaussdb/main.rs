//! `gaussdb`: the stand-in for an openGauss (`wrapper/stand_in/`) as a program of its own, for the
//! tests, with the one habit that shmwarden does not share: it removes what it finds under its
//! keys (`reclaim`). Never to be run outside of a namespace of its own.

mod command_line;
mod reclaim;
#[path = "../../wrapper/stand_in/mod.rs"]
mod stand_in;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match command_line::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("FATAL:  {why}");
            return ExitCode::FAILURE;
        }
    };
    let collisions = stand_in::Collisions { segment: reclaim::segment, set: reclaim::set };
    ExitCode::from(stand_in::run(&options, &collisions))
}
