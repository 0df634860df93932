//! One look serves several ledgers, and only to say that a server lives: nobody's mappings are
//! opened for that, and by an older look than the lock nothing is taken for dead.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use shmwarden::judge::Policy;
use shmwarden::ledger::file::{For, Ledger};
use shmwarden::sweep::{self, Fate, Report, Shared, State};

use crate::scene::asked::Asked;
use crate::scene::instance::{Instance, SOON};
use crate::support::objects::{Snapshot, segments};
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::user::User;
use crate::support::warden::{self, Answer};

const LEDGERS: usize = 3;

/// A server with a segment of its own and without a launcher.
fn without_launcher(instance: &Instance) -> Asked {
    let mut server = Asked::start(instance, &[]);
    server.ask("shmget(0, 4096, 03600) + 0");
    instance.wait_recorded(1);
    let launcher = server.outermost().pid();
    processes::kill(launcher, Signal::SIGKILL);
    processes::wait_end(launcher, SOON);
    server
}

fn beside(first: &Instance, name: &str) -> Instance {
    Instance::at(User::Server, &first.directory().join(name))
}

fn sweep(path: &Path, shared: &mut Shared) -> Report {
    let mut ledger = Ledger::open(path, For::Writing).unwrap();
    assert!(ledger.try_lock().unwrap());
    ledger.read_whole().unwrap();
    sweep::once_of_several(&mut ledger, &Policy::default(), Some(shared)).unwrap()
}

fn end(server: &Asked) {
    processes::kill(server.pid(), Signal::SIGKILL);
    processes::wait_end(server.pid(), SOON);
}

#[test]
fn of_several_ledgers_whose_servers_live_everybody_is_looked_at_once_and_only_they_into() {
    sandbox::run(|| {
        skip_without_strace();
        let first = Instance::new(User::Server);
        let all: Vec<Instance> =
            (0..LEDGERS).map(|number| beside(&first, &format!("{number}.ledger"))).collect();
        let servers: Vec<Asked> = all.iter().map(without_launcher).collect();
        let stranger = Asked::stranger(User::Server);
        let trace = sandbox::scratch().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=open,openat", "-o", trace.to_str().unwrap()]);
        command.arg(warden::binary()).args(["sweep", "--json", "--dir"]).arg(first.directory());
        let answer = Answer::of(&mut command).expect_code(0);
        let document = answer.json();
        let ledgers = document["ledgers"].as_array().unwrap();
        let live = ledgers.iter().filter(|ledger| ledger["state"] == "live");
        assert_eq!(live.count(), LEDGERS, "{answer:?}");
        let opened = fs::read_to_string(&trace).unwrap();
        let count = |what: &str| opened.lines().filter(|line| line.contains(what)).count();
        // The runtime reads where its own stack is.
        let servers_own = count("/maps\"") - count("/proc/self/maps\"");
        assert_eq!(servers_own, LEDGERS, "{opened}");
        assert_eq!(count(&format!("/proc/{}/maps\"", stranger.pid())), 0, "{opened}");
        assert_eq!(count(&format!("/proc/{}/stat\"", stranger.pid())), 1, "{opened}");
        servers.iter().for_each(end);
        end(&stranger);
    });
}

#[test]
fn a_server_that_was_started_after_the_shared_look_is_not_taken_for_dead() {
    sandbox::run(|| {
        let before = Snapshot::take();
        let mut shared = Shared::default();
        let early = Instance::new(User::Server);
        let server = without_launcher(&early);
        assert!(matches!(sweep(early.ledger(), &mut shared).state, State::Live(_)));
        // The look knows nothing of this one.
        let late = beside(&early, "late.ledger");
        let later = without_launcher(&late);
        assert!(matches!(sweep(late.ledger(), &mut shared).state, State::Live(_)));
        assert_eq!(segments().len(), 2);
        // And it shows these alive, which is no longer so.
        for (instance, server) in [(&early, &server), (&late, &later)] {
            end(server);
            let report = sweep(instance.ledger(), &mut shared);
            let fates: Vec<&Fate> = report.objects.iter().map(|one| &one.result).collect();
            assert_eq!(fates, [&Fate::Removed], "{report:?}");
        }
        assert_eq!(before.left_over(), [""; 0]);
    });
}
