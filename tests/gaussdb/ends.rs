//! The ways to end (`postmaster.cpp`), and what each leaves.

use std::io::Write;
use std::process::exit;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::{READY, Server, threads};

/// Blocks the signals that a postmaster handles.
pub(crate) fn block() -> SigSet {
    use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    let signals: SigSet =
        [SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD].into_iter().collect();
    let _ = signals.thread_block();
    signals
}

/// Serves until a signal ends it.
pub(crate) fn wait(signals: &SigSet, server: Server) -> u8 {
    let _ = writeln!(std::io::stdout(), "{READY}");
    loop {
        match signals.wait() {
            Ok(Signal::SIGQUIT) => return immediate(server),
            // pmdie: during recovery both end it at once.
            Ok(Signal::SIGINT | Signal::SIGTERM) if server.starts => return immediate(server),
            Ok(Signal::SIGINT | Signal::SIGTERM) => return fast(server),
            // sigusr1_handler, PMSIGNAL_DMS_FAILOVER_TERM_BACKENDS, and PrepareDemoteResponse: a
            // change of roles that failed, and _exit(0): nothing at all is cleaned.
            Ok(Signal::SIGUSR1) => exit(0),
            // For a thread that crashes: HandleChildCrash, _exit(1), nothing is cleaned.
            Ok(Signal::SIGUSR2) => exit(1),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A fast stop (INT, and TERM unless on a standby, where it is smart): all is removed, last made
/// first (`ipc.cpp shmem_exit`).
fn fast(server: Server) -> u8 {
    if let Some(fenced) = server.fenced {
        let _ = kill(Pid::from_raw(fenced), Signal::SIGTERM);
    }
    threads::end();
    server.sets.release();
    server.segment.delete(true);
    server.lock_file.unlink();
    0
}

/// An immediate stop, or one during recovery: `cancelSemphoreRelease`, `cancelIpcMemoryDetach`,
/// `ExitPostmaster(0)`. The sets stay; the segment is marked and goes with who has it attached.
fn immediate(server: Server) -> u8 {
    server.segment.delete(false);
    server.lock_file.unlink();
    0
}
