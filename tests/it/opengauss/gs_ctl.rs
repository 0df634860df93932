//! A server that is started as `gs_ctl start -Z single_node -M primary` does it (`pg_ctl.cpp`:
//! `start_postmaster`, `test_postmaster_connection`), with the script in `-p`. No `gs_ctl` is run:
//! the steps are its own, in Perl.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::gauss::{PORT, data_directory};
use crate::database::in_place::write_script;
use crate::scene::instance::{Instance, SOON};
use crate::support::calls::sets;
use crate::support::objects::segments;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

/// Forks, begins a session, has a shell execute the program; accepts the first five lines of
/// `postmaster.pid` only with the pid that it has forked, not older than two seconds before, while
/// `waitpid` gives no status; then believes in the process only by its working directory
/// (`IsMyPostmasterPid`). Its own end leaves the server to whoever adopts orphans.
const START: &str = r#"
    use POSIX ();
    my ($data, $command) = @ARGV;
    my $began = time;
    $ENV{PG_GRANDPARENT_PID} = getppid;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        POSIX::setsid() >= 0 or die "setsid: $!\n";
        exec "/bin/sh", "-c", $command or die "exec: $!\n";
    }
    for (1 .. 600) {
        if (open my $file, "<", "$data/postmaster.pid") {
            chomp(my @lines = <$file>);
            if (@lines >= 6 and $lines[2] >= $began - 2 and $lines[0] == $pid) {
                readlink("/proc/$pid/cwd") eq $data or die "another server might be running\n";
                print "$pid\n";
                exit 0;
            }
        }
        waitpid($pid, POSIX::WNOHANG()) == 0 or die "waitpid: status $?\n";
        select undef, undef, undef, 0.05;
    }
    die "could not start server\n";
"#;

fn left() -> (usize, usize) {
    (segments().len(), sets().len())
}

/// `gs_ctl start -D DATA -o "-p PORT" ROLE -p SCRIPT`; the pid that it has forked.
fn start(instance: &Instance, data: &Path, role: &str) -> i32 {
    let script = data.with_file_name("gaussdb-script");
    let options = format!("--ledger {}", instance.path());
    write_script(&script, warden::gaussdb().to_str().unwrap(), &options);
    let log = data.join("log");
    let command = format!(
        r#"exec "{}" -D "{}"  -p {PORT} {role} < "/dev/null" >> "{}" 2>&1"#,
        script.display(),
        data.display(),
        log.display()
    );
    let mut perl = User::Server.command("perl");
    perl.args(["-e", START, data.to_str().unwrap(), &command]).current_dir("/");
    let answer = Answer::of(&mut perl);
    let log = fs::read_to_string(log).unwrap_or_default();
    assert!(answer.status.success(), "{answer:?}\n{log}");
    answer.stdout.trim_end().parse().unwrap()
}

#[test]
fn gs_ctl_takes_a_server_in_place_for_the_one_that_it_forked() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        for (signal, role) in
            [(Signal::SIGINT, "-M primary"), (Signal::SIGQUIT, "-M standby"), (Signal::SIGKILL, "")]
        {
            let before = processes::all();
            let pid = start(&instance, &data, role);
            assert_eq!(processes::parent(pid), Some(1));
            wait_until("it has made what it makes", SOON, || left() == (1, 3));
            // The next look after a set was made records it, and nothing else leads to it.
            wait_until("each set is recorded", SOON, || {
                let ledger = String::from_utf8_lossy(&instance.bytes()).into_owned();
                let mark = |id: i32| format!("\"kind\":\"sem\",\"id\":{id},");
                sets().iter().all(|set| ledger.contains(&mark(set.id)))
            });
            processes::kill(pid, signal);
            processes::wait_end(pid, SOON);
            wait_until("the guardian has cleaned up", SOON * 3, || left() == (0, 0));
            wait_until("all have ended", SOON * 3, || {
                processes::all().into_iter().all(|pid| before.contains(&pid))
            });
        }
    });
}

/// `gs_ctl stop` that was in vain kills whatever has the server's name and works in its data
/// directory (`kill_proton_force`): that must not be the guardian.
#[test]
fn gs_ctls_kill_by_force_passes_the_guardian_by() {
    sandbox::run(|| {
        let instance = Instance::new(User::Server);
        let data = data_directory(User::Server);
        let pid = start(&instance, &data, "");
        wait_until("it has made what it makes", SOON, || left() == (1, 3));
        let user = User::Server.ids().0;
        let kill = format!(
            "ps c -eo pid,euid,cmd | grep gaussdb | grep -v grep | \
             awk '{{if($2 == curuid && $1!=\"-n\") print \"/proc/\"$1\"/cwd\"}}' curuid={user} | \
             xargs ls -l | awk '{{if ($NF==\"{}\")  print $(NF-2)}}' | awk -F/ '{{print $3 }}'",
            data.display()
        );
        let found = Answer::of(Command::new("sh").args(["-c", &kill])).stdout;
        assert_eq!(found, format!("{pid}\n"));
        processes::kill(pid, Signal::SIGKILL);
        wait_until("the guardian has cleaned up", SOON * 3, || left() == (0, 0));
    });
}
