//! The options of `systemd`.

use clap::{Args, ValueEnum};

/// Options of `systemd`.
#[derive(Debug, Args)]
pub(crate) struct SystemdArgs {
    /// The service; `.service` may be left out
    pub(crate) unit: String,
    /// Put in place what the unit needs; restarts nothing
    ///
    /// The drop-in, and for Debian's clusters the script and the line in pg_ctl.conf. Systemd
    /// reads its units anew. Asked again, it changes nothing that is as it should be.
    #[arg(long, conflicts_with = "remove")]
    pub(crate) install: bool,
    /// Take back what --install put in place, and nothing that was changed since
    #[arg(long, conflicts_with = "way")]
    pub(crate) remove: bool,
    /// With either: change nothing, and show as a diff what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How shmwarden is to stand in it
    #[arg(long, value_name = "WAY", value_enum, default_value_t = WayChoice::Auto)]
    pub(crate) way: WayChoice,
}

/// `--way`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayChoice {
    /// As it stands there; else a prefix where the unit itself starts the server, in-place for
    /// Debian's pg_ctlcluster, record for other units that fork
    Auto,
    /// In front of the server, as the unit's main process
    Prefix,
    /// The server stays the main process; a guardian beside it cleans up
    InPlace,
    /// No process of shmwarden stays in the unit: sweep and record as hooks
    Record,
}
