//! What the tests stand on: a sandbox, real servers, processes, objects, the program itself.
//!
//! Nothing here knows what shmwarden ought to do; the kernel's tables are read by own, simple code,
//! so that a mistake in the library cannot hide itself.

pub mod cache;
pub mod calls;
pub mod cluster;
pub mod container;
pub mod ends;
pub mod filter;
pub mod holders;
pub mod objects;
pub mod older_kernel;
pub mod processes;
pub mod sandbox;
pub mod skip;
pub mod user;
pub mod waiting;
pub mod warden;

pub use skip::skip;
