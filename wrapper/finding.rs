//! One finding: the thing that was looked at, how bad it is, and what to do about it.

use serde::Serialize;

/// Its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nothing to be done.
    Ok,
    /// It will hurt somebody one day.
    Warn,
    /// It hurts now, or with the next start or logout.
    Bad,
}

impl Level {
    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its level.
    pub(crate) level: Level,
    /// A word for scripts: one a kind of finding, with no name or number of this machine in it.
    pub(crate) id: &'static str,
    /// The finding as a sentence; foreign names in it as they are, not yet safe for a terminal.
    pub(crate) text: String,
    /// The advice, as a sentence or a command; `None` where nothing is to be done.
    pub(crate) fix: Option<String>,
}

impl Finding {
    /// Nothing to be done.
    pub(crate) fn ok(id: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, id, text: text.into(), fix: None }
    }

    /// It will hurt somebody one day.
    pub(crate) fn warn(id: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, id, text: text.into(), fix: Some(fix.into()) }
    }

    /// It hurts now, or with the next start or logout.
    pub(crate) fn bad(id: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Bad, id, text: text.into(), fix: Some(fix.into()) }
    }
}

/// The name of a user for people, or the number of one without an account.
pub(crate) type Names<'a> = &'a dyn Fn(u32) -> String;
