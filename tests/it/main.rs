//! The integration tests of shmwarden: one binary, one module a subject.
//!
//! Whatever touches shared memory, processes or a server runs in `support::sandbox`, never in the
//! machine's own namespaces. `infrastructure` tests the tests' own tools, `tidy` the source text.
//!
//! The hazards of `docs/safety.md`, against the real kernel, are in its groups' order
//! `wrong_object`, `in_use`, `leaks`, `disturbed`, `ledgers`, `root`, `sight` and `older`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)] // one binary: nothing of it is reachable from elsewhere

mod command;
pub mod database;
mod demo;
mod disturbed;
mod doctor;
mod in_place;
mod in_use;
mod infrastructure;
mod launcher;
mod leaks;
mod ledgers;
mod notify;
mod older;
mod opengauss;
mod pages;
mod patroni;
mod pure;
mod root;
mod scene;
mod servers;
mod sight;
mod status;
mod support;
mod tidy;
mod wrong_object;
