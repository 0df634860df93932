//! The processes that could use a set or queue by its owner, group and mode, used or not: neither
//! has an nattch that would tell.

use super::{Process, Seen, Table};
use crate::proc::read;

/// A living process as far as its rights go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its pid.
    pub pid: i32,
    /// Real, effective, saved and file system user id; `None` where they could not be read.
    pub uids: Option<[u32; 4]>,
    /// Its group ids and supplementary groups; `None` where they could not be read.
    pub groups: Option<Vec<u32>>,
    /// Set where it is in the onlooker's IPC namespace; `None` where that cannot be seen. In
    /// another one no id means an object of this one.
    pub same_ipc: Option<bool>,
}

/// Reads the rights of each process that has not ended. Of those that were not looked at it is not
/// known what they may use.
#[must_use]
pub fn look(processes: &Table<Process>) -> Table<Caller> {
    let own_pid = i32::try_from(std::process::id()).unwrap_or(0);
    let ipc_of = |pid: i32| read::namespace_inode(pid, "ipc").unwrap_or(Seen::Denied);
    let own_ipc = ipc_of(own_pid).here();
    let living = processes.seen().filter(|process| !process.ended);
    let callers = living.filter_map(|process| {
        let pid = process.process.pid;
        let same_ipc = match ipc_of(pid) {
            Seen::Here(its) => own_ipc.map(|own| its == own),
            // It has ended since the processes were listed, though its parent has not reaped it.
            Seen::Gone => return None,
            Seen::Denied => None,
        };
        let (uids, groups) = match read::status(pid) {
            Ok(Seen::Here(status)) => {
                let groups = status.gids.into_iter().chain(status.groups).collect();
                (Some(status.uids), Some(groups))
            }
            Ok(Seen::Gone) => return None,
            Ok(Seen::Denied) | Err(_) => (process.uids, None),
        };
        Some(Caller { pid, uids, groups, same_ipc })
    });
    let callers = callers.collect();
    match processes.missing() {
        None => Table::Whole(callers),
        Some(what) => Table::Part(callers, what.to_owned()),
    }
}
