//! Reading another process's memory without attaching what it has attached.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Copies up to `most_bytes` from `address` of a process, through `/proc/<pid>/mem` (`proc(5)`).
///
/// A file read, and not `process_vm_readv`: units with `SystemCallFilter=@system-service` have
/// the first and not the second. Needs what `ptrace(2)` calls `PTRACE_MODE_ATTACH`.
///
/// # Errors
/// `EACCES`, `EPERM` where ptrace would be refused; `EIO` where nothing is mapped there.
pub fn read(pid: i32, address: u64, most_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; most_bytes];
    let got = File::open(format!("/proc/{pid}/mem"))?.read_at(&mut bytes, address)?;
    bytes.truncate(got);
    Ok(bytes)
}
