//! What `list` and `who` say, against the real kernel and beside other programs that say it.

mod make;

mod agreement;
mod hostile;
mod ledgers;
mod screen;
mod sets;
mod unseen;
mod who;
