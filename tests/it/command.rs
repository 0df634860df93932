//! What `list` and `who` say, against the real kernel and beside other programs that say it.

pub mod make;

pub mod adopt;
mod adopt_asked;
mod adopt_sets;
mod agreement;
mod hostile;
mod interrupted;
mod ledgers;
mod places;
mod postgres;
mod screen;
mod sets;
mod unseen;
mod who;
