//! Real servers other than databases that use System V IPC, from Debian's packages, started as
//! their own documentation starts them: Apache httpd, pgpool-II, uWSGI. What they leave without
//! shmwarden when they are killed, and that nothing is left with it (`docs/other-servers.md`).

mod subject;

mod in_place;
mod killed;
mod orphans;
mod recorded;
mod reloaded;
