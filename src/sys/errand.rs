//! Errands: children that act as another user for good, and send back what they found.
//!
//! A file system that a user keeps may not answer (a FUSE mount, a dead server), and a wait for it
//! may not even end with SIGKILL. Such a wait is a child's, never the caller's: at the end of its
//! time the child is killed, and left alone where it does not end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::{Result, process, signals, user};

/// Most that one errand may send back, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// A child on its way.
#[derive(Debug)]
pub struct Errand {
    pid: i32,
    pipe: File,
    said: Vec<u8>,
    is_over: bool,
}

/// The result of an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All that `body` gave.
    Whole(Vec<u8>),
    /// It did not come back in time.
    Late,
    /// It ended before it had said all: it was killed, or could not take on that user's rights.
    Ended,
}

impl Errand {
    /// Sends a child out that has the rights of this user and group and no others, that holds no
    /// descriptor of this process, and that gives back what `body` returns.
    /// `None` leaves it the caller's own rights. Only for a process with one thread.
    ///
    /// # Errors
    /// What `pipe2` and `fork` say.
    pub fn send(owner: Option<(u32, u32)>, body: impl FnOnce() -> Vec<u8>) -> Result<Self> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        let parent = std::process::id();
        let pid = process::fork_for(|| i32::from(run(parent, owner, &theirs, body).is_err()))?;
        drop(theirs);
        Ok(Self { pid, pipe: ours.into(), said: Vec::new(), is_over: false })
    }

    /// Takes what the pipe has now.
    fn hear(&mut self) {
        let mut room = [0; 64 << 10];
        match self.pipe.read(&mut room) {
            Ok(count) => {
                self.said.extend_from_slice(room.get(..count).unwrap_or_default());
                self.is_over = count == 0 || self.said.len() as u64 > MOST_BYTES;
            }
            Err(error) => self.is_over = error.kind() != std::io::ErrorKind::Interrupted,
        }
    }

    /// Returns its answer, which has its length first, so that a part is never taken for all.
    fn answer(self) -> Answer {
        if !self.is_over {
            return Answer::Late;
        }
        let (length, said) = self.said.split_at_checked(8).unwrap_or_default();
        match length.try_into().map(u64::from_ne_bytes) {
            Ok(length) if length == said.len() as u64 => Answer::Whole(said.to_vec()),
            _ => Answer::Ended,
        }
    }
}

/// Hears all errands out, until the deadline; none is left running that can be ended. The answers
/// are in the order of the errands.
#[must_use]
pub fn gather(mut errands: Vec<Errand>, deadline: Instant) -> Vec<Answer> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let open = errands.iter_mut().filter(|errand| !errand.is_over);
        let mut open: Vec<&mut Errand> = open.collect();
        if open.is_empty() || left.is_zero() {
            break;
        }
        let fds = open.iter().map(|errand| PollFd::new(errand.pipe.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut fds, timeout);
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (errand, is_ready) in open.iter_mut().zip(ready) {
            if is_ready {
                errand.hear();
            }
        }
    }
    for errand in &errands {
        let _ = signals::send(errand.pid, nix::libc::SIGKILL);
    }
    for errand in &errands {
        reap(errand.pid, errand.is_over);
    }
    errands.into_iter().map(Errand::answer).collect()
}

/// Reaps a child that was killed; one that the kernel holds is not waited for.
pub(super) fn reap(pid: i32, is_over: bool) {
    let tries = if is_over { 100 } else { 10 };
    for _ in 0..tries {
        match process::reap(pid) {
            Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

/// The child's part.
fn run(
    parent: u32,
    owner: Option<(u32, u32)>,
    to: &OwnedFd,
    body: impl FnOnce() -> Vec<u8>,
) -> std::io::Result<()> {
    enter(parent, owner, to.as_raw_fd())?;
    let said = body();
    let length = (said.len() as u64).to_ne_bytes();
    let mut to = File::from(to.try_clone()?);
    to.write_all(&length)?;
    to.write_all(&said)
}

/// Makes of a child that was just forked one with the rights of this user and group, that holds no
/// descriptor of its parent's but this one, and that ends with its parent.
pub(super) fn enter(parent: u32, owner: Option<(u32, u32)>, kept: i32) -> Result<()> {
    close_all_but(kept).ok_or(Errno::EBADF)?;
    if let Some((uid, gid)) = owner {
        user::become_for_good(uid, gid)?;
    }
    // After the change of user, which takes it back.
    process::die_with_parent(nix::libc::SIGKILL)?;
    if u32::try_from(nix::unistd::getppid().as_raw()) == Ok(parent) {
        Ok(())
    } else {
        Err(Errno::ESRCH)
    }
}

/// Closes every descriptor but this one, and has standard error lead nowhere: neither a lock that
/// the parent holds nor the pipe of whoever waits for its output may live on in a child that does
/// not end.
fn close_all_but(kept: i32) -> Option<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null").ok()?;
    // SAFETY: dup2 replaces a descriptor of this process, which no destructor here closes.
    unsafe { libc::dup2(nowhere.as_raw_fd(), 2) };
    drop(nowhere);
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<i32> = numbers.collect();
    for number in numbers.into_iter().filter(|number| ![2, kept].contains(number)) {
        // SAFETY: the child ends without running destructors of what it inherited, and uses none
        // of these again.
        unsafe { libc::close(number) };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn each_answer_is_whole_and_at_its_errands_place() {
        let large = vec![b'x'; 1 << 20];
        let (first, second) = (large.clone(), Vec::new());
        let errands = vec![
            Errand::send(None, || first).unwrap(),
            Errand::send(None, || second).unwrap(),
            Errand::send(None, || b"c".to_vec()).unwrap(),
        ];
        let whole = [large, Vec::new(), b"c".to_vec()].map(Answer::Whole);
        assert_eq!(gather(errands, soon()), whole);
    }

    #[test]
    fn one_that_does_not_come_back_is_late_and_the_others_are_heard() {
        let begun = Instant::now();
        let sleeps = || {
            std::thread::sleep(Duration::from_secs(60));
            Vec::new()
        };
        let errands = vec![
            Errand::send(None, sleeps).unwrap(),
            Errand::send(None, || b"b".to_vec()).unwrap(),
        ];
        let (pid, quick) = (errands[0].pid, nix::unistd::Pid::from_raw(errands[1].pid));
        // On a busy machine it may take as long as the other is waited for.
        waitid(Id::Pid(quick), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        let answers = gather(errands, Instant::now() + Duration::from_secs(1));
        assert_eq!(answers, [Answer::Late, Answer::Whole(b"b".to_vec())]);
        // It was killed, and is reaped, or will be once the kernel has ended it.
        while matches!(process::reap(pid), Ok(None)) {
            assert!(begun.elapsed() < Duration::from_secs(40), "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(begun.elapsed() < Duration::from_secs(40));
    }

    #[test]
    fn one_that_is_killed_has_said_nothing() {
        let killed = || {
            signals::send(std::process::id() as i32, nix::libc::SIGKILL).unwrap();
            b"never".to_vec()
        };
        let errands = vec![Errand::send(None, killed).unwrap()];
        assert_eq!(gather(errands, soon()), [Answer::Ended]);
    }

    #[test]
    fn it_holds_no_descriptor_of_its_senders() {
        let file = File::open("/dev/null").unwrap();
        let fd = file.as_raw_fd();
        let body = move || vec![u8::from(std::fs::metadata(format!("/proc/self/fd/{fd}")).is_ok())];
        let errands = vec![Errand::send(None, body).unwrap()];
        let answer = gather(errands, soon());
        drop(file);
        assert_eq!(answer, [Answer::Whole(vec![0])]);
    }
}
