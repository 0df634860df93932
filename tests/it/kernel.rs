//! What must hold against the real kernel: orphans, ledgers from elsewhere, recycled numbers,
//! ledgers that cannot be had, namespaces, commands that cannot be executed, slow disks. PostgreSQL
//! 15 where it takes a server, else a stand-in that creates segments and nothing more.

pub mod asked;
mod disk;
pub mod instance;
pub mod ledger_text;
pub mod stand_in;

mod alone;
mod appeared;
mod copies;
mod copies_elsewhere;
mod damage;
mod deputy;
mod descendants;
mod disks;
mod elsewhere;
mod faults;
mod file_size;
mod files_opened;
mod files_shared;
mod growth;
mod growth_killed;
mod hands;
mod in_place;
mod late;
mod left;
mod memory_served;
mod mount_roots;
mod not_a_ledger;
mod older_calls;
mod one_look;
mod orphans;
mod pods;
pub mod raced;
mod record;
mod record_sets;
mod recycled;
mod regression;
mod rights;
mod segments_used;
mod sets;
mod sets_disks;
mod sets_elsewhere;
mod sets_hidden;
mod sets_kept;
mod sets_left;
pub mod sets_raced;
mod sets_second;
mod sets_seen;
mod sets_shared;
mod sets_unnamed;
mod sight;
mod threads;
mod unexecuted;
mod unusable;
