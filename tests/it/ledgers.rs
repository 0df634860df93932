//! A ledger that is no longer what was written: copied, damaged, from elsewhere, grown long, or
//! never one. What nobody wrote is not believed, and what was written is not lost.

mod copies;
mod copies_elsewhere;
mod damage;
mod elsewhere;
mod growth;
mod growth_killed;
mod not_a_ledger;
