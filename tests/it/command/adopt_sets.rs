//! `adopt` and `sweep` on semaphore sets and message queues: those of a dead httpd go, all of them,
//! and what somebody waits for or used last and lives stays.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use shmwarden::ledger::compact::LONG_BYTES;

use super::adopt::{adopt, ledger_of, said};
use super::make::perl;
use crate::scene::instance::need_root;
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// As `Mutex sysvsem` leaves them: made by root, given to the server's user, used by its dead
/// children; until the kernel has no more.
const LEAK: &str = r#"
    my $made = 0;
    while (defined(my $id = semget(0, 1, 03600))) {
        my $stat = "";
        semctl($id, 0, 2, $stat) or die "IPC_STAT: $!\n";
        substr($stat, 4, 8) = pack("II", 33, 33);
        semctl($id, 0, 1, $stat) or die "IPC_SET: $!\n";
        semop($id, pack("s!3", 0, 1, 0)) or die "semop: $!\n" if $made % 2;
        $made++;
    }
    print "$made $!\n";
"#;

/// How many the namespace of the test may have: a tenth of the kernel's usual limit.
const MOST: usize = 3_200;

fn run_perl(script: &str) -> String {
    let mut command = User::Root.command("perl");
    Answer::of(command.args(["-e", script])).expect_code(0).stdout
}

/// Every set, or queue, of this IPC namespace, as `adopt` names them.
fn names(table: &str) -> Vec<String> {
    let rows = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap();
    let ids = rows.lines().skip(1).map(|row| row.split_whitespace().nth(1).unwrap().to_owned());
    ids.map(|id| format!("{table}:{id}")).collect()
}

fn sweep(path: &str) -> serde_json::Value {
    warden::answer(User::Root, &["sweep", "--json", path]).expect_code(0).json()
}

#[test]
fn every_semaphore_set_that_a_dead_httpd_leaked_is_cleared() {
    sandbox::run(|| {
        need_root("to give sets to another user");
        std::fs::write("/proc/sys/kernel/sem", format!("32000 1024000000 500 {MOST}")).unwrap();
        let leaked = run_perl(LEAK);
        assert!(leaked.starts_with(&format!("{MOST} No space left on device")), "{leaked}");
        let names = names("sem");
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        // Root lives, and made them: no filter takes them.
        let all = adopt(User::Root, path, &["--owner", "33"], 0);
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|one| one["reason_code"] == "user-lives"));
        let words: Vec<&str> = names.iter().map(String::as_str).collect();
        let named = adopt(User::Root, path, &words, 0);
        assert_eq!(named.iter().filter(|one| one["outcome"] == "adopted").count(), MOST);
        let swept = sweep(path);
        assert_eq!((&swept["removed"], &swept["kept"]), (&MOST.into(), &0.into()));
        assert_eq!(std::fs::read_to_string("/proc/sysvipc/sem").unwrap().lines().count(), 1);
        // What is left to remember of them does not grow with the next adoption.
        let id = run_perl("print semget(0, 1, 03600)");
        adopt(User::Root, path, &[&format!("sem:{id}")], 0);
        assert!(std::fs::metadata(&ledger).unwrap().len() < LONG_BYTES / 2);
    });
}

#[test]
fn sets_of_a_user_without_processes_are_taken_by_a_filter() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        let mut command = User::Other(4713).command("perl");
        let script = "semget(5, 3, 03600); semget(6, 1, 03600); 1";
        Answer::of(command.args(["-e", script])).expect_code(0);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let all = adopt(User::Root, path, &["--key-family", "5"], 0);
        assert_eq!(said(&all), ["sem 0 adopted no-user"]);
        assert_eq!(sweep(path)["removed"], 1);
        assert_eq!(names("sem").len(), 1);
    });
}

/// Whoever adopts once and sweeps once keeps no long ledger, and can still see what was removed.
#[test]
fn a_sweep_of_many_adopted_objects_leaves_a_short_ledger_with_its_newest_removals() {
    sandbox::on_host(|| {
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let count = 2500;
        need_root("to make objects of a user without processes");
        let script = "$( = 4713; $) = '4713 4713'; $< = $> = 4713;
            my $id; for my $key (1..2500) { $id = shmget($key, 1, 01600) // die $! } print $id + 0";
        let last = run_perl(script);
        adopt(User::Root, path, &["--key-family", "0x00000000/16"], 0);
        let adopted = std::fs::metadata(&ledger).unwrap().len();
        assert!(adopted > LONG_BYTES / 2, "{adopted}");
        assert_eq!(sweep(path)["removed"], count);
        let swept = std::fs::metadata(&ledger).unwrap().len();
        assert!(swept < LONG_BYTES / 2, "{swept}");
        let history = warden::answer(User::Root, &["history", path]).expect_code(0);
        assert!(history.stdout.contains(&format!("segment {last} (key")), "{history:?}");
        assert_eq!(sweep(path)["removed"], 0);
    });
}

#[test]
fn a_long_ledger_that_means_nothing_in_this_namespace_is_not_written_to() {
    sandbox::on_host(|| {
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        need_root("to make more segments than there may be as a rule");
        std::fs::write("/proc/sys/kernel/shmmni", "6000").unwrap();
        run_perl(
            "$( = 4713; $) = '4713 4713'; $< = $> = 4713;
            for my $key (1..5500) { defined(shmget($key, 1, 01600)) or die $! }",
        );
        adopt(User::Root, path, &["--key-family", "0x00000000/16"], 0);
        let file = || (std::fs::metadata(&ledger).unwrap().ino(), std::fs::read(&ledger).unwrap());
        let before = file();
        assert!(before.1.len() as u64 > LONG_BYTES, "{}", before.1.len());
        let mut elsewhere = User::Root.command("unshare");
        elsewhere.arg("--ipc").arg(warden::binary()).args(["sweep", path]);
        Answer::of(&mut elsewhere).expect_code(0);
        assert!(file() == before, "it was written anew");
        assert_eq!(sweep(path)["removed"], 5500);
        assert!((file().1.len() as u64) < LONG_BYTES / 2);
    });
}

#[test]
fn a_set_with_a_waiter_or_a_living_operator_is_refused_by_its_name() {
    sandbox::on_host(|| {
        let hold = r#"my $id = semget(5, 2, 03600); semop($id, pack("s!3", 0, 1, 0)) or die;
                      print "ready $id\n"; sleep 1000"#;
        let (holder, id) = perl(User::Root, hold, &[]);
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let name = format!("sem:{id}");
        let ask = |code| said(&adopt(User::Root, path, &[&name], code)).remove(0);
        assert_eq!(ask(77), format!("sem {id} refused last-user-lives"));
        let wait = r#"$| = 1; print "ready 0\n"; semop($ARGV[0], pack("s!3", 1, -1, 0))"#;
        let (waiter, _) = perl(User::Root, wait, &[&id.to_string()]);
        drop(holder);
        wait_until("it waits", Duration::from_secs(10), || ask(77).ends_with("waited-for"));
        drop(waiter);
        assert_eq!(ask(0), format!("sem {id} adopted named"));
        // Somebody operates it between adoption and sweep, and ends.
        run_perl(&format!("sleep 1; semctl({id}, 0, 16, 7) or die"));
        let swept = sweep(path);
        let one = &swept["ledgers"][0]["objects"][0];
        assert_eq!((&one["outcome"], &one["reason_code"]), (&"kept".into(), &"changed".into()));
        assert_eq!(names("sem"), [name]);
    });
}

#[test]
fn a_queue_that_somebody_waits_for_is_refused_and_a_forgotten_one_goes() {
    sandbox::on_host(|| {
        // Not root's, of which some process may not be asked everywhere.
        let mut perl_of_server = User::Server.command("perl");
        let id = Answer::of(perl_of_server.args(["-e", "print msgget(5, 03600)"])).stdout;
        let ledger = ledger_of(User::Root);
        let path = ledger.to_str().unwrap();
        let name = format!("msg:{id}");
        let ask = |code| said(&adopt(User::Root, path, &[&name], code)).remove(0);
        let receive = r#"$| = 1; print "ready 0\n"; my $b; msgrcv($ARGV[0], $b, 100, 0, 0)"#;
        let receiver: (Process, i32) = perl(User::Root, receive, &[&id]);
        wait_until("it waits", Duration::from_secs(10), || {
            let syscall = format!("/proc/{}/wchan", receiver.0.pid());
            std::fs::read_to_string(syscall).is_ok_and(|place| place.contains("msg"))
        });
        assert_eq!(ask(77), format!("msg {id} refused blocked-on"));
        drop(receiver);
        run_perl(&format!(r#"msgsnd({id}, pack("l! a*", 1, "x" x 100), 0) or die"#));
        assert_eq!(ask(0), format!("msg {id} adopted named"));
        let swept = warden::answer(User::Root, &["sweep", path]).expect_code(0).stdout;
        assert!(swept.contains("removed  message queue"), "{swept}");
        assert!(swept.contains("1 messages of 100 bytes"), "{swept}");
        assert!(names("msg").is_empty());
    });
}
