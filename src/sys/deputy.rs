//! Deputies: children that act as another user for good, and do one task after the other.
//!
//! That user may end a deputy, stop it or slow it down at any moment: it is waited for with a
//! bound, and what it says is trusted no further than the user.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Result, errand, job, process, signals};

/// How often a deputy that does not answer is looked at, in milliseconds.
const LOOK_MS: i64 = 100;
/// How long a deputy may stand still that was stopped.
const STOPPED: Duration = Duration::from_secs(2);
/// Longest that a task may take: the kernel needs a while to free very large memory.
const LONGEST: Duration = Duration::from_secs(120);
/// Most that a deputy may say of one task, in bytes.
const MOST_BYTES: usize = 4096;

/// A deputy at work.
#[derive(Debug)]
pub struct Deputy {
    pid: i32,
    socket: OwnedFd,
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What `work` gave.
    Said(Vec<u8>),
    /// It could not take on the user's rights, and did nothing.
    Refused(Errno),
    /// It was stopped, or took too long.
    Late,
    /// It ended before it had answered.
    Ended,
}

impl Deputy {
    /// Sends out a child that has the rights of this user and group and no others, and that holds
    /// no descriptor of this process; it answers each number with what `work` returns for it.
    /// Only for a process with one thread.
    ///
    /// # Errors
    /// What `socketpair` and `fork` say.
    pub fn send(owner: (u32, u32), work: impl FnMut(u64) -> Vec<u8>) -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::milliseconds(LOOK_MS))?;
        let parent = std::process::id();
        let pid = process::fork_for(|| serve(parent, owner, &theirs, work))?;
        Ok(Self { pid, socket: ours })
    }

    /// Gives it a task, and waits for what comes of it. One that was late or has ended is of no
    /// more use.
    pub fn ask(&mut self, number: u64) -> Reply {
        match send(self.socket.as_raw_fd(), &number.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => self.hear(),
            Err(_) => Reply::Ended,
        }
    }

    fn hear(&self) -> Reply {
        let begun = Instant::now();
        let mut room = [0; MOST_BYTES];
        let mut stopped: Option<Instant> = None;
        loop {
            match recv(self.socket.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Ok(count) => return reply(room.get(..count).unwrap_or_default()),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return Reply::Ended,
            }
            let is_stopped = job::is_stopped(self.pid).unwrap_or(false);
            stopped = is_stopped.then(|| stopped.unwrap_or_else(Instant::now));
            let stands = stopped.is_some_and(|since| since.elapsed() >= STOPPED);
            if stands || begun.elapsed() >= LONGEST {
                return Reply::Late;
            }
        }
    }
}

impl Drop for Deputy {
    fn drop(&mut self) {
        let _ = signals::send(self.pid, nix::libc::SIGKILL);
        errand::reap(self.pid, true);
    }
}

/// Takes apart what a deputy says: its first four bytes are an error, or 0.
fn reply(said: &[u8]) -> Reply {
    let Some((errno, said)) = said.split_at_checked(4) else { return Reply::Ended };
    match errno.try_into().map(i32::from_ne_bytes) {
        Ok(0) => Reply::Said(said.to_vec()),
        Ok(errno) => Reply::Refused(Errno::from_raw(errno)),
        Err(_) => Reply::Ended,
    }
}

/// Does the child's part, until the other end is closed.
fn serve(
    parent: u32,
    owner: (u32, u32),
    socket: &OwnedFd,
    mut work: impl FnMut(u64) -> Vec<u8>,
) -> i32 {
    let socket = socket.as_raw_fd();
    let entered = errand::enter(parent, Some(owner), socket);
    loop {
        let mut number = [0; 8];
        match recv(socket, &mut number, MsgFlags::empty()) {
            Ok(8) => {}
            Err(Errno::EINTR) => continue,
            _ => return 0,
        }
        let errno = entered.err().map_or(0, |errno| errno as i32);
        let mut said = errno.to_ne_bytes().to_vec();
        if errno == 0 {
            said.extend(work(u64::from_ne_bytes(number)));
        }
        if send(socket, &said, MsgFlags::MSG_NOSIGNAL).is_err() || errno != 0 {
            return 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::user;

    const NOBODY: (u32, u32) = (65534, 65534);

    fn double(number: u64) -> Vec<u8> {
        if number == 13 {
            signals::send(std::process::id() as i32, nix::libc::SIGKILL).unwrap();
        }
        if number == 14 {
            signals::send(std::process::id() as i32, nix::libc::SIGSTOP).unwrap();
        }
        (2 * number).to_ne_bytes().to_vec()
    }

    #[test]
    fn each_task_has_its_answer_until_it_is_ended_or_stopped() {
        if user::effective() != 0 {
            return;
        }
        for (number, end) in [(13, Reply::Ended), (14, Reply::Late)] {
            let mut deputy = Deputy::send(NOBODY, double).unwrap();
            for number in 0..5_u64 {
                let twice = (2 * number).to_ne_bytes().to_vec();
                assert_eq!(deputy.ask(number), Reply::Said(twice));
            }
            assert_eq!(deputy.ask(number), end);
            let pid = deputy.pid;
            drop(deputy);
            assert!(process::reap(pid).is_err(), "it was ended, and reaped");
        }
    }

    #[test]
    fn it_has_that_users_rights_alone_and_no_way_back() {
        if user::effective() != 0 {
            return;
        }
        let work = |_| {
            let ids = nix::unistd::getresuid().unwrap();
            let back = nix::unistd::seteuid(nix::unistd::Uid::from_raw(0)).is_ok();
            let ids = [ids.real, ids.effective, ids.saved].map(nix::unistd::Uid::as_raw);
            format!("{ids:?} {back}").into_bytes()
        };
        let said = Deputy::send(NOBODY, work).unwrap().ask(0);
        assert_eq!(said, Reply::Said(b"[65534, 65534, 65534] false".to_vec()));
    }

    #[test]
    fn who_may_not_act_as_another_user_is_told_so() {
        if user::effective() == 0 {
            return;
        }
        let said = Deputy::send((0, 0), |_| Vec::new()).unwrap().ask(0);
        assert_eq!(said, Reply::Refused(Errno::EPERM));
    }
}
