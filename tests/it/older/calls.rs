//! What the absence of each newer call costs: the same scenes under a filter in which it fails as
//! on an older kernel. `tests/kernels/` runs the real ones.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::database::matrix::Kind;
use crate::database::stage::{Objects, Stage};
use crate::opengauss::gauss::{self, Gauss, PORT};
use crate::scene::instance::{Instance, SOON, need_to_look_into_others, outcomes};
use crate::support::calls::sets;
use crate::support::filter::{
    self, CLOSE_RANGE, NS_GET_ID, PIDFD, PIDFD_GET_INFO, PROCMAP_QUERY, Rule, STAT_ANY,
};
use crate::support::objects::{Snapshot, create_segment, segment, segments};
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};
use crate::support::{holders, processes, sandbox};

/// All but the tables and the names of namespaces: what a kernel before 5.1 lacks beside these.
const SLOW: [&[Rule]; 4] = [PIDFD, PIDFD_GET_INFO, PROCMAP_QUERY, CLOSE_RANGE];
/// Everything at once.
const OLDEST: [&[Rule]; 6] =
    [PIDFD, PIDFD_GET_INFO, PROCMAP_QUERY, CLOSE_RANGE, NS_GET_ID, STAT_ANY];
const LIMIT: Duration = Duration::from_secs(300);

/// `shmwarden ARGUMENTS` without these calls.
fn shmwarden(missing: &[&[Rule]], arguments: &[&str]) -> Command {
    let mut words = warden::prefix(arguments);
    words.pop();
    filter::command(User::Server, missing, &words)
}

fn sweep(instance: &Instance, missing: &[&[Rule]]) -> Answer {
    Answer::of(&mut shmwarden(missing, &["sweep", "--json", instance.path()])).expect_code(0)
}

/// The findings of `doctor` with their levels, of those on the kernel.
fn findings(missing: &[&[Rule]]) -> Vec<(String, String)> {
    let answer = Answer::of(&mut shmwarden(missing, &["doctor", "--json"]));
    let json = answer.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = json["findings"].as_array().unwrap();
    let all = all.iter().map(|finding| (text(&finding["id"]), text(&finding["level"])));
    all.filter(|(id, _)| id.starts_with("kernel-")).collect()
}

fn has(findings: &[(String, String)], id: &str, level: &str) -> bool {
    findings.iter().any(|(other, its)| other == id && its == level)
}

/// A stand-in for an openGauss under a launcher without these calls.
fn opengauss(instance: &Instance, missing: &[&[Rule]], options: &[&str]) -> Gauss {
    let data = gauss::data_directory(User::Server);
    let words = [instance.prefix(options), gauss::words(&data, PORT, &[])].concat();
    Gauss::spawn(filter::command(User::Server, missing, &words), data)
}

/// A set and a segment of the same user that were there before: nobody uses them.
fn strangers() -> (Vec<i32>, Snapshot) {
    create_segment(User::Server, 0x4711, 4096);
    let script = "defined semget(0x4712, 2, 03600) or die";
    assert!(User::Server.command("perl").args(["-e", script]).status().unwrap().success());
    (sets().iter().map(|line| line.id).collect(), Snapshot::take())
}

/// Killed alone and with its launcher: how many sets are left each time, beside the strangers'. The
/// segment goes. Where sets can be listed they are recorded.
fn sets_left(missing: &[&[Rule]], is_recorded: bool) -> (usize, usize) {
    let (known, before) = strangers();
    let left = || sets().iter().filter(|line| !known.contains(&line.id)).count();
    let instance = Instance::new(User::Server);
    let mut server = opengauss(&instance, missing, &["--linger=0s"]);
    assert_eq!(left(), 3, "the server has its sets");
    server.end(Signal::SIGKILL);
    let alone = left();
    assert_eq!(before.left_over(), [""; 0], "killed alone");

    // The sets of the first are found under their keys, and reclaimed.
    let mut server = opengauss(&instance, missing, &["--linger=0s"]);
    let (_, made) = server.belongings();
    if is_recorded {
        wait_until("its sets are recorded", SOON, || {
            let text = String::from_utf8(instance.bytes()).unwrap();
            made.iter().all(|id| text.contains(&format!(r#""kind":"sem","id":{id},"#)))
        });
    }
    server.end_both(Signal::SIGKILL);
    assert_eq!(left(), 3, "nobody has cleaned up yet");
    let swept = sweep(&instance, missing);
    assert_eq!(before.left_over(), [""; 0], "{swept:?}");
    assert_eq!(before.missing(), [""; 0], "what is another's stands");
    assert!(known.iter().all(|id| sets().iter().any(|line| line.id == *id)));
    (alone, left())
}

#[test]
fn without_the_calls_that_only_save_time_an_opengauss_leaves_nothing() {
    sandbox::on_host(|| assert_eq!(sets_left(&SLOW, true), (0, 0)));
}

/// A set has too little of an identity where its namespace has no name: it stays, and is told.
#[test]
fn without_names_of_namespaces_the_sets_of_an_opengauss_stay_and_its_segment_goes() {
    sandbox::on_host(|| {
        assert_eq!(sets_left(&[NS_GET_ID], true), (3, 3));
        assert!(has(&findings(&[NS_GET_ID]), "kernel-namespace-id", "warn"));
    });
}

/// What cannot be listed is not recorded; doctor says so.
#[test]
fn without_the_tables_of_all_users_the_sets_of_an_opengauss_stay_and_its_segment_goes() {
    sandbox::on_host(|| {
        assert_eq!(sets_left(&[STAT_ANY], false), (3, 3));
        assert!(has(&findings(&[STAT_ANY]), "kernel-stat-any", "warn"));
    });
}

/// What was recorded with the call is no `gone` without it.
#[test]
fn what_cannot_be_listed_any_more_is_kept_and_not_taken_for_gone() {
    sandbox::on_host(|| {
        let instance = Instance::new(User::Server);
        let mut server = opengauss(&instance, &[], &["--linger=0s"]);
        instance.wait_recorded(4);
        server.end_both(Signal::SIGKILL);
        let swept = outcomes(&sweep(&instance, &[STAT_ANY]));
        assert!(!swept.iter().any(|outcome| outcome.starts_with("gone")), "{swept:?}");
        // The control: with the call nothing is left.
        instance.sweep(&[]).expect_code(0);
        assert_eq!((segments().len(), sets().len()), (0, 0), "{swept:?}");
    });
}

fn postgres_leaves_nothing(kind: Kind, missing: &[&[Rule]]) {
    let mut stage = Stage::new(kind);
    let prefix = [filter::without(missing), stage.prefix()].concat();
    stage.cluster.start_under(&prefix);
    stage.kill_server();
    stage.assert_clean();
    stage.cluster.start_under(&prefix);
    kill_both(&mut stage);
    let ledger = stage.ledger.to_str().unwrap().to_owned();
    let answer = Answer::of(&mut shmwarden(missing, &["sweep", "--wait", "20s", &ledger]));
    assert_eq!(stage.left(), Objects::new(), "{answer:?}");
    stage.assert_clean();
}

/// Nobody lives to see the server's death.
fn kill_both(stage: &mut Stage) {
    let all = stage.cluster.processes();
    stage.cluster.server().signal(Signal::SIGSTOP);
    processes::kill(stage.cluster.postmaster_pid(), Signal::SIGKILL);
    stage.kill_launcher();
    all.iter().for_each(|&pid| processes::wait_end(pid, SOON));
    assert!(!stage.left().is_empty(), "nobody has cleaned up yet");
}

const KINDS: [Kind; 2] = [
    Kind { major: 15, main: "mmap", dynamic: "posix" },
    Kind { major: 15, main: "sysv", dynamic: "sysv" },
];

#[test]
fn a_postgresql_with_files_leaves_nothing_without_any_of_the_calls() {
    sandbox::on_host_within(LIMIT, || postgres_leaves_nothing(KINDS[0], &OLDEST));
}

#[test]
fn a_postgresql_with_segments_leaves_nothing_without_any_of_the_calls() {
    sandbox::on_host_within(LIMIT, || postgres_leaves_nothing(KINDS[1], &OLDEST));
}

#[test]
fn a_postgresql_in_place_leaves_nothing_without_any_of_the_calls() {
    sandbox::on_host_within(LIMIT, || {
        let mut stage = Stage::new(KINDS[0]);
        let ledger = stage.ledger.to_str().unwrap().to_owned();
        let run = warden::prefix(&["run", "--in-place", "--ledger", &ledger]);
        stage.cluster.start_under(&[filter::without(&OLDEST), run].concat());
        stage.kill_server();
        wait_until("the guardian has cleaned up", SOON, || stage.left().is_empty());
        stage.assert_clean();
    });
}

#[test]
fn list_and_who_show_the_same_without_the_calls() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let server = opengauss(&instance, &[], &[]);
        instance.wait_recorded(4);
        let (held, _) = server.belongings();
        let shown = |missing: &[&[Rule]]| {
            let mut list = shmwarden(missing, &["list", "--json", "--kind", "shm", "--ledger"]);
            let json = Answer::of(list.arg(instance.path())).expect_code(0).json();
            let row = &json["objects"][0];
            (row["id"].clone(), row["verdict"].clone(), row["nattch"].clone())
        };
        // Without names of namespaces a ledger that has one is of another place.
        let missing: Vec<&[Rule]> = [&SLOW[..], &[STAT_ANY]].concat();
        assert_eq!(shown(&missing), shown(&[]));
        assert_eq!(shown(&missing).1, "live");
        let id = held[0].to_string();
        let who = Answer::of(&mut shmwarden(&missing, &["who", "--json", &id])).expect_code(0);
        let holder = &who.json()["objects"][0]["holders"][0]["pid"];
        assert_eq!(*holder, Value::from(server.pid()));
    });
}

/// What is attached stays, whoever may not be seen by the newer ways.
#[test]
fn what_a_survivor_holds_stays_without_any_of_the_calls() {
    sandbox::on_host_within(LIMIT, || {
        need_to_look_into_others();
        let mut stage = Stage::new(KINDS[1]);
        let linger = ["run", "--linger", "2s", "--orphans", "kill", "--ledger"];
        let ledger = stage.ledger.to_str().unwrap().to_owned();
        let run = warden::prefix(&[&linger[..], &[ledger.as_str()]].concat());
        stage.cluster.start_under(&[filter::without(&OLDEST), run].concat());
        let main = stage.cluster.main_segment();
        let survivor = holders::attach(User::Server, main);
        let running = Snapshot::take();
        let status = stage.kill_server();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(processes::lives(survivor.pid()), "nobody is ended without a descriptor");
        let log = stage.cluster.log();
        assert!(log.contains("cannot be ended"), "{log}");
        assert_eq!(segment(main).map(|one| one.nattch), Some(1));
        assert_eq!(running.missing(), [""; 0]);
        // The control.
        let pid = survivor.pid();
        processes::kill(pid, Signal::SIGKILL);
        drop(survivor);
        processes::wait_end(pid, SOON);
        let answer = Answer::of(&mut shmwarden(&OLDEST, &["sweep", "--wait", "20s", &ledger]));
        assert_eq!(stage.left(), Objects::new(), "{answer:?}");
    });
}

#[test]
fn doctor_names_each_call_that_is_missing() {
    sandbox::run(|| {
        create_segment(User::Server, 0x4711, 4096);
        let all = findings(&[]);
        let said = findings(&OLDEST);
        for (id, level) in [
            ("kernel-stat-any", "warn"),
            ("kernel-pidfd", "warn"),
            ("kernel-namespace-id", "warn"),
            ("kernel-pidfd-info", "ok"),
            ("kernel-procmap-query", "ok"),
        ] {
            assert!(has(&said, id, level), "{id}: {said:?}");
            let alone = match id {
                "kernel-stat-any" => findings(&[STAT_ANY]),
                "kernel-pidfd" => findings(&[PIDFD]),
                "kernel-namespace-id" => findings(&[NS_GET_ID]),
                "kernel-pidfd-info" => findings(&[PIDFD_GET_INFO]),
                _ => findings(&[PROCMAP_QUERY]),
            };
            assert!(has(&alone, id, level), "{id}: {alone:?}");
            // Whether this kernel has it or not, more is missing without it.
            assert!(alone.len() > all.len() || has(&all, id, level), "{alone:?} {all:?}");
        }
    });
}
