//! Threads that do what sessions do with semaphores: take one and release it, all the time
//! (`sysv_sema.cpp PGSemaphoreLock`, `PGSemaphoreUnlock`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::calls;
use super::complain;
use super::options::message;
use super::sets::Sets;

/// Status of a server that lost a semaphore (`ereport(FATAL)` of a thread, `HandleChildCrash`).
const LOST: i32 = 3;

/// Set when the threads of a real one would be gone.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Ends them, before their semaphores are removed (`pmdie`: `PM_WAIT_BACKENDS`).
pub(crate) fn end() {
    ENDED.store(true, Ordering::SeqCst);
}

/// Starts them; each uses the members whose number it has, in every set.
pub(crate) fn start(sets: &Sets, count: usize) -> Result<(), String> {
    for first in 0..count {
        let sets = sets.filled();
        let session = move || {
            while !ENDED.load(Ordering::SeqCst) {
                for &(set, members) in &sets {
                    for member in (0..members).skip(first).step_by(count) {
                        use_one(set, member);
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
        };
        thread::Builder::new().name("TPLworker".to_owned()).spawn(session).map_err(message)?;
    }
    Ok(())
}

fn use_one(set: i32, member: u16) {
    for by in [-1, 1] {
        while let Err(errno) = calls::operate(set, member, by) {
            if ENDED.load(Ordering::SeqCst) {
                return;
            }
            if errno != Errno::EINTR {
                complain("FATAL", &format!("semop(id={set}) failed: {errno}"));
                std::process::exit(LOST);
            }
        }
    }
}
