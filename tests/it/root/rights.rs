//! What root does for a user's ledger it does with that user's rights, whatever the securebits say
//! of capabilities that a change of user leaves in force.

use std::process::Command;

use crate::scene::instance::{Instance, need_root, only_ledger};
use crate::scene::ledger_text::edit;
use crate::scene::stand_in::StandIn;
use crate::support::objects::{Snapshot, segment};
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::warden::{self, Answer};
use shmwarden::ledger::record::Record;

const KEY: u32 = 0x00f4_2401;
/// Of a generic server whose end nobody saw what has a key stays otherwise.
const SWEEP: [&str; 3] = ["sweep", "--json", "--include-clean"];

/// `setpriv` with securebits that keep capabilities over a change of user.
fn keeping() -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.arg("--securebits=+no_setuid_fixup");
    if setpriv.arg("true").status().is_ok_and(|status| status.success()) {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--securebits=+no_setuid_fixup", "--"]);
        return setpriv;
    }
    skip("there is no setpriv here that sets securebits");
}

/// A ledger of the server's user that names a segment of root's, which a crash of root's server
/// left: forged from the ledger of that server.
fn forged() -> (Instance, i32) {
    let root = Instance::new(User::Root);
    let server = StandIn::start(&root, KEY);
    root.wait_recorded(1);
    let id = server.segment();
    server.kill_all();
    // The very file: the lock of a copy would prove no death.
    let forged = Instance::at(User::Server, root.ledger());
    User::Server.own(forged.directory());
    User::Server.own(forged.ledger());
    let (uid, gid) = User::Server.ids();
    edit(forged.ledger(), |entry| match &mut entry.record {
        Record::Run(run) => (run.uid, run.gid) = (uid, gid),
        Record::Claim(claim) => claim.uids = vec![0, uid],
        _ => {}
    });
    (forged, id)
}

#[test]
fn capabilities_that_outlive_a_change_of_user_are_dropped_by_name() {
    sandbox::run(|| {
        need_root("to act as another user");
        let before = Snapshot::take();
        let (forged, id) = forged();
        let program = warden::binary();
        for keep in [true, false] {
            let mut sweep = if keep { keeping() } else { Command::new("env") };
            let sweep = Answer::of(sweep.arg(&program).args(SWEEP).arg(forged.path()));
            assert!(segment(id).is_some(), "keep {keep}: {sweep:?}");
            assert_eq!(sweep.json()["removed"], 0, "{sweep:?}");
            only_ledger(&sweep);
        }
        // The positive control: the same ledger, root's own.
        User::Root.own(forged.ledger());
        let sweep = forged.sweep_as(User::Root, &["--include-clean"]).expect_code(0);
        assert_eq!(sweep.json()["removed"], 1, "{sweep:?}");
        assert_eq!(before.left_over(), [""; 0]);
    });
}

#[test]
fn a_users_own_objects_go_under_any_securebits() {
    sandbox::run(|| {
        need_root("to act as another user");
        let before = Snapshot::take();
        for keep in [true, false] {
            let instance = Instance::new(User::Server);
            let server = StandIn::start(&instance, KEY);
            instance.wait_recorded(1);
            server.kill_all();
            let mut sweep = if keep { keeping() } else { Command::new("env") };
            let program = warden::binary();
            let sweep = Answer::of(sweep.arg(&program).args(SWEEP).arg(instance.path()));
            let sweep = sweep.expect_code(0);
            assert_eq!(sweep.json()["removed"], 1, "keep {keep}: {sweep:?}");
            assert_eq!(before.left_over(), [""; 0]);
        }
    });
}
