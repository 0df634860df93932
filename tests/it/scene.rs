//! What the tests against the real kernel are played with: an instance with a ledger of its own,
//! servers that do what they are told, ledgers that were tampered with, disks that fill up.

pub mod asked;
pub mod disk;
pub mod instance;
pub mod ledger_text;
pub mod stand_in;
