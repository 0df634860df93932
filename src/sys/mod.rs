//! The system calls that neither std nor nix offers, each behind a safe function.
//!
//! The only folder that may contain `unsafe`. Nothing here decides anything: a function does one
//! call, gives back what the kernel said, and names the manual page it follows.
#![allow(unsafe_code)]

pub mod apart;
mod capabilities;
pub mod deputy;
pub mod entry;
pub mod errand;
pub mod features;
pub mod files;
pub mod gate;
pub mod handover;
pub mod inherit;
pub mod job;
pub mod kcmp;
pub mod memory;
pub mod msg;
pub mod namespace;
pub mod notify;
pub mod own_segment;
pub mod pidfd;
pub mod process;
pub mod sem;
pub mod shm;
pub mod signals;
mod table;
pub mod terminal;
pub mod user;
pub mod vma;

use nix::errno::Errno;
pub use table::IpcPerm;

/// The result of a system call: what it gave, or its errno.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the kernel's "-1 and errno" into a [`Result`].
fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value == -1 { Err(Errno::last()) } else { Ok(value) }
}
