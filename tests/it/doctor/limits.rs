//! Limits, how full they are, and who fills them.

use super::make::{explained, finding, findings, limit, part, report, set_limit};
use crate::command::make::perl;
use crate::scene::instance::{SOON, need_root};
use crate::support::objects::{KEY_FAMILY, create_segment, remove_segment, segments};
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;

/// The known table: 19 users on one port, whose servers are long dead, and a desktop beside them.
const USERS: u32 = 19;
const FIRST_UID: u32 = 20_001;
const BYTES: u64 = 1 << 20;

#[test]
fn the_table_of_nineteen_dead_servers_is_leaked_by_nineteen_users() {
    sandbox::on_host(|| {
        need_root("to act as nineteen users");
        let desktop = r#"
            my $id = shmget(0, 393_216, 01600); syscall($SHMAT, $id, 0, 0) != -1 or die;
            shmctl($id, 0, 0); print "ready $id\n"; sleep 1000;
        "#;
        let (_desktop, dest) = perl(User::Root, desktop, &[]);
        for number in 0..USERS {
            create_segment(User::Other(FIRST_UID + number), KEY_FAMILY + 1 + number, BYTES);
        }
        let said = report(&[], 1);
        let (used, most, leaked) = limit(&said, "shmmni");
        assert_eq!((used, leaked), (20, 19));
        assert!(most >= 4096, "{most}");
        let page = limit(&said, "shmall");
        assert_eq!((page.0 - page.2, page.2), (96, u64::from(USERS) * 256), "pages of 4 KiB");
        let leaks = said["leaks"].as_array().unwrap();
        assert_eq!(leaks.len(), 19);
        for leak in leaks {
            assert_eq!((&leak["objects"], &leak["bytes"]), (&1.into(), &BYTES.into()));
            assert_eq!((&leak["verdict"], &leak["owner"]), (&"orphan".into(), &().into()));
        }
        let mut uids: Vec<u64> = leaks.iter().map(|leak| leak["uid"].as_u64().unwrap()).collect();
        uids.sort_unstable();
        assert_eq!(uids, (20_001..=20_019).collect::<Vec<u64>>());
        let (level, text, fix) = finding(&said, "leak-orphan");
        assert_eq!(level, "warn");
        assert!(text.contains("19 objects") && text.contains("19.0 MiB"), "{text}");
        // They are seconds old, and what is proposed takes them.
        let first = fix.split("; ").next().unwrap();
        assert_eq!(first, "shmwarden adopt --min-age 0 --dry-run");
        assert_eq!(leaks[0]["fix"], first);
        let words: Vec<&str> = first.split(' ').skip(1).chain(["--json"]).collect();
        let would = warden::answer(User::Root, &words).expect_code(0).json();
        let would = would["objects"].as_array().unwrap().iter();
        assert_eq!(would.filter(|one| one["outcome"] == "would-adopt").count(), 19);
        // Who cannot free them is told of none to free.
        let his = warden::answer(User::Other(FIRST_UID), &["doctor", "--json"]).json();
        let levels: Vec<_> =
            findings(&his, "leak-orphan").iter().map(|one| &one["level"]).collect();
        assert_eq!(levels, ["warn", "ok"], "his own, and those of others: {his:#}");
        let fixes: Vec<_> =
            his["leaks"].as_array().unwrap().iter().map(|one| &one["fix"]).collect();
        assert_eq!(fixes.iter().filter(|fix| **fix == first).count(), 1, "{his:#}");
        assert!(fixes.contains(&&"sudo shmwarden adopt --min-age 0 --dry-run".into()), "{his:#}");

        let words = warden::answer(User::Root, &["doctor"]).expect_code(1).stdout;
        assert_eq!(words.matches("20007?").count(), 1, "no account: a number with a mark\n{words}");
        assert!(
            words.trim_end().ends_with("next: shmwarden adopt --min-age 0 --dry-run"),
            "{words}"
        );
        assert!(words.lines().all(|line| line.chars().count() <= 80), "{words}");

        segments().iter().filter(|one| one.id != dest).for_each(|one| remove_segment(one.id));
        let said = report(&[], 0);
        assert_eq!(limit(&said, "shmmni").0, 1);
        assert_eq!(findings(&said, "leak-orphan").len(), 0);
        assert_eq!(finding(&said, "leaks").0, "ok");
    });
}

#[test]
fn a_full_number_of_segments_is_bad_and_the_servers_message_is_explained() {
    sandbox::on_host(|| {
        set_limit("shmmni", "10");
        for _ in 0..9 {
            create_segment(User::Server, 0, 4096);
        }
        assert_eq!(finding(&report(&[], 1), "limit-shmmni").0, "warn");
        create_segment(User::Server, 0, 4096);
        let said = report(&[], 1);
        assert_eq!(limit(&said, "shmmni"), (10, 10, 10));
        let (level, text, fix) = finding(&said, "limit-shmmni");
        assert_eq!(level, "bad");
        assert!(text.contains("10 of 10 segments") && text.contains("No space left"), "{text}");
        assert!(text.contains("nobody uses any"), "{text}");
        assert!(fix.contains("kernel.shmmni=20"), "{fix}");
        let kernel = perl_error("defined shmget(0, 4096, 01600)", "shmget");
        let answer = explained(&kernel);
        assert_eq!((&answer["call"], &answer["errno"]), (&"shmget".into(), &"ENOSPC".into()));
        assert!(answer["means"].as_str().unwrap().contains("not a disk"), "{answer:#}");
        assert!(part(&answer, "here").contains("shmmni is reached: 10 of 10"), "{answer:#}");
        // Where it is no longer so, that is said.
        set_limit("shmmni", "4096");
        assert!(part(&explained(&kernel), "here").contains("shmmni is not reached now"));
    });
}

/// What the kernel says to a Perl process that makes one object too many.
fn perl_error(call: &str, name: &str) -> String {
    let script = format!("{call} and die 'it went well'; print STDERR \"{name}: $!\\n\"");
    let mut perl = User::Root.command("perl");
    let answer = warden::Answer::of(perl.args(["-e", &script]));
    answer.expect_code(0).stderr
}

#[test]
fn memory_of_all_segments_is_counted_in_pages() {
    sandbox::on_host(|| {
        set_limit("shmall", "100");
        create_segment(User::Server, 5, 90 * 4096 + 1);
        let said = report(&[], 1);
        assert_eq!(limit(&said, "shmall"), (91, 100, 91));
        assert_eq!(finding(&said, "limit-shmall").0, "warn");
        let kernel = perl_error("defined shmget(0, 10 * 4096, 01600)", "shmget");
        assert!(kernel.contains("No space left on device"), "{kernel}");
        let whole = "Failed system call was shmget(key=1, size=40960, 03600)";
        let answer = explained(&format!("{kernel}{whole}"));
        assert!(
            part(&answer, "here").contains("shmall does not allow it: 91 of 100"),
            "{answer:#}"
        );
        let fits = explained("shmget(key=1, size=4096, 03600): ENOSPC");
        assert!(part(&fits, "here").contains("shmall is not reached now"), "{fits:#}");
    });
}

#[test]
fn thousands_of_semaphore_sets_of_one_dead_web_server_explain_enospc() {
    sandbox::run(|| {
        need_root("to make sets as root and give them away, as Apache httpd does");
        // The most that a kernel gives out without ipcmni_extend, and one more than that.
        set_limit("sem", "32000 1024000000 500 32768");
        let script = r#"
            my ($IPC_SET, $IPC_STAT, $count) = (1, 2, 0);
            while (defined(my $id = semget(0, 1, 01600))) {
                semctl($id, 0, $IPC_STAT, my $ds = "") or die "semctl: $!\n";
                substr($ds, 4, 8) = pack("LL", 33, 33); # behind the key: uid and gid
                semctl($id, 0, $IPC_SET, $ds) or die "semctl: $!\n";
                $count++;
            }
            print "ready $count\n";
        "#;
        let (mut httpd, made) = perl(User::Root, script, &[]);
        httpd.wait(SOON);
        assert_eq!(made, 32_768, "all that there can be");
        let said = report(&[], 1);
        let (used, most, _) = limit(&said, "semmni");
        assert_eq!((used, most), (32_768, 32_768));
        let (level, text, fix) = finding(&said, "limit-semmni");
        assert_eq!(level, "bad");
        assert!(text.contains("32768 of 32768 sets are taken (100 %)"), "{text}");
        assert!(text.contains("www-data has all of them, and nobody uses any"), "{text}");
        assert!(fix.contains("ipcmni_extend"), "{fix}");
        let message = "[core:emerg] (28)No space left on device: AH00023: Couldn't create the \
            rewrite-map mutex";
        for message in [message, &perl_error("defined semget(0, 1, 01600)", "semget")] {
            let answer = explained(message);
            assert!(answer["means"].as_str().unwrap().contains("not a disk"), "{answer:#}");
            let here = part(&answer, "here");
            assert!(here.contains("semmni is reached: 32768 of 32768"), "{here}");
            assert!(here.contains("nobody uses any"), "{here}");
            assert!(part(&answer, "run").contains("www-data"), "{answer:#}");
        }
    });
}

#[test]
fn a_full_queue_is_warned_of_where_somebody_waits_to_send() {
    sandbox::on_host(|| {
        let fill = r#"
            my $id = msgget(0, 01600); defined $id or die;
            1 while msgsnd($id, pack("l! a*", 1, "x" x 1000), 04000);
            print "ready $id\n"; sleep 2; msgsnd($id, pack("l! a*", 1, "x" x 1000), 0); sleep 1000;
        "#;
        let (sender, id) = perl(User::Root, fill, &[]);
        assert_eq!(finding(&report(&[], 0), "queue-full").0, "ok", "nobody waits yet");
        let found =
            || finding(&warden::answer(User::Root, &["doctor", "--json"]).json(), "queue-full");
        wait_until("it waits", SOON, || found().0 == "warn");
        let (_, text, fix) = found();
        assert!(text.contains(&format!("queue {id} of root is full")), "{text}");
        assert!(text.contains(&format!("process {} waits", sender.pid())), "{text}");
        assert!(fix.starts_with(&format!("shmwarden who {id} names")), "{fix}");
        let named = warden::answer(User::Root, &["who", &id.to_string()]);
        assert!(named.stdout.contains(&sender.pid().to_string()), "{named:?}");
    });
}
