//! `shmwarden demo` from its first line to its last: with PostgreSQL and with its own stand-in, as
//! root and not, in namespaces of its own and in the machine's tables; interrupted.

mod interrupted;
mod machine;
pub mod stage;
mod whole;
