//! What a doctor would say of this machine: limits and how full they are, what is leaked, settings
//! that are known to hurt a server, and error messages in words. Pure: it judges values that others
//! have read.
//!
//! It must never lead to a removal: it names the commands that would.

pub mod beside;
mod crowd;
pub mod explain;
mod finding;
pub mod kernel;
pub mod leaks;
pub mod ledgers;
pub mod limit;
pub mod limits;
pub mod logind;
pub mod settings;
pub mod units;

pub use finding::{Finding, Level};

/// The name of a user for people, or the number of one without an account.
pub type Names<'a> = &'a dyn Fn(u32) -> String;

/// From here on a limit is none: the kernel's defaults for `shmall` and `shmmax` are near 2^64.
pub const NO_LIMIT: u64 = 1 << 60;

/// A part of a whole in percent, rounded down; 100 and more where there is no room left.
#[must_use]
pub fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 100;
    }
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(u64::MAX)
}
