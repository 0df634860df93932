//! One file a sub-command, each short: what it reads, what it asks the library, what it prints.

pub(crate) mod adopt;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod list;
mod orphans;
pub(crate) mod record;
pub(crate) mod sweep;
pub(crate) mod systemd;
pub(crate) mod view;
pub(crate) mod who;
