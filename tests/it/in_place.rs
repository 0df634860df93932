//! `run --in-place` without a database: what COMMAND gets, how it ends, what goes wrong before it
//! is executed, and where the guardian is not wanted at all.

mod before;
mod given;
mod guardian;
mod refused;
mod server;
mod stopped;
mod together;

use crate::scene::instance::{Instance, SOON};
use crate::support::processes;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// The last run of an instance, as `history` tells it.
fn last_run(instance: &Instance) -> serde_json::Value {
    let answer = warden::answer(User::Server, &["history", "--json", instance.path()]);
    let runs = answer.expect_code(0).json()["runs"].as_array().unwrap().clone();
    runs.last().expect("a run").clone()
}

/// The guardian that the ledger names.
fn guardian_of(instance: &Instance) -> i32 {
    i32::try_from(last_run(instance)["launcher"].as_i64().unwrap()).unwrap()
}

/// Waits until the guardian of the last run has done its work.
fn wait_guardian(instance: &Instance) {
    let guardian = guardian_of(instance);
    wait_until("the guardian has ended", SOON, || !processes::lives(guardian));
}
