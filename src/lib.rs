//! What is true of shared memory objects, and what may be done to them.
//!
//! The library of `shmwarden`. Data flows one way: `sys`, `proc` (the kernel) -> `observe` (one
//! look) -> `ledger` (what an instance is known to own) -> `attribute`, `decide` (pure) -> `act`
//! (the only caller of removal); `settle` runs the whole way once. Nothing in here starts a server
//! or prints. `verdict` says of each object what the ledgers make of it, and changes nothing.
//! The bird's-eye view is in `docs/architecture.md`.

pub mod act;
pub mod attribute;
pub mod decide;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod ledger;
pub mod object;
pub mod observe;
pub mod orphan;
pub mod proc;
pub mod settle;
pub mod sys;
pub mod verdict;

pub use error::{Error, Result};
