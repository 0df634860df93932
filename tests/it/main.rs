//! The integration tests of shmwarden: one binary, one module a subject.
//!
//! Whatever touches shared memory, processes or a server runs in `support::sandbox`, never in the
//! machine's own namespaces. `infrastructure` tests the tests' own tools, `tidy` the source text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)] // one binary: nothing of it is reachable from elsewhere

mod command;
pub mod database;
mod demo;
mod doctor;
mod infrastructure;
mod kernel;
mod launcher;
mod notify;
mod opengauss;
mod pages;
mod patroni;
mod pure;
mod servers;
mod support;
mod tidy;
