//! Names for where we are: boot, namespaces, the file system at `/dev/shm`.
//!
//! A name must never come to mean another place. Inode numbers of namespaces do (they are given
//! out again at once), so `NS_GET_ID` is asked first.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::object::Place;
use crate::proc::{Seen, read};
use crate::sys::{files, namespace};

use super::sight;

/// `PROC_IPC_INIT_INO`, `PROC_PID_INIT_INO` (`linux/proc_ns.h`): never given out again.
const INITIAL: [u64; 2] = [0xEFFF_FFFF, 0xEFFF_FFFC];

/// Checks that an inode is that of a namespace that the machine started with.
#[must_use]
pub fn is_initial(inode: u64) -> bool {
    INITIAL.contains(&inode)
}

/// The place of this process.
///
/// # Errors
/// [`Error::Unsupported`] where `/proc` does not tell.
pub fn here() -> Result<Place> {
    if !sight::proc_is_own() {
        return Err(Error::Unsupported(format!(
            "/proc does not show this process under its own pid, {}: it is the /proc of another \
             PID namespace, or there is none, and who lives cannot be told by it; mount one here \
             first (mount -t proc proc /proc)",
            std::process::id()
        )));
    }
    let boot = read::boot_id().map_err(|error| {
        Error::Unsupported(format!("cannot tell this boot from another without /proc: {error}"))
    })?;
    Ok(Place {
        boot,
        ipc_namespace: namespace("ipc")?,
        pid_namespace: namespace("pid")?,
        shm_mount: shm_mount_here()?,
    })
}

/// The name of a namespace of this process.
fn namespace(kind: &str) -> Result<String> {
    let path = format!("/proc/self/ns/{kind}");
    let file = File::open(&path).map_err(|error| {
        Error::Unsupported(format!(
            "cannot tell this {kind} namespace from another: {path}: {error}"
        ))
    })?;
    // Asked again where it fails: by its other name the same namespace would be another one.
    let id = namespace::id(file.as_fd()).or_else(|_| namespace::id(file.as_fd()));
    if let Ok(id) = id {
        return Ok(format!("id:{id}"));
    }
    let inode = file.metadata().map_err(Error::io("cannot look at", Path::new(&path)))?.ino();
    let first = match read::stat(1) {
        Ok(Seen::Here(stat)) => Some(stat.start_ticks),
        _ => None,
    };
    Ok(name_by_inode(inode, first))
}

/// Before Linux 6.18: the inode, with the start time of the namespace's first process.
fn name_by_inode(inode: u64, first_process_start: Option<u64>) -> String {
    match first_process_start {
        _ if is_initial(inode) => format!("inode:{inode}"),
        Some(start) => format!("inode:{inode}/first:{start}"),
        None => format!("inode:{inode}/first:unknown"),
    }
}

/// The file system at `/dev/shm`: by its random id, which a bind mount and another mount namespace
/// share and a later tmpfs does not. Where the kernel gives none (before 5.14) by its device, which
/// they share too, and no other that is mounted at the same time has. A later one may get it: files
/// have no birth times there either, and are told apart by when they were changed.
#[must_use]
pub fn shm_mount() -> Option<String> {
    shm_mount_at(Path::new(super::shm_files::DIRECTORY)).ok()?
}

/// The same, where a failure to look is no absence.
fn shm_mount_here() -> Result<Option<String>> {
    let path = Path::new(super::shm_files::DIRECTORY);
    match shm_mount_at(path) {
        Ok(mount) => Ok(mount),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        Err(error) => Err(Error::io("cannot look at", path)(error)),
    }
}

/// The file system at another process's `/dev/shm`; `Ok(None)` where that is no tmpfs.
///
/// # Errors
/// What the kernel says, above all where the process may not be looked into.
pub fn shm_mount_of(pid: i32) -> std::io::Result<Option<String>> {
    shm_mount_at(Path::new(&format!("/proc/{pid}/root{}", super::shm_files::DIRECTORY)))
}

fn shm_mount_at(directory: &Path) -> std::io::Result<Option<String>> {
    let dir = File::open(directory)?;
    let system = files::file_system(dir.as_fd())?;
    if !system.is_tmpfs {
        return Ok(None);
    }
    let facts = files::facts(dir.as_fd())?;
    Ok(Some(name_of_tmpfs(system.fsid, facts.dev)))
}

/// A mount id would tell one mount namespace from another, and so a service's from its hooks'.
fn name_of_tmpfs(fsid: u64, dev: u64) -> String {
    match fsid {
        0 => format!("device:{dev}"),
        fsid => format!("tmpfs:{fsid:016x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_inode_that_is_given_out_again_gets_another_name() {
        assert_ne!(
            name_by_inode(4_026_532_177, Some(100)),
            name_by_inode(4_026_532_177, Some(200))
        );
        assert_eq!(name_by_inode(0xEFFF_FFFF, Some(100)), name_by_inode(0xEFFF_FFFF, None));
    }

    #[test]
    fn a_tmpfs_without_an_id_of_its_own_is_named_by_its_device() {
        assert_eq!(name_of_tmpfs(0, 55), name_of_tmpfs(0, 55));
        assert_ne!(name_of_tmpfs(0, 55), name_of_tmpfs(0, 56));
        assert_ne!(name_of_tmpfs(55, 1), name_of_tmpfs(0, 55));
    }

    #[test]
    fn this_place_has_the_same_name_twice() {
        assert_eq!(here().unwrap(), here().unwrap());
    }
}
