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
            let text = record.args().to_string().replace('\n', " ");
            if journal {
                writeln!(out, "<{}>{text}", priority(record.level()))
            } else {
                writeln!(out, "shmwarden: {}{text}", word(record.level()))
            }
        })
        .init();
}

/// Whether stderr is the journal's socket (`$JOURNAL_STREAM`, `systemd.exec(5)`).
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
