//! The durable account of what one instance owns: records, lines, replay, the file.
//!
//! `record` and `book` are pure; `file` and `compact` are the only ones that touch a disk.

pub mod adopted;
pub mod beginning;
pub mod book;
mod book_file;
mod by_id;
pub mod compact;
pub mod copied;
mod entries;
pub mod file;
pub mod limits;
pub mod line;
pub mod own_file;
mod owner;
pub mod peers;
pub mod record;
mod replay;
mod unended;
mod way;

pub use book::Book;
pub use file::Ledger;
pub use own_file::OwnFile;
pub use record::{Entry, Record};
