//! Whoever cannot be seen counts as alive: containers, pods, a `/proc` that hides or fails.

pub mod pods;

mod faults;
mod one_look;
mod unseen;
