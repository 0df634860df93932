//! Is it proven that nobody wants an object that no server's ledger has? Stricter than what a
//! recorded object has to show, for nothing says whose it is. Pure; doubt keeps.
//!
//! That nobody has it attached and its creator is dead proves nothing: a living PostgreSQL's own
//! statistics look so. So no process of its owner or creator may live, and whatever the list of a
//! living server may name stays, whoever asks.

mod against;
mod lists;
mod plan;
mod scene;

pub use against::Against;
pub use plan::{Plan, Proposal, Wish, plan};
pub use scene::Scene;
pub(crate) use scene::let_in;
