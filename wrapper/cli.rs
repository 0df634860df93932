//! The command line: names, options and their help. A test holds man page and help together.

pub(crate) mod help;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use shmwarden::engine::{ENGINES, Engine};

use crate::exit::Ending;
use crate::{adopt, completions, demo, doctor, history, record, run, show, status, sweep, systemd};

/// Crash-safe clean-up of shared memory for database servers.
#[derive(Debug, Parser)]
#[command(name = "shmwarden", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of the options of every command.
const EVERY: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = EVERY)]
    pub(crate) json: bool,
    /// Print without colours (as does the variable NO_COLOR)
    #[arg(long, global = true, help_heading = EVERY)]
    pub(crate) no_color: bool,
    /// Log errors only
    #[arg(short, long, global = true, help_heading = EVERY, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log and print more
    #[arg(short, long, global = true, help_heading = EVERY)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start COMMAND, keep the ledger, clean up after it
    Run(RunArgs),
    /// Remove what dead instances left (pre-start and post-stop hook)
    Sweep(sweep::args::SweepArgs),
    /// Put a server that already runs under a ledger, without a restart
    Record(record::args::RecordArgs),
    /// Show every IPC object, who it belongs to, and the verdict on it
    List(show::args::ListArgs),
    /// Show the processes that hold an object
    Who(show::args::WhoArgs),
    /// Put proven orphans of the past into a ledger, for sweep to remove
    Adopt(adopt::args::AdoptArgs),
    /// Show limits, leaks and risky settings; explain an error message
    Doctor(doctor::args::DoctorArgs),
    /// Show every database server of this host: covered, by what, and what is left to do
    Status(status::args::StatusArgs),
    /// Show what was recorded, removed and kept, and why
    History(history::HistoryArgs),
    /// Put shmwarden into a unit of this host, or print how
    ///
    /// Without --install or --remove nothing is changed: the drop-in goes to stdout, what does not
    /// fit in the unit to stderr. Nothing is ever restarted.
    Systemd(systemd::args::SystemdArgs),
    /// Show a crash and its clean-up on this machine, in a scratch directory
    Demo(demo::DemoArgs),
    /// Print the completion rules for a shell
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, common: &Common) -> Ending {
        match self {
            Self::Run(args) => run::run(args),
            Self::Sweep(args) => sweep::run(args, common),
            Self::Record(args) => record::run(args, common),
            Self::List(args) => show::list::run(args, common),
            Self::Who(args) => show::who::run(args, common),
            Self::Adopt(args) => adopt::run(args, common),
            Self::Doctor(args) => doctor::run(args, common),
            Self::Status(args) => status::run(args, common),
            Self::History(args) => history::run(args, common),
            Self::Systemd(args) => systemd::run(args, common),
            Self::Completions(args) => completions::run(args),
            Self::Demo(args) => demo::run(args, common),
        }
    }
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Become COMMAND, with this pid; a guardian beside it keeps the ledger and cleans up
    ///
    /// For pg_ctl -p, pg_ctlcluster, Patroni and gs_ctl, which expect the pid that they forked. Not
    /// for PID 1 of a container, which would be the guardian's parent. $NOTIFY_SOCKET is left
    /// alone, so --notify and --notify-access do not go with it.
    #[arg(long)]
    pub(crate) in_place: bool,
    /// What to do with survivors, processes of the dead server that hold its objects
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = Orphans::Leave)]
    pub(crate) orphans: Orphans,
    /// Time to wait, after the server's death, for survivors to let go
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) linger: Duration,
    /// Ledger of this instance (default: NAME.ledger in the state directory)
    #[arg(long, value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,
    /// Name of this instance (default: from the data directory, or COMMAND)
    #[arg(long, value_name = "NAME", value_parser = instance_name)]
    pub(crate) name: Option<String>,
    /// Kind of server that COMMAND is
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
    /// What to do before the start where the ledger cannot be written
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = IfLedgerFails::Start)]
    pub(crate) if_ledger_fails: IfLedgerFails,
    /// What to do with the server's notifications where $NOTIFY_SOCKET is set (sd_notify(3))
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Notify::Relay,
          conflicts_with = "in_place")]
    pub(crate) notify: Notify,
    /// Whose notifications are relayed
    #[arg(long, value_name = "WHOSE", value_enum, default_value_t = NotifyAccess::Main,
          conflicts_with = "in_place")]
    pub(crate) notify_access: NotifyAccess,
    /// The server and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", 
          value_hint = ValueHint::AnyPath)]
    pub(crate) command: Vec<OsString>,
}

/// The options that name the ledgers to read.
#[derive(Debug, Default, Args)]
pub(crate) struct LedgerArgs {
    /// Read this ledger, and none of the default places
    #[arg(long, value_name = "PATH")]
    pub(crate) ledger: Vec<PathBuf>,
    /// Read the ledgers of this directory too
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Vec<PathBuf>,
    /// Set where the default places are read too although a ledger is named.
    #[arg(skip)]
    pub(crate) everywhere: bool,
}

/// `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineChoice {
    /// By what runs.
    Auto,
    /// This one, whatever runs.
    Named(Engine),
}

impl ValueEnum for EngineChoice {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<EngineChoice>> = LazyLock::new(|| {
            let named = ENGINES.iter().copied().map(EngineChoice::Named);
            std::iter::once(EngineChoice::Auto).chain(named).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => PossibleValue::new("auto")
                .help("By the name of the program that runs, or by what it writes"),
            Self::Named(engine) => PossibleValue::new(engine.name).help(engine.help),
        })
    }
}

/// `--orphans`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orphans {
    /// Wait for them only
    Leave,
    /// Ask them to end (SIGTERM)
    Term,
    /// End them (SIGKILL)
    Kill,
}

/// `--if-ledger-fails`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfLedgerFails {
    /// Start the server without the promise of a clean-up
    Start,
    /// Do not start the server: end with 125
    Refuse,
}

/// `--notify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Notify {
    /// Pass them on to the service manager as the launcher's own, so that NotifyAccess=main heeds
    /// them
    Relay,
    /// Leave $NOTIFY_SOCKET alone: the unit then needs NotifyAccess=all
    Pass,
}

/// `--notify-access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotifyAccess {
    /// Those of COMMAND's own process, and of the server that it turns out to have started
    Main,
    /// Those of every process that descends from COMMAND
    All,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write it as in 10s, 500ms or 2m")),
    }
}

/// A name is a part of the ledger's file name, and never leads out of its directory.
pub(crate) fn instance_name(text: &str) -> Result<String, String> {
    // 255 bytes is the longest file name; `.ledger` and what `set_aside` adds are part of it.
    let fits = !text.is_empty() && text.len() <= 180 && !text.starts_with('.');
    match fits && !text.contains(|c: char| c == '/' || c.is_control()) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 180 bytes, does not begin with a dot, and has neither a \
                      slash nor a control character; name a path with --ledger"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests;
