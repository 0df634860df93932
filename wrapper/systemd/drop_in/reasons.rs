//! Why each line of a drop-in stands there, as its comments say. No line of a comment may begin
//! with a slash: `systemctl cat` marks the begin of a file so.

/// `StateDirectory=`.
pub(super) const STATE_DIRECTORY: [&str; 3] = [
    "For the ledger: /var/lib/shmwarden/NAME-OF-THE-UNIT, which systemd makes, gives to the",
    "unit's user, orders the unit after the mount of, and tells in $STATE_DIRECTORY. Not a",
    "RuntimeDirectory=: that one is deleted at each stop.",
];

/// `ExecStartPre=`.
pub(super) const BEFORE_START: [&str; 3] = [
    "Clears what is left from an end that nobody could clean up after: everything killed at",
    "once, hooks included. Nothing of a living server. The - in front: a sweep that fails",
    "never keeps the server from starting.",
];

/// `ExecStart=`.
pub(super) const START: [&str; 4] = [
    "The empty line takes the unit's own start away, else there would be two. Marks,",
    "arguments, specifiers and variables are the unit's own. The shell asks whether",
    "shmwarden runs, and becomes it; where it does not (it is gone, or a library of it is),",
    "the shell says so and becomes the server. Either way the main process keeps its pid.",
];

/// `SyslogIdentifier=`.
pub(super) const IDENTIFIER: [&str; 1] =
    ["The server's lines keep their name in the journal, which else is the first program's."];

/// `ExecStartPost=`.
pub(super) const RECORD: [&str; 2] = [
    "Writes down the server and what it holds, once it is ready. A server that is killed",
    "before that leaks, until its own next start. Where record fails the server runs on.",
];

/// `ExecStopPost=` of a prefix.
pub(super) const AFTER_PREFIX: [&str; 2] = [
    "Runs when every process of the unit is gone, after a failed start too: does what a",
    "launcher that was killed with its server could not do.",
];

/// `ExecStopPost=` beside a guardian.
pub(super) const AFTER_IN_PLACE: [&str; 2] = [
    "Runs when every process of the unit is gone: does what a guardian that systemd",
    "killed with the rest of the unit could not do.",
];

/// `ExecStopPost=` where nothing of ours stays in the service.
pub(super) const AFTER_RECORD: [&str; 1] =
    ["Runs when every process of the unit is gone: here the clean-up is done."];
