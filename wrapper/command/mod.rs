//! The story on this machine.

pub(crate) mod demo;
