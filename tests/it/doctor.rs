//! What `doctor` says of a machine, and the numbers of `list --format prometheus`: against the real
//! kernel, real limits and the messages of real servers.

mod make;

mod harmless;
mod limits;
mod messages;
mod numbers;
mod settings;
