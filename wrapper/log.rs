//! Log lines to stderr, for a person or for the journal. Never waits for whoever reads them.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use log::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cli::Common;

/// Starts logging: the level from `-q`, `-v` or `SHMWARDEN_LOG`, `info` without any.
pub(crate) fn start(common: &Common) {
    let filter = match (common.quiet, common.verbose) {
        (true, _) => "error".to_owned(),
        (_, true) => "debug".to_owned(),
        _ => std::env::var("SHMWARDEN_LOG").unwrap_or_else(|_| "info".to_owned()),
    };
    let journal = is_journal();
    env_logger::Builder::new()
        .parse_filters(&filter)
        .target(env_logger::Target::Pipe(Box::new(Unhurried)))
        .format(move |out, record| {
            let text = harmless(&record.args().to_string());
            if journal {
                writeln!(out, "<{}>{text}", priority(record.level()))
            } else {
                writeln!(out, "shmwarden: {}{text}", word(record.level()))
            }
        })
        .init();
}

/// A line without anything that a terminal would act on: paths and names come from strangers.
fn harmless(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => line.push(' '),
            '"' | '\'' | '\\' => line.push(c),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

/// Checks that stderr is the journal's socket (`$JOURNAL_STREAM`, `systemd.exec(5)`).
pub(crate) fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else {
        return false;
    };
    let Ok(metadata) = std::fs::File::from(stderr).metadata() else {
        return false;
    };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}

/// `sd-daemon(3)`.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug | Level::Trace => "debug: ",
    }
}

/// stderr, as long as it takes what it is given at once: a reader that has stopped must not stop
/// the launcher, and with it the signals for the server. What does not fit is lost.
struct Unhurried;

impl Write for Unhurried {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(ready) if ready > 0 => stderr.lock().write(bytes),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_in_a_line_does_nothing_to_a_terminal() {
        assert_eq!(
            harmless("a\x1b[2Jb\r\u{202e}\nit's \"é\" \\"),
            "a\\u{1b}[2Jb\\r\\u{202e} it's \"é\" \\"
        );
    }
}
