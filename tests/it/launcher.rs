//! The conformance suite: what a launcher changes for the program that it starts, measured for
//! `shmwarden run`, for its peers, and for no launcher at all.
//!
//! One test a behaviour, written once. Ours must behave as none does; what the peers do is a
//! measurement. All of it is held against the tables of `docs/launcher.md` (see `page`).

mod page;
mod perl;
mod subject;
mod terminal;

mod broken;
mod dispositions;
mod end;
mod exec;
mod given;
mod job;
mod signals;
mod start;
mod unclaimed;
