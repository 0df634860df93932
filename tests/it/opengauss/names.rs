//! An openGauss under the name that it is sold under: cleaned up after as a `gaussdb` is.

use nix::sys::signal::Signal;

use super::gauss::{Gauss, PORT, data_directory, words_called};
use crate::kernel::instance::Instance;
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::sandbox;
use crate::support::user::User;

/// Ends after which a server has left something: killed; with status 0 all sets; with status 0
/// everything.
const ENDS: [Signal; 3] = [Signal::SIGKILL, Signal::SIGQUIT, Signal::SIGUSR1];

fn left() -> (usize, usize) {
    (segments().len(), sets().len())
}

#[test]
fn a_mogdb_is_an_opengauss() {
    sandbox::run(|| leaves_nothing("mogdb"));
}

/// Under a launcher that sees its end, and by a sweep after the death of both.
fn leaves_nothing(name: &str) {
    for end in ENDS {
        let watched = Instance::new(User::Server);
        let mut server = under(&watched, name);
        server.end(end);
        assert_eq!(left(), (0, 0), "{name} {end}: {}", ledger(&watched));

        let unseen = Instance::new(User::Server);
        let mut server = under(&unseen, name);
        server.end_both(end);
        let sweep = unseen.sweep(&[]).expect_code(0);
        assert_eq!(left(), (0, 0), "{name} {end}: {sweep:?} {}", ledger(&unseen));
    }
}

/// One with its segment, known for the main one, and three sets, all of it recorded.
fn under(instance: &Instance, name: &str) -> Gauss {
    let data = data_directory(User::Server);
    let server =
        Gauss::spawn(instance.run(&["--linger=0s"], &words_called(name, &data, PORT, &[])), data);
    instance.wait_recorded(5);
    let ledger = ledger(instance);
    assert!(ledger.contains(r#""engine":"opengauss""#), "{ledger}");
    server
}

fn ledger(instance: &Instance) -> String {
    String::from_utf8(instance.bytes()).unwrap()
}
