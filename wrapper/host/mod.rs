//! What this host is set to: limits and how full they are, calls that its kernel has, systemd's own
//! files. Reads and measures; `doctor` judges.

pub(crate) mod config;
pub(crate) mod features;
pub(crate) mod kernel;
pub(crate) mod limit;
