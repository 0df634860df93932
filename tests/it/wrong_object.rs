//! An object is taken for the recorded one because it bears its number, key or name, or for the
//! server's because it bears its pid: the first group of `docs/safety.md`.

pub mod late;

mod files_opened;
mod left;
mod record;
mod record_sets;
mod recycled;
mod sets_elsewhere;
mod sets_seen;
