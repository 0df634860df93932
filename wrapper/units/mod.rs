//! A unit of systemd and what does not fit in it. Judges what `systemctl show` and
//! `systemctl cat` printed; `ask` is what runs them.

pub(crate) mod ask;
pub(crate) mod cluster;
mod group;
mod hooks;
mod judge;
pub(crate) mod pg_ctl;
mod properties;
pub(crate) mod settings;
mod start;
mod text;

pub(crate) use group::{unit_of, users_unit_of};
pub(crate) use judge::judge;
pub(crate) use properties::{UnitProperties, Way};
pub(crate) use start::Start;
pub(crate) use text::{ExecLine, UnitText};
