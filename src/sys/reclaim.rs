//! Removal as an openGauss does it: for the tests' stand-in alone, in no build that is installed.
//!
//! A server that starts takes away what bears its key, whoever made it. The program must never.

use super::{Result, sem, shm};

/// Removes a segment, whoever has it attached.
///
/// # Errors
/// As `IPC_RMID`.
pub fn segment(id: i32) -> Result<()> {
    shm::remove(id)
}

/// Removes a set, whoever waits for it.
///
/// # Errors
/// As `IPC_RMID`.
pub fn set(id: i32) -> Result<()> {
    sem::remove(id)
}
