//! A unit of systemd and what does not fit in it. Judges what `systemctl show` and
//! `systemctl cat` printed; `ask` is what runs them.

pub(crate) mod ask;
mod group;
mod hooks;
mod judge;
mod properties;
mod start;
mod text;

pub(crate) use group::{unit_of, users_unit_of};
pub(crate) use judge::judge;
pub(crate) use properties::{UnitProperties, Way};
pub(crate) use start::Start;
pub(crate) use text::{ExecLine, UnitText};
