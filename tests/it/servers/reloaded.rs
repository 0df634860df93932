//! A server that reads its configuration anew makes new sets and removes its old ones while it
//! lives: the ledger follows.

use std::time::Duration;

use super::subject::{LONG, MODES, Subject, apache, there, uwsgi, wait_quiet};
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::sets;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::waiting::wait_until;

fn ids() -> Vec<i32> {
    sets().iter().map(|line| line.id).collect()
}

fn followed(subject: &Subject) {
    for mode in MODES {
        let instance = Instance::new(subject.user);
        let launcher = subject.start_under(&instance, &[], mode);
        for _ in 0..2 {
            let old = ids();
            let signal = subject.reload.unwrap();
            // A server that has only just started may not have its handlers yet.
            std::thread::sleep(Duration::from_secs(1));
            processes::kill(subject.main(), signal);
            wait_until("it has other sets", LONG, || {
                let new = ids();
                new.len() == subject.makes.0 && new.iter().all(|id| !old.contains(id))
            });
        }
        wait_until("both are in the ledger", LONG, || {
            instance.count("gone") == 2 * subject.makes.0
        });
        wait_quiet(&instance);
        assert_eq!(instance.count("object"), 3 * subject.makes.0);
        assert_eq!(instance.count("intent"), 0, "{mode:?}: nothing of ours was removed");
        subject.kill_with(launcher);
        assert_eq!(outcomes(&instance.sweep(&[]).expect_code(0)), ["removed dead"], "{mode:?}");
        assert_eq!(there(), (0, 0));
    }
}

#[test]
fn a_graceful_restart_of_apache_is_followed() {
    sandbox::run(|| followed(&apache()));
}

#[test]
fn a_reload_of_uwsgi_is_followed() {
    sandbox::run(|| followed(&uwsgi()));
}
