//! Verdicts on literals: a ledger, a look, and the word that comes of them.

mod alone;
mod holders;
mod make;
mod recorded;
mod unlooked;
