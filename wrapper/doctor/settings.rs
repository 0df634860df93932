//! Settings of this IPC namespace and of `/dev/shm`. Pure.

use crate::finding::Finding;
use crate::host::kernel::Limits;

/// A `/dev/shm` of up to this many bytes is what a container gets where nobody asked for more.
const SMALL_SHM_BYTES: u64 = 64 << 20;

/// The mode of `/dev/shm`: every user may make files there, and remove his own only.
const ALL_USERS: u32 = 0o1777;

/// Findings on settings of this IPC namespace and of `/dev/shm`.
pub(crate) fn judge(limits: &Limits) -> Vec<Finding> {
    let mut findings = Vec::new();
    if limits.rmid_forced == Some(true) {
        findings.push(Finding::bad(
            "shm-rmid-forced",
            "kernel.shm_rmid_forced is 1: a segment goes with its last detach, so after a crash \
             PostgreSQL loses the only list of its dynamic shared memory, and /dev/shm fills up; \
             servers that keep an unattached segment on purpose lose it",
            "sysctl -w kernel.shm_rmid_forced=0, and in /etc/sysctl.d too",
        ));
    } else if limits.rmid_forced == Some(false) {
        findings.push(Finding::ok("shm-rmid-forced", "kernel.shm_rmid_forced is 0"));
    }
    if let Some(fs) = limits.shm_fs.filter(|fs| fs.is_tmpfs && fs.mode != ALL_USERS) {
        findings.push(Finding::warn(
            "dev-shm-mode",
            format!(
                "the mode of /dev/shm is {:04o}, of user {}, and has to be 1777: servers of other \
                 users cannot make shared memory there, or can remove that of others",
                fs.mode, fs.owner
            ),
            "as root: chmod 1777 /dev/shm",
        ));
    }
    match limits.shm_fs {
        None => findings.push(Finding::warn(
            "dev-shm",
            "there is no /dev/shm: POSIX shared memory does not work here",
            "mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        )),
        Some(fs) if !fs.is_tmpfs => findings.push(Finding::warn(
            "dev-shm",
            "/dev/shm is no tmpfs: shared memory there lies on a disk and outlives a boot, and \
             shmwarden records none of it",
            "mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        )),
        Some(fs) if fs.total_bytes > 0 && fs.total_bytes <= SMALL_SHM_BYTES => {
            findings.push(Finding::warn(
                "dev-shm",
                format!(
                    "/dev/shm has {} MiB in all, the little that a container gets where nobody \
                     asks for more: parallel queries fail with \"could not resize shared memory \
                     segment\"",
                    fs.total_bytes >> 20
                ),
                "give the container more: --shm-size=1g, or an emptyDir of medium Memory at \
                 /dev/shm",
            ));
        }
        Some(_) => findings.push(Finding::ok("dev-shm", "/dev/shm is a tmpfs of a fair size")),
    }
    findings
}
