//! Which of the calls that older kernels lack this one has: by trying, since distributions carry
//! calls back and filters forbid others.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use shmwarden::snapshot::{place, shm_files};
use shmwarden::sys::pidfd::PidFd;
use shmwarden::sys::{features, files, namespace, shm};

/// What was tried. `None` where nothing was there to try it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    /// `NS_GET_ID` (6.18): a namespace has a number that does not come back.
    pub(crate) namespace_id: Option<bool>,
    /// Whether this is the machine's own IPC namespace, which needs no such number.
    pub(crate) initial_ipc: Option<bool>,
    /// `SHM_STAT_ANY` (4.17): tables without a permission check.
    pub(crate) stat_any: Option<bool>,
    /// `pidfd_open` (5.3).
    pub(crate) pidfd: Option<bool>,
    /// `PIDFD_GET_INFO` (6.13).
    pub(crate) pidfd_info: Option<bool>,
    /// `PROCMAP_QUERY` (6.11).
    pub(crate) procmap_query: Option<bool>,
    /// Birth times of files in `/dev/shm`.
    pub(crate) birth_time: Option<bool>,
}

/// Tries each.
pub(crate) fn try_all() -> Features {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let ipc = File::open("/proc/self/ns/ipc").ok();
    let pidfd = PidFd::open(own);
    let shm_directory = File::open(shm_files::DIRECTORY).ok();
    Features {
        namespace_id: ipc.as_ref().map(|file| namespace::id(file.as_fd()).is_ok()),
        initial_ipc: ipc.and_then(|file| Some(place::is_initial(file.metadata().ok()?.ino()))),
        stat_any: stat_any(),
        pidfd_info: Some(
            pidfd.as_ref().is_ok_and(|pidfd| features::pidfd_info(pidfd.as_fd()).is_ok()),
        ),
        pidfd: Some(pidfd.is_ok()),
        procmap_query: File::open("/proc/self/maps")
            .ok()
            .map(|maps| features::procmap_query(&maps).is_ok()),
        birth_time: shm_directory
            .and_then(|directory| files::facts(directory.as_fd()).ok())
            .map(|facts| facts.born.is_some()),
    }
}

/// Tried on what there is: without a segment there is nothing to tell a missing call by.
fn stat_any() -> Option<bool> {
    match shm::table() {
        Ok(rows) if rows.is_empty() => None,
        Ok(_) => Some(true),
        Err(Errno::ENOSYS) => None,
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_answered_and_closes_nothing() {
        let mut open = File::open("/proc/self/stat").unwrap();
        let first = try_all();
        assert_eq!(first.pidfd, Some(true));
        assert!(first.namespace_id.is_some(), "{first:?}");
        assert_eq!(first, try_all());
        assert!(!std::io::read_to_string(&mut open).unwrap().is_empty());
    }
}
