//! What is true of shared memory objects, and what may be done to them.
//!
//! The library of `shmwarden`. Data flows one way: `sys`, `proc` (the kernel) -> `snapshot` (one
//! look) -> `ledger` (what an instance is known to own) -> `attribute`, `judge` (pure) -> `sweep`
//! (the way once over one ledger; its `remove` is the only caller of removal). Nothing in here
//! starts a server or prints. `judge::status` says of each object what the ledgers make of it, and
//! changes nothing. The bird's-eye view is in `docs/architecture.md`.

pub mod attribute;
pub mod engine;
pub mod error;
pub mod judge;
pub mod ledger;
pub mod object;
pub mod proc;
pub mod snapshot;
pub mod sweep;
pub mod sys;

pub use error::{Error, Result};
