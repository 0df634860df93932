//! The waits of processes: who is blocked on a set or queue.

use super::{Process, Seen, Table};
use crate::proc::read;
pub use crate::proc::syscall::WaitsFor;

/// A process that uses an object, how often, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<T> {
    /// Its pid.
    pub pid: i32,
    /// The set or queue that it uses.
    pub what: T,
    /// Threads that are blocked.
    pub times: u64,
}

/// The processes that wait for a set or queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// Processes of this IPC namespace that are blocked on one.
    pub blocked: Vec<Found<WaitsFor>>,
    /// Pids of those that could not be asked.
    pub unasked: Vec<i32>,
}

impl Waits {
    /// Returns the pids of those that are blocked.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.blocked.iter().map(|found| found.pid)
    }
}

/// Asks the processes what they wait for.
#[must_use]
pub fn waits(processes: &Table<Process>) -> Waits {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let own_ipc = ipc_of(own);
    let (mut found, mut closed) = (Vec::new(), Vec::new());
    for process in processes.seen().filter(|process| !process.ended) {
        let pid = process.process.pid;
        let mut waits = match read::waits(pid).unwrap_or(Seen::Denied) {
            Seen::Here(waits) => waits,
            Seen::Gone => continue,
            Seen::Denied => {
                closed.push(pid);
                continue;
            }
        };
        // Another namespace has other sets under the same numbers.
        let is_elsewhere = || own_ipc.zip(ipc_of(pid)).is_some_and(|(own, its)| own != its);
        if waits.is_empty() || is_elsewhere() {
            continue;
        }
        waits.sort_unstable();
        for group in waits.chunk_by(|a, b| a == b) {
            found.extend(group.first().map(|&what| Found { pid, what, times: group.len() as u64 }));
        }
    }
    Waits { blocked: found, unasked: closed }
}

fn ipc_of(pid: i32) -> Option<u64> {
    read::namespace_inode(pid, "ipc").ok().and_then(Seen::here)
}
