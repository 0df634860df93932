//! What a dead server left goes, and what has to stay is named.

pub mod sets;

mod appeared;
mod sets_left;
