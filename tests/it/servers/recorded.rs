//! `record` of a server that runs without a launcher: its sets are its own where one look proves
//! that, and else are kept and named.

use super::subject::{MODES, Subject, apache, pgpool, there, uwsgi};
use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, outcomes};
use crate::support::calls::is_set;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

fn record(instance: &Instance, user: User, pid: i32) -> Answer {
    let pid = pid.to_string();
    warden::answer(user, &["record", "--json", "--pid", &pid, "--ledger", instance.path()])
}

fn swept(subject: &Subject) {
    for mode in MODES {
        let mut stranger = Asked::stranger(subject.user);
        let theirs = stranger.make_set(0, 1);
        let instance = Instance::new(subject.user);
        let server = subject.start_alone(mode);
        let (sets, segments) = subject.makes;
        for _ in 0..2 {
            record(&instance, subject.user, subject.main()).expect_code(0);
            assert_eq!(instance.count("object"), sets + segments, "{mode:?}");
        }
        instance.sweep(&[]).expect_code(75);
        subject.kill_left();
        drop(server);
        let sweep = instance.sweep(&[]).expect_code(0);
        assert_eq!(outcomes(&sweep), ["removed dead"], "{mode:?}: {sweep:?}");
        assert_eq!(there(), (1, 0), "{mode:?}");
        assert!(is_set(theirs));
        stranger.ask(&format!("semctl({theirs}, 0, 0, 0) ? 1 : 0"));
    }
}

#[test]
fn apache_that_was_recorded_is_swept() {
    sandbox::run(|| swept(&apache()));
}

#[test]
fn pgpool_that_was_recorded_is_swept() {
    sandbox::run(|| swept(&pgpool()));
}

#[test]
fn uwsgi_that_was_recorded_is_swept() {
    sandbox::run(|| swept(&uwsgi()));
}
