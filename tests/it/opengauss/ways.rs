//! The other ways to put an openGauss under a ledger: in place, behind a script, by `record`; and
//! a standalone backend, whose port is 0.

use nix::sys::signal::Signal;

use super::gauss::{FIRST_KEY, Gauss, PORT, data_directory, words};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON, outcomes};
use crate::support::calls::sets;
use crate::support::objects::{segment, segments};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

fn left() -> (usize, usize) {
    (segments().len(), sets().len())
}

/// As `gs_ctl` needs it.
#[test]
fn in_place_a_server_that_ends_with_status_0_leaves_nothing() {
    sandbox::run(|| {
        for signal in [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGKILL] {
            let instance = Instance::new(User::Server);
            let data = data_directory(User::Server);
            let words = words(&data, PORT, &[]);
            let mut server = Gauss::spawn(instance.run(&["--in-place"], &words), data);
            instance.wait_recorded(5);
            server.end(signal);
            wait_until("the guardian has cleaned up", SOON * 3, || left() == (0, 0));
        }
    });
}

#[test]
fn behind_a_script_that_starts_it_a_server_is_known_for_what_it_is() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let script = r#""$@"; exit $?"#;
        let mut line = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        line.extend(words(&data, PORT, &[]));
        let mut server = Gauss::spawn(instance.run(&[], &line), data);
        instance.wait_recorded(5);
        let ledger = String::from_utf8(instance.bytes()).unwrap();
        assert!(ledger.contains(r#""engine":"opengauss""#), "{ledger}");
        wait_until("its header is copied", SOON, || {
            String::from_utf8(instance.bytes()).unwrap().contains(r#""header":""#)
        });
        assert_eq!(server.end(Signal::SIGQUIT).code(), Some(0));
        assert_eq!(left(), (0, 0));
    });
}

/// With its sets, which nobody else has used. Another set of its user stays.
#[test]
fn one_that_was_recorded_while_it_ran_is_swept_with_its_sets() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let mut server = Gauss::alone(User::Server, PORT, &[]);
        let pid = server.pid().to_string();
        let foreign = Asked::stranger(User::Server).make_set(FIRST_KEY + 10, 17);
        let record = ["record", "--json", "--pid", &pid, "--ledger", instance.path()];
        let record = warden::answer(User::Server, &record).expect_code(0).json();
        assert_eq!(record["engine"], "opengauss", "{record}");
        let ledger = String::from_utf8(instance.bytes()).unwrap();
        let main = ledger.lines().rfind(|line| line.contains(r#""role":"main""#));
        assert!(main.is_some_and(|line| line.contains(r#""header":""#)), "no copy: {ledger}");
        server.end(Signal::SIGUSR1);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"]);
        assert_eq!(left(), (0, 1), "{sweep:?}");
        assert_eq!(sets()[0].id, foreign);
    });
}

#[test]
fn a_standalone_backend_takes_keys_from_1_and_leaves_nothing() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let mut server = Gauss::spawn(instance.run(&[], &words(&data, 0, &[])), data);
        instance.wait_recorded(5);
        assert_eq!(segment(server.belongings().0[0]).unwrap().key, 1);
        server.end(Signal::SIGKILL);
        assert_eq!(left(), (0, 0));
    });
}
