//! The relay of notifications, against a service manager of the test's own: its socket, its reads,
//! what it sees of each sender.

mod lingering;
mod manager;
mod notifier;
mod pass;
mod pids;
mod postgres;
mod pressure;
mod relay;
mod senders;
