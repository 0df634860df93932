//! The tests' own tools, tested: they need nothing of the program but that it was built.

mod cluster;
mod cluster_crash;
mod objects;
mod sandbox;
mod warden;
