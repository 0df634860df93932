//! A unit of systemd and what does not fit in it. Pure: it judges what `systemctl show` and
//! `systemctl cat` printed, and asks nobody.

mod judge;
mod properties;
mod text;

pub use judge::judge;
pub use properties::{Program, UnitProperties, Way};
pub use text::{ExecLine, UnitText};
