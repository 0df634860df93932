//! Verdicts on literals: a ledger, a look, and the word that comes of them.

mod holders;
mod make;
mod recorded;
mod unlooked;
mod unowned;
