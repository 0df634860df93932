//! What `systemctl` says, within a time limit.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit;

/// Longest wait for an answer, in the middle of a restart of systemd too.
const LONGEST: Duration = Duration::from_secs(15);
/// Far more than any unit has.
const MOST_BYTES: usize = 4 << 20;

/// Why there is no answer, with the exit status that stands for it.
#[derive(Debug)]
pub(in crate::command) struct NoAnswer {
    pub(in crate::command) status: u8,
    pub(in crate::command) text: String,
}

fn no_answer(status: u8, text: impl Into<String>) -> NoAnswer {
    NoAnswer { status, text: text.into() }
}

/// What `systemctl ARGS...` prints.
pub(in crate::command) fn systemctl(args: &[&str]) -> Result<String, NoAnswer> {
    let mut command = Command::new("systemctl");
    command.args(args).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            no_answer(exit::UNSUPPORTED, "there is no systemctl here, so no systemd to ask")
        }
        _ => no_answer(exit::FAILED, format!("cannot start systemctl: {error}")),
    })?;
    let read = read_all(&mut child);
    if read.is_none() {
        let _ = child.kill();
    }
    let ended = child.wait();
    let Some((out, err)) = read else {
        let text = format!("systemctl {} did not answer in {LONGEST:?}", args.join(" "));
        return Err(no_answer(exit::FAILED, text));
    };
    match ended {
        Ok(status) if status.success() => Ok(String::from_utf8_lossy(&out).into_owned()),
        Ok(_) => {
            let err = String::from_utf8_lossy(&err);
            let unbooted = err.contains("not been booted with systemd") || err.contains("to bus");
            let status = if unbooted { exit::UNSUPPORTED } else { exit::FAILED };
            let said = err.lines().next().unwrap_or("no reason given").to_owned();
            Err(no_answer(status, format!("systemctl {}: {said}", args.join(" "))))
        }
        Err(error) => Err(no_answer(exit::FAILED, format!("cannot wait for systemctl: {error}"))),
    }
}

/// Both outputs to their ends; `None` where that takes too long, or is too much.
fn read_all(child: &mut Child) -> Option<(Vec<u8>, Vec<u8>)> {
    let deadline = Instant::now() + LONGEST;
    let (mut stdout, mut stderr) = (child.stdout.take()?, child.stderr.take()?);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut fds = Vec::new();
        if out_open {
            fds.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        if err_open {
            fds.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut fds, timeout);
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>();
        if err_open && ready.pop() == Some(true) {
            err_open = take(&mut stderr, &mut err)?;
        }
        if out_open && ready.pop() == Some(true) {
            out_open = take(&mut stdout, &mut out)?;
        }
    }
    Some((out, err))
}

/// Takes what is there; false at the end.
fn take(from: &mut impl Read, into: &mut Vec<u8>) -> Option<bool> {
    let mut room = [0; 16 << 10];
    let count = match from.read(&mut room) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Some(true),
        other => other.ok()?,
    };
    into.extend_from_slice(room.get(..count)?);
    (into.len() <= MOST_BYTES).then_some(count > 0)
}
