//! COMMAND: the file it means, and all that the child gets back of what the launcher was given.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};
use shmwarden::sys::gate::Program;
use shmwarden::sys::signals::Mask;
use shmwarden::sys::{entry, signals};

use crate::exit;

/// Variables that name the process they are for by its pid.
const PID_VARIABLES: [&str; 3] = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
/// The one that names it by the inode of its descriptor (`sd_listen_fds(3)`, systemd 258).
const PIDFD_VARIABLE: &str = "LISTEN_PIDFDID";

/// Resolves COMMAND as `execvp(3)` does: a bare name is looked for in `PATH`, once.
///
/// # Errors
/// The status to end with (126 or 127) and a sentence.
pub(crate) fn resolve(command: &OsStr) -> Result<PathBuf, (u8, String)> {
    let not_found = |why: &str| {
        let shown = command.to_string_lossy();
        Err((exit::NOT_FOUND, format!("cannot execute {}: {why}", shown.escape_debug())))
    };
    if command.is_empty() {
        return not_found("the command is empty");
    }
    if command.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(command));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut forbidden = None;
    for directory in std::env::split_paths(&path) {
        let file = directory.join(command);
        match std::fs::metadata(&file) {
            Ok(found) if found.is_file() && eaccess(&file, AccessFlags::X_OK).is_ok() => {
                return Ok(file);
            }
            Ok(_) => forbidden = Some((file, "it is not an executable file".to_owned())),
            Err(error) if error.raw_os_error() == Some(Errno::EACCES as i32) => {
                forbidden = forbidden.or(Some((file, error.to_string())));
            }
            Err(_) => {}
        }
    }
    match forbidden {
        Some((file, why)) => {
            Err((exit::CANNOT_EXECUTE, format!("cannot execute {}: {why}", file.display())))
        }
        None => not_found("there is no such command in PATH"),
    }
}

/// Prepares the call of `execve`, with the signal mask that the launcher was started with.
///
/// # Errors
/// A sentence where an argument has a NUL byte.
pub(crate) fn build(path: &Path, command: &[OsString], mask: Mask) -> Result<Program, String> {
    let text = |bytes: &OsStr| {
        CString::new(bytes.as_bytes()).map_err(|_| "an argument has a NUL byte".to_owned())
    };
    let args = command.iter().map(|arg| text(arg)).collect::<Result<Vec<_>, _>>()?;
    let environment = entry::environment();
    let mut program = Program::new(text(path.as_os_str())?, args, environment, mask);
    program.rewrite_pids(&PID_VARIABLES);
    program.rewrite_pidfd_inode(PIDFD_VARIABLE);
    program.ignore_sigpipe = entry::sigpipe_was_ignored();
    program.ignore_sigxfsz = entry::sigxfsz_was_ignored();
    program.ignore_sigchld = signals::is_ignored(nix::libc::SIGCHLD);
    program.closed = entry::closed_descriptors();
    Ok(program)
}

/// The status and sentence for an exec that failed.
pub(crate) fn exec_failed(path: &Path, errno: i32) -> (u8, String) {
    let errno = Errno::from_raw(errno);
    let status = match errno {
        Errno::ENOENT => exit::NOT_FOUND,
        _ => exit::CANNOT_EXECUTE,
    };
    (status, format!("cannot execute {}: {}", path.display(), errno.desc()))
}
