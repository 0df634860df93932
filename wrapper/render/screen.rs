//! The screen: is stdout a terminal, how wide, and does it want colours.

use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;

use shmwarden::judge::status::Status;
use shmwarden::sys::terminal;

use crate::cli::Common;
use crate::finding::Level;

/// The kind of stdout.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Screen {
    /// Columns and rows, where it is a terminal.
    pub(crate) size: Option<(usize, usize)>,
    /// Set where it may be painted.
    pub(crate) colour: bool,
}

/// The size that a terminal without one is given.
const USUAL: (usize, usize) = (80, 24);
/// Characters of a line of prose where no terminal says.
const WIDTH: usize = 80;

impl Screen {
    /// Asks stdout; `NO_COLOR` as no-color.org has it.
    pub(crate) fn of_stdout(common: &Common) -> Self {
        if !stdout().is_terminal() {
            return Self::default();
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            size: Some(terminal::size(stdout().as_fd()).unwrap_or(USUAL)),
            colour: !(common.no_color || no_color || dumb),
        }
    }

    /// A heading.
    pub(crate) fn bold(self, text: String) -> String {
        self.paint("1", text)
    }

    /// Text in the colour of a verdict.
    pub(crate) fn verdict(self, verdict: Status, text: String) -> String {
        let code = match verdict {
            Status::Live => "32",
            Status::Held => "33",
            Status::Stale => "31",
            Status::Left | Status::Changed => "36",
            Status::Orphan => "35",
            Status::Idle | Status::Used | Status::Unrecorded => return text,
        };
        self.paint(code, text)
    }

    /// Text in the colour of how bad a finding is.
    pub(crate) fn level(self, level: Level, text: String) -> String {
        match level {
            Level::Bad => self.paint("31", text),
            Level::Warn => self.paint("33", text),
            Level::Ok => self.paint("32", text),
        }
    }

    /// Returns a paragraph, broken between words; the lines behind the first are indented.
    pub(crate) fn wrapped(self, text: &str, indent: usize) -> String {
        let width = self.size.map_or(WIDTH, |(columns, _)| columns.clamp(40, 100));
        let mut out = String::new();
        let mut column = indent;
        for word in text.split(' ') {
            let length = word.chars().count();
            if column > indent && column + 1 + length > width {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else if column > indent {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out
    }

    fn paint(self, code: &str, text: String) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }
}
