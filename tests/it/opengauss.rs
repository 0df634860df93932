//! What an openGauss leaves behind, by a stand-in that makes, uses and loses what the real one
//! does (`tests/gaussdb`): every end, collisions of keys, the fenced UDF master, many servers, big
//! segments, DSS's keys, instances that never start again.

pub mod gauss;

mod collisions;
mod contained;
mod dss;
mod exits;
mod fenced;
mod forsaken;
mod gs_ctl;
mod large;
mod many;
mod names;
mod robbed;
mod ways;
