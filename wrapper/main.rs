//! `shmwarden`: what stands between the service manager and the database server.

mod adopt;
mod cli;
mod completions;
mod demo;
mod doctor;
mod exit;
mod finding;
mod history;
mod host;
mod interrupts;
mod ledgers;
mod log;
mod record;
mod recording;
mod render;
mod run;
mod servers;
mod show;
mod status;
mod sweep;
mod systemd;
mod units;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    shmwarden::sys::entry::outlive_the_file_size_limit();
    let cli: cli::Cli = match clap::Parser::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    log::start(&cli.common);
    cli.command.run(&cli.common).end()
}

#[cfg(test)]
mod tests;
