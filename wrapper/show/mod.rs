//! `list` and `who`: what there is, whose it is, who holds it. Changes nothing.

pub(crate) mod args;
pub(crate) mod columns;
pub(crate) mod list;
pub(crate) mod list_output;
pub(crate) mod prometheus;
pub(crate) mod who;
pub(crate) mod who_output;
