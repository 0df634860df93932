//! Asks `systemctl`, within a time limit.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit;

/// Longest wait for an answer, in the middle of a restart of systemd too.
const LONGEST: Duration = Duration::from_secs(15);
/// Longest wait for the end of one that was killed.
const KILLED: Duration = Duration::from_secs(1);
/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// Far more than any unit has.
const MOST_BYTES: usize = 4 << 20;

/// Why there is no answer, with the exit status that stands for it.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) status: u8,
    pub(crate) text: String,
}

fn no_answer(status: u8, text: impl Into<String>) -> NoAnswer {
    NoAnswer { status, text: text.into() }
}

/// Returns what `systemctl ARGS...` prints.
pub(crate) fn systemctl(args: &[&str]) -> Result<String, NoAnswer> {
    systemctl_within(args, LONGEST)
}

/// The same, with a limit of the caller's own.
pub(crate) fn systemctl_within(args: &[&str], longest: Duration) -> Result<String, NoAnswer> {
    let mut command = Command::new("systemctl");
    command.args(args).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            no_answer(exit::UNSUPPORTED, "there is no systemctl here, so no systemd to ask")
        }
        _ => no_answer(exit::FAILED, format!("cannot start systemctl: {error}")),
    })?;
    let Some(Said { out, err, ended }) = listen(&mut child, longest) else {
        let args = args.join(" ");
        let text = format!("systemctl {args} said too much, or did not end in {longest:?}");
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

/// The output of a process, and its end.
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
    ended: io::Result<ExitStatus>,
}

/// Hears a process out; kills it where that takes too long, or is too much.
fn listen(child: &mut Child, longest: Duration) -> Option<Said> {
    let deadline = Instant::now() + longest;
    let said = read_all(child, deadline)
        .and_then(|(out, err)| Some(Said { out, err, ended: wait(child, deadline)? }));
    if said.is_none() {
        let _ = child.kill();
        // Reaped where it can be; one that the kernel holds is not waited for.
        let _ = wait(child, Instant::now() + KILLED);
    }
    said
}

/// Waits for its end; `None` where it has not ended until then. It may close its outputs and live
/// on.
fn wait(child: &mut Child, deadline: Instant) -> Option<io::Result<ExitStatus>> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() >= deadline => return None,
            Ok(None) => std::thread::sleep(PAUSE),
            Ok(Some(ended)) => return Some(Ok(ended)),
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Both outputs to their ends; `None` where that takes too long, or is too much.
fn read_all(child: &mut Child, deadline: Instant) -> Option<(Vec<u8>, Vec<u8>)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, longest: Duration) -> Option<Said> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = listen(&mut child, longest);
        assert!(child.try_wait().unwrap().is_some(), "nothing is left behind: {script}");
        said
    }

    #[test]
    fn one_that_closes_its_outputs_and_lives_on_is_not_waited_for() {
        let begun = Instant::now();
        for script in ["exec >&- 2>&-; exec sleep 60", "exec sleep 60", "echo a; exec sleep 60"] {
            assert!(shell(script, Duration::from_millis(200)).is_none(), "{script}");
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[test]
    fn too_much_is_cut_off_and_both_outputs_come_with_the_status() {
        assert!(shell("exec cat /dev/zero", LONGEST).is_none());
        assert!(shell("exec cat /dev/zero >&2", LONGEST).is_none());
        let said = shell("printf a; printf b >&2; exit 3", LONGEST).unwrap();
        assert_eq!((said.out.as_slice(), said.err.as_slice()), (&b"a"[..], &b"b"[..]));
        assert_eq!(said.ended.unwrap().code(), Some(3));
    }
}
