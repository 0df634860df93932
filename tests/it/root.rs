//! Nobody gains rights of root, or holds up what root does, by way of a ledger.

mod deputy;
mod hands;
mod memory_served;
mod rights;
