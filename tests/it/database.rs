//! Real PostgreSQL servers behind `shmwarden run`, killed in every way: nothing of theirs is left,
//! nothing of anybody else's is touched, and the database goes on with what was written to it.

mod adopted;
mod clean_end;
mod crash;
mod everywhere;
mod header;
pub mod in_place;
mod launcher_alone;
pub mod matrix;
mod moment;
mod older_kernel;
mod query;
mod raced;
mod record;
mod reinitialise;
mod robbed;
mod rows;
mod side_by_side;
pub mod stage;
pub mod strace;
mod together;
