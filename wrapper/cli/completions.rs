//! The options of `completions`.

use clap::{Args, ValueEnum};

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
bash: shmwarden completions bash >/usr/share/bash-completion/completions/shmwarden
zsh:  shmwarden completions zsh >/usr/local/share/zsh/site-functions/_shmwarden
fish: shmwarden completions fish >/usr/share/fish/vendor_completions.d/shmwarden.fish")]
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
