//! What a doctor would say of this machine: limits and how full they are, what is leaked, settings
//! that are known to hurt a server, and error messages in words. Pure: it judges values that others
//! have read.
//!
//! It must never lead to a removal: it names the commands that would.

mod finding;
pub mod units;

pub use finding::{Finding, Level};
