//! Whatever befalls its launcher, the server is not disturbed: full and slow disks, ledgers that
//! cannot be had, commands that cannot be executed.

mod disks;
mod file_size;
mod sets_disks;
mod unexecuted;
mod unusable;
