//! Somebody uses an object when it would go, or comes to use it in between: it stays, and it is
//! said who that is.

pub mod raced;
pub mod sets_hidden;
pub mod sets_raced;

mod alone;
mod descendants;
mod files_shared;
mod mount_roots;
mod orphans;
mod regression;
mod segments_used;
mod sets_kept;
mod sets_second;
mod sets_shared;
mod threads;
