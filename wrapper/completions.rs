//! `shmwarden completions`: a shell's rules for completing our command line, made of the very
//! definitions that it is read with.

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{self, Ending};
use crate::render;

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Where a shell looks for them:
  bash  /usr/share/bash-completion/completions/shmwarden
  zsh   /usr/local/share/zsh/site-functions/_shmwarden
  fish  /usr/share/fish/vendor_completions.d/shmwarden.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: ShellChoice,
}

/// `SHELL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellChoice {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// fish
    Fish,
}

/// `shmwarden completions`.
pub(crate) fn run(args: &CompletionsArgs) -> Ending {
    Ending::Status(exit::after_printing(render::print(&script(args.shell)), 0))
}

/// The rules, as the shell reads them.
pub(crate) fn script(shell: ShellChoice) -> String {
    let shell = match shell {
        ShellChoice::Bash => Shell::Bash,
        ShellChoice::Zsh => Shell::Zsh,
        ShellChoice::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut told(), "shmwarden", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line as users are told of it: the generators know no hidden options.
fn told() -> Command {
    Cli::command().mut_subcommand("demo", |demo| {
        let shown = demo.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
        let shown: Vec<_> = shown.collect();
        Command::new("demo").about(demo.get_about().cloned().unwrap_or_default()).args(shown)
    })
}
