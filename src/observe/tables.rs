//! What a listing shows beyond what a removal has to know: sets, queues, all of a file's facts,
//! resident memory. Each part costs nothing where the scope does not ask for it.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::{Scope, shm_files};
use crate::error::Result;
use crate::object::{Bytes, Identity, Key, ShmFile};
use crate::proc::syscall::WaitsFor;
use crate::sys::files::FileFacts;
use crate::sys::sem::Members;
use crate::sys::{msg, sem};

/// A semaphore set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its row in the table.
    pub row: sem::Row,
    /// What its members tell; `None` where they may not be asked.
    pub members: Option<Members>,
}

/// A regular file in `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Name without `/dev/shm/`.
    pub name: Bytes,
    /// What `statx` says.
    pub facts: FileFacts,
    /// What it is recognised by; `None` where the file system keeps no birth times.
    pub identity: Option<ShmFile>,
}

/// What a listing shows beyond what a removal has to know.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// The semaphore sets of this IPC namespace.
    pub sets: Vec<Set>,
    /// The message queues of this IPC namespace.
    pub queues: Vec<msg::Row>,
    /// The files in `/dev/shm`, those included that cannot be recognised again.
    pub files: Vec<ListedFile>,
    /// Bytes in memory of each segment, by id; `None` where that was not asked for.
    pub resident: Option<BTreeMap<i32, u64>>,
    /// The key that each mapped segment was made under, by id: it stays there when the segment is
    /// marked for destruction and its key in the table is 0.
    pub keys: BTreeMap<i32, Key>,
    /// Whether processes of other users may be hidden (`hidepid`, proc(5)).
    pub hides: bool,
    /// What may be a server's list of its dynamic shared memory and could not be read.
    pub unread: Vec<Identity>,
    /// What processes are blocked on, where that was looked for.
    pub blocked: Vec<(i32, WaitsFor)>,
    /// Whether it was looked for what processes are blocked on, and who could not be asked.
    pub closed: Option<Vec<i32>>,
    /// What could not be looked at, as sentences.
    pub trouble: Vec<String>,
}

/// Fills in what the scope asks for, files excepted.
pub(super) fn look(scope: Scope, extra: &mut Extra) {
    if scope.sets {
        match sem::table() {
            Ok(rows) => extra.sets = rows.into_iter().map(set).collect(),
            Err(errno) => extra.trouble.push(barred("semaphore sets", errno)),
        }
    }
    if scope.queues {
        match msg::table() {
            Ok(rows) => extra.queues = rows,
            Err(errno) => extra.trouble.push(barred("message queues", errno)),
        }
    }
    if scope.resident {
        match crate::proc::read::sysvipc_shm() {
            Ok(table) => {
                let rows = table.rows.into_iter();
                extra.resident = Some(rows.map(|row| (row.id, row.rss)).collect());
            }
            Err(error) => extra.trouble.push(format!("cannot tell what is resident: {error}")),
        }
    }
}

fn set(row: sem::Row) -> Set {
    let members = sem::members(row.id, row.members).ok();
    Set { row, members }
}

fn barred(what: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOSYS => format!("this kernel has no {what}"),
        Errno::EINVAL => format!("cannot list {what}: Linux 4.17 or later is needed"),
        other => format!("cannot list {what}: {}", other.desc()),
    }
}

/// Every regular file directly in `/dev/shm`.
pub(super) fn files(mount: Option<&str>) -> Result<Vec<ListedFile>> {
    let mut found = Vec::new();
    shm_files::each(mount, |name, mount, facts| {
        let identity = shm_files::identity(name, mount, &facts);
        let name = Bytes(name.to_vec());
        found.push(ListedFile { name, facts, identity });
    })?;
    Ok(found)
}
