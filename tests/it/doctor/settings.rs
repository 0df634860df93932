//! Settings that hurt a server: of the kernel, of logind; ledgers that cannot do their work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::make::{finding, findings, report, set_limit};
use crate::scene::instance::{Instance, SOON, need_root};
use crate::scene::stand_in::StandIn;
use crate::support::objects::create_segment;
use crate::support::processes::Process;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden;
use crate::support::{sandbox, skip};

/// A uid that logind takes for a person's.
const PERSON: u32 = 54_321;

fn mount(arguments: &[&str]) {
    sandbox::assert_inside();
    need_root("to mount");
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "{arguments:?}");
}

fn write(path: &str, text: impl AsRef<[u8]>) {
    let path = Path::new(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A machine that systemd seems to run, without any configuration.
fn pretend_systemd() {
    for directory in ["/run", "/etc/systemd", "/usr/lib/systemd"] {
        // Else the test would write into the machine's own directories.
        if !Path::new(directory).is_dir() {
            skip(format!("needs {directory}, to put an empty file system there"));
        }
        mount(&["-t", "tmpfs", "settings", directory]);
    }
    fs::create_dir_all("/run/systemd/system").unwrap();
}

/// A process that goes by the name of a server, and works in this directory.
fn server_of(user: User, directory: &Path) -> Process {
    let program = sandbox::scratch().join("postgres");
    if !program.exists() {
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = user.command(program);
    let server = Process::spawn(command.arg("1000").current_dir(directory).stdout(Stdio::null()));
    let executes = format!("/proc/{}/exe", server.pid());
    wait_until("it executes what it is to", SOON, || {
        fs::read_link(&executes).is_ok_and(|path| path.ends_with("postgres"))
    });
    server
}

#[test]
fn shm_rmid_forced_is_bad() {
    sandbox::run(|| {
        assert_eq!(finding(&report(&[], 0), "shm-rmid-forced").0, "ok");
        set_limit("shm_rmid_forced", "1");
        let (level, text, fix) = finding(&report(&[], 1), "shm-rmid-forced");
        assert_eq!(level, "bad");
        assert!(text.contains("last detach") && fix.contains("shm_rmid_forced=0"), "{text} {fix}");
    });
}

#[test]
fn a_dev_shm_that_is_not_open_to_every_user_is_warned_of() {
    sandbox::run(|| {
        mount(&["-t", "tmpfs", "-o", "mode=0755,size=1g", "closed", "/dev/shm"]);
        let (level, text, fix) = finding(&report(&[], 1), "dev-shm-mode");
        assert_eq!((level.as_str(), fix.as_str()), ("warn", "as root: chmod 1777 /dev/shm"));
        assert!(text.contains("is 0755, of user 0, and has to be 1777"), "{text}");
        fs::set_permissions("/dev/shm", PermissionsExt::from_mode(0o1777)).unwrap();
        assert_eq!(findings(&report(&[], 0), "dev-shm-mode").len(), 0);
    });
}

#[test]
fn a_small_dev_shm_and_one_that_fills_up_are_warned_of() {
    sandbox::run(|| {
        mount(&["-t", "tmpfs", "-o", "mode=1777,size=64m", "small", "/dev/shm"]);
        let (level, text, _) = finding(&report(&[], 1), "dev-shm");
        assert_eq!((level.as_str(), text.contains("64 MiB in all")), ("warn", true), "{text}");
        fs::write("/dev/shm/big", vec![1; 62 << 20]).unwrap();
        let said = report(&[], 1);
        let (level, text, fix) = finding(&said, "limit-dev-shm");
        assert_eq!(level, "bad");
        assert!(text.contains("could not resize shared memory segment"), "{text}");
        assert!(fix.contains("remount,size="), "{fix}");
        let message = "could not resize shared memory segment \"/PostgreSQL.1\" to 8388608 bytes: \
            No space left on device";
        let answer = super::make::explained(message);
        let here = super::make::part(&answer, "here");
        assert!(here.contains("62.0 MiB of 64.0 MiB in /dev/shm are taken"), "{here}");
        assert!(here.contains("8.0 MiB were asked for"), "{here}");
    });
}

#[test]
fn logind_removes_the_ipc_of_a_server_that_is_no_system_user() {
    sandbox::run(|| {
        pretend_systemd();
        let id = "logind-remove-ipc";
        let level = |code| finding(&report(&[], code), id);
        assert_eq!(level(0).0, "ok");
        let _system = server_of(User::Server, Path::new("/"));
        assert_eq!(level(0).0, "ok", "a system user's");
        let person = server_of(User::Other(PERSON), Path::new("/"));
        let (found, text, fix) = level(1);
        assert_eq!(found, "bad");
        let pid = person.pid().to_string();
        assert!(text.contains("RemoveIPC=yes by default") && text.contains(&pid), "{text}");
        assert!(fix.contains("/etc/systemd/logind.conf.d/ipc.conf"), "{fix}");

        // Files in the order in which they count.
        write("/usr/lib/systemd/logind.conf", "[Login]\n#RemoveIPC=no\n");
        assert_eq!(level(0).0, "ok", "the distribution's default");
        write("/run/systemd/logind.conf.d/50-a.conf", "[Login]\nRemoveIPC=yes\n");
        let (found, text, _) = level(1);
        assert_eq!(found, "bad");
        assert!(text.contains("by /run/systemd/logind.conf.d/50-a.conf"), "{text}");
        write("/etc/systemd/logind.conf.d/50-a.conf", "[Login]\nRemoveIPC=no\n");
        assert_eq!(level(0).0, "ok", "/etc goes before /run");
        fs::remove_file("/etc/systemd/logind.conf.d/50-a.conf").unwrap();
        drop(person);
        assert_eq!(level(0).0, "ok", "nobody is left whom it is about");
        create_segment(User::Other(PERSON), 5, 4096);
        let said = report(&[], 1);
        assert_eq!(finding(&said, id).0, "warn", "objects may be a server's");
    });
}

#[test]
fn units_that_systemctl_does_not_tell_of_are_no_check_that_is_fine() {
    sandbox::run(|| {
        pretend_systemd();
        let _server = server_of(User::Server, Path::new("/"));
        let tools = sandbox::scratch().join("tools");
        write(
            tools.join("systemctl").to_str().unwrap(),
            "#!/bin/sh\nprintf 'no \\033[31mbus\\n' >&2; exit 1\n",
        );
        fs::set_permissions(tools.join("systemctl"), PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let mut command = warden::command(User::Root, &["doctor"]);
        let said = warden::Answer::of(command.env("PATH", path)).expect_code(0);
        let words = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("ok the units of servers could not be looked at: systemctl"),
            "{words}"
        );
        assert!(words.contains("no \\u{1b}[31mbus"), "{words}");
    });
}

#[test]
fn hostile_configuration_is_read_escaped_or_named_as_unread() {
    sandbox::run(|| {
        pretend_systemd();
        let hostile = "/etc/systemd/logind.conf.d/a\u{1b}[31m\n.conf";
        let junk = [&b"\xff\xfe[Login]\n\x1b[31m=\0\n"[..], &vec![b'x'; 100_000]].concat();
        write(hostile, junk);
        assert_eq!(finding(&report(&[], 0), "logind-remove-ipc").0, "ok");
        fs::remove_file(hostile).unwrap();
        nix::unistd::mkfifo(hostile, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(finding(&report(&[], 1), "logind-unread").0, "warn");
        let words = warden::answer(User::Root, &["doctor", "-v"]).expect_code(1).stdout;
        assert!(words.contains("a\\u{1b}[31m\\n.conf cannot be read"), "{words}");
        assert!(!words.contains(|c: char| c.is_control() && c != '\n'), "{words:?}");
    });
}

#[test]
fn a_damaged_a_void_and_a_misplaced_ledger_are_found() {
    sandbox::run(|| {
        let instance = Instance::new(User::Root);
        let server = StandIn::start(&instance, 0);
        instance.wait_recorded(1);
        let report = |code| report(&["--ledger", instance.path()], code);
        assert_eq!(finding(&report(0), "ledgers").0, "ok");
        server.kill_all();
        let said = report(1);
        let (level, text, fix) = finding(&said, "leak-stale");
        assert_eq!((level.as_str(), fix.as_str()), ("warn", "shmwarden sweep"), "{text}");
        assert_eq!(said["leaks"][0]["instance"], "server");

        let text = fs::read_to_string(instance.ledger()).unwrap();
        fs::write(instance.ledger(), text.replacen("\"run\":1", "\"run\":2", 1)).unwrap();
        let said = report(1);
        let (level, words, _) = finding(&said, "ledger-damaged");
        assert_eq!(level, "bad");
        assert!(words.contains(instance.path()) && words.contains("line 2"), "{words}");
        fs::write(instance.ledger(), &text).unwrap();

        let inside = Command::new("unshare")
            .arg("--ipc")
            .arg(warden::binary())
            .args(["doctor", "--json", "--ledger", instance.path()])
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&inside.stdout).unwrap();
        assert_eq!(finding(&said, "ledger-void").0, "warn");
        fs::set_permissions(instance.ledger(), PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(finding(&report(1), "ledger-unusable").0, "warn");
    });
}

#[test]
fn a_ledger_below_run_is_lost_when_its_unit_stops() {
    sandbox::run(|| {
        mount(&["-t", "tmpfs", "settings", "/run"]);
        let ledger = "/run/postgresql/server.ledger";
        fs::create_dir_all("/run/postgresql").unwrap();
        let instance = Instance::at(User::Root, Path::new(ledger));
        let _server = StandIn::start(&instance, 9);
        instance.wait_recorded(1);
        let said = report(&["--ledger", ledger], 1);
        let (level, _, fix) = finding(&said, "ledger-in-run");
        assert_eq!((level.as_str(), fix.contains("StateDirectory=")), ("warn", true), "{fix}");
    });
}

#[test]
fn two_servers_on_mount_points_have_one_inode() {
    sandbox::run(|| {
        need_root("to mount");
        let mut servers = Vec::new();
        for name in ["first", "second"] {
            let directory = sandbox::scratch().join(name);
            fs::create_dir_all(&directory).unwrap();
            mount(&["-t", "tmpfs", "data", directory.to_str().unwrap()]);
            servers.push(server_of(User::Root, &directory));
            let found = findings(&report(&[], i32::from(servers.len() == 2)), "same-inode").len();
            assert_eq!(found, servers.len() - 1);
        }
        let (level, text, fix) = finding(&report(&[], 1), "same-inode");
        assert_eq!(level, "warn");
        assert!(text.contains("first") && text.contains("second"), "{text}");
        assert!(fix.contains("below its mount point"), "{fix}");
    });
}

#[test]
fn what_a_user_may_not_see_does_not_fail_the_report() {
    sandbox::on_host(|| {
        need_root("to act as another user");
        create_segment(User::Server, 5, 4096);
        let answer = warden::answer(User::Other(PERSON), &["doctor", "--json"]);
        assert!(matches!(answer.code(), 0 | 1), "{answer:?}");
        assert_eq!(answer.stderr, "");
        let (level, text, _) = finding(&answer.json(), "unseen");
        assert_eq!((level.as_str(), text.contains("as root")), ("ok", true), "{text}");
        let terminal = "script -qec \"$1 doctor\" /dev/null | head -c 100000";
        let coloured = crate::command::make::shell(&format!("TERM=xterm {terminal}"));
        assert!(coloured.stdout.contains("\u{1b}[1mLIMIT"), "{coloured:?}");
        let closed = crate::command::make::shell("$1 doctor | head -n 1; echo ${PIPESTATUS[0]}");
        assert!(closed.stdout.ends_with("\n1\n"), "{closed:?}");
        assert_eq!(closed.stderr, "");
    });
}
