//! `shmwarden`: what stands between the service manager and the database server.

mod candidate;
mod cli;
mod command;
mod exit;
mod ledgers;
mod log;
mod output_file;
mod render;
mod run;
mod stand_in;
mod swept;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    log::start(&cli.common);
    let ending = match &cli.command {
        cli::Command::Run(args) => run::run(args),
        cli::Command::Sweep(args) => command::sweep::run(args, &cli.common),
        cli::Command::Record(args) => command::record::run(args, &cli.common),
        cli::Command::List(args) => command::list::run(args, &cli.common),
        cli::Command::Who(args) => command::who::run(args, &cli.common),
        cli::Command::Adopt(args) => command::adopt::run(args, &cli.common),
        cli::Command::Doctor(args) => command::doctor::run(args, &cli.common),
        cli::Command::History(args) => command::history::run(args, &cli.common),
        cli::Command::Systemd(args) => command::systemd::run(args, &cli.common),
        cli::Command::Completions(args) => command::completions::run(args),
        cli::Command::Demo(args) => command::demo::run(args, &cli.common),
    };
    ending.end()
}
