//! What the command is given: the same as without a launcher, whatever that is.

use std::fs;
use std::process::Command;

use super::page::{NONE, measure, measure_both};
use super::perl::script;
use super::subject::{LIMIT, Subject, finish, kill_all, patience};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::waiting::{happens_within, wait_until};

/// What `command` prints behind each launcher must be what it prints without one.
fn same(title: &str, before: &[&str], command: &[&str], of: impl Fn(&str) -> String) {
    let given = of(&Subject::Without.prints(before, command));
    assert!(!given.is_empty(), "{command:?} prints nothing");
    measure(title, "the same", |subject| {
        let found = subject.prints(before, command);
        match of(&found) {
            found if found == given => "the same".to_owned(),
            _ if found == "hangs" || found.starts_with("ends with") => found,
            _ => "changed".to_owned(),
        }
    });
}

/// The lines of `/proc/<pid>/status` that begin with one of `names`.
fn lines(text: &str, names: &[&str]) -> String {
    let wanted = |line: &&str| names.iter().any(|name| line.starts_with(name));
    text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

/// Fields of `/proc/<pid>/stat`, by their number in proc_pid_stat(5).
fn fields(text: &str, numbers: &[usize]) -> String {
    let Some((_, rest)) = text.rsplit_once(") ") else { return text.to_owned() };
    let all: Vec<&str> = rest.split_whitespace().collect();
    numbers.iter().map(|number| all[number - 3]).collect::<Vec<_>>().join(" ")
}

/// Prints to a file which of the first three descriptors are open. (Perl would open the first.)
const OPEN: &str = r#"
    for fd in 0 1 2; do [ -h /proc/$$/fd/$fd ] && open="$open $fd"; done
    echo $open >"$1"
"#;

#[test]
fn closed_descriptors_stay_closed() {
    sandbox::run(|| {
        measure("descriptors 0 to 2 closed at entry", "closed", |subject| {
            let file = sandbox::scratch().join(format!("open-{}", subject.name()));
            let close = ["sh", "-c", r#"exec "$@" <&- >&- 2>&-"#, "sh"];
            let command = ["sh", "-c", OPEN, "sh", file.to_str().unwrap()];
            if subject.answer(&close, &command).is_none() {
                return "hangs".to_owned();
            }
            match fs::read_to_string(&file) {
                Ok(open) if open.trim().is_empty() => "closed".to_owned(),
                Ok(open) => format!("open: {}", open.trim()),
                Err(_) => "COMMAND does not run".to_owned(),
            }
        });
    });
}

/// Opens descriptor 7 on a file for what follows.
fn with_descriptor() -> [&'static str; 4] {
    ["bash", "-c", r#"exec 7</etc/passwd; exec "$@""#, "bash"]
}

#[test]
fn inherited_descriptors_reach_the_command() {
    sandbox::run(|| {
        let command = ["readlink", "/proc/self/fd/7"];
        same("a descriptor from 3 up", &with_descriptor(), &command, str::to_owned);
    });
}

/// Runs `sleep` behind a launcher, and looks at the launcher when that has settled.
fn beside_sleep(
    subject: Subject,
    mut command: Command,
    mut held: impl FnMut(i32) -> bool,
) -> String {
    if subject == Subject::Without {
        return NONE.to_owned();
    }
    let mut launcher = Process::spawn(&mut command);
    let is_sleep = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    };
    let pid = launcher.pid();
    wait_until("COMMAND runs", LIMIT, || processes::descendants(pid).iter().any(is_sleep));
    let let_go = happens_within(patience() / 4, || !held(pid));
    kill_all(&mut launcher);
    if let_go { "let go" } else { "held" }.to_owned()
}

fn link(pid: i32, name: &str) -> String {
    let path = fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    path.to_str().unwrap().to_owned()
}

#[test]
fn inherited_descriptors_are_let_go_of() {
    sandbox::run(|| {
        measure("that descriptor in the launcher", "let go", |subject| {
            let command = subject.command(&with_descriptor(), &["sleep", "60"]);
            beside_sleep(subject, command, |pid| {
                let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
                let mut names = all.map(|fd| fd.unwrap().file_name().into_string().unwrap());
                names.any(|fd| link(pid, &format!("fd/{fd}")) == "/etc/passwd")
            })
        });
    });
}

#[test]
fn standard_output_ends_with_the_server() {
    sandbox::run(|| {
        measure("standard input and output in the launcher", "let go", |subject| {
            let file = sandbox::scratch().join(format!("output-{}", subject.name()));
            let mut command = subject.command(&[], &["sleep", "60"]);
            command.stdin(fs::File::open("/etc/passwd").unwrap());
            command.stdout(fs::File::create(&file).unwrap());
            beside_sleep(subject, command, |pid| {
                link(pid, "fd/0") == "/etc/passwd" || link(pid, "fd/1") == file.to_str().unwrap()
            })
        });
    });
}

#[test]
fn the_working_directory_is_let_go_of() {
    sandbox::run(|| {
        measure("the working directory in the launcher", "let go", |subject| {
            let mut command = subject.command(&[], &["sleep", "60"]);
            command.current_dir("/usr/share");
            beside_sleep(subject, command, |pid| link(pid, "cwd") == "/usr/share")
        });
    });
}

#[test]
fn the_limits() {
    sandbox::run(|| {
        let before = ["prlimit", "--nofile=100:200", "--core=0:12345", "--stack=1048576"];
        same("limits", &before, &["cat", "/proc/self/limits"], str::to_owned);
    });
}

#[test]
fn nice_and_scheduling() {
    sandbox::run(|| {
        let before = ["nice", "-n", "5", "chrt", "--batch", "0"];
        let command = ["cat", "/proc/self/stat"];
        same("nice value and scheduling policy", &before, &command, |text| {
            fields(text, &[18, 19, 40, 41])
        });
    });
}

#[test]
fn the_file_mode_mask() {
    sandbox::run(|| {
        let before = ["sh", "-c", r#"umask 027; exec "$@""#, "sh"];
        same("umask", &before, &["cat", "/proc/self/status"], |text| lines(text, &["Umask:"]));
    });
}

#[test]
fn the_working_directory() {
    sandbox::run(|| {
        let before = ["sh", "-c", r#"cd /usr/share && exec "$@""#, "sh"];
        same("working directory", &before, &["readlink", "/proc/self/cwd"], str::to_owned);
    });
}

#[test]
fn the_out_of_memory_score() {
    sandbox::run(|| {
        let before = ["sh", "-c", r#"echo 500 >/proc/self/oom_score_adj; exec "$@""#, "sh"];
        same("out-of-memory score", &before, &["cat", "/proc/self/oom_score_adj"], str::to_owned);
    });
}

#[test]
fn the_session_and_the_process_group() {
    sandbox::run(|| {
        let command = ["cat", "/proc/self/stat"];
        same("session and process group", &[], &command, |text| fields(text, &[5, 6]));
    });
}

#[test]
fn users_groups_and_capabilities() {
    sandbox::run(|| {
        let names = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus", "Mems"];
        let command = ["cat", "/proc/self/status"];
        same("users, groups, capabilities", &[], &command, |text| lines(text, &names));
    });
}

#[test]
fn the_arguments() {
    sandbox::run(|| {
        let command = ["cat", "/proc/self/cmdline", "--", "", "a b", "*", "\n", "--help"];
        let of = |subject: Subject| {
            // cat says of its further arguments that there are no such files.
            let mut command = subject.command(&[], &command);
            finish(&mut command).map_or("hangs".to_owned(), |ended| ended.stdout)
        };
        let given = of(Subject::Without);
        measure("arguments", "the same", |subject| {
            if of(subject) == given { "the same" } else { "changed" }.to_owned()
        });
    });
}

/// Executes its arguments with an environment that a shell would not make.
const ODD_ENVIRONMENT: &str = r#"
    my @env = ("PATH=/usr/bin:/bin", "A=1", "A=2", "no equals sign", "=", "EMPTY=", "B=\xff\n");
    syscall($nr{execve}, $ARGV[0], pack("p*", @ARGV, undef), pack("p*", @env, undef));
    die "execve: $!";
"#;

#[test]
fn the_environment() {
    sandbox::run(|| {
        let script = script(ODD_ENVIRONMENT);
        let before = ["perl", "-e", &script];
        let command = ["/usr/bin/cat", "/proc/self/environ"];
        same("environment, odd entries included", &before, &command, str::to_owned);
    });
}

/// Gives its own pid, and the inode of its descriptor, to what it executes.
const NAMES_ITSELF: &str = r#"
    $ENV{$_} = $$ for qw(LISTEN_PID WATCHDOG_PID SYSTEMD_EXEC_PID OTHER_PID);
    my $fd = syscall($nr{pidfd}, $$ + 0, 0);
    $ENV{LISTEN_PIDFDID} = (stat "/proc/self/fd/$fd")[1];
    exec @ARGV;
"#;

/// Prints the variables that name itself.
const IS_NAMED: &str = r#"
    my $fd = syscall($nr{pidfd}, $$ + 0, 0);
    my $inode = (stat "/proc/self/fd/$fd")[1];
    my @pids = qw(LISTEN_PID WATCHDOG_PID SYSTEMD_EXEC_PID);
    my @named = grep { $ENV{$_} == $$ } @pids;
    push @named, "LISTEN_PIDFDID" if $ENV{LISTEN_PIDFDID} == $inode;
    print @named == 4 ? "all" : @named == 0 ? "none" : "@named";
"#;

#[test]
fn variables_that_name_the_process_name_the_command() {
    sandbox::run(|| {
        let (before, command) = (script(NAMES_ITSELF), script(IS_NAMED));
        let title = "LISTEN_PID, LISTEN_PIDFDID, WATCHDOG_PID, SYSTEMD_EXEC_PID name COMMAND";
        measure(title, "all", |subject| {
            subject.prints(&["perl", "-e", &before], &["perl", "-e", &command])
        });
    });
}

#[test]
fn variables_that_name_another_process_are_left_alone() {
    sandbox::run(|| {
        let before = ["env", "LISTEN_PID=1", "LISTEN_PIDFDID=7", "WATCHDOG_PID=x"];
        same("the same variables, naming another process", &before, &["env"], |text| {
            lines(text, &["LISTEN", "WATCHDOG"])
        });
    });
}

#[test]
fn an_alarm_rings_in_the_command() {
    sandbox::run(|| {
        let before = ["perl", "-e", "alarm 3; exec @ARGV"];
        let command = ["perl", "-e", "$SIG{ALRM} = sub { print qw(rings); exit }; sleep 60"];
        measure("a timer that was set at entry (`alarm`)", "rings", |subject| {
            subject.prints(&before, &command)
        });
    });
}

#[test]
fn an_alarm_can_be_cancelled_by_the_command() {
    sandbox::run(|| {
        let before = ["perl", "-e", "alarm 3; exec @ARGV"];
        let command = ["perl", "-e", "alarm 0; sleep 4; print qw(quiet)"];
        measure("the same timer, cancelled by COMMAND", "quiet", |subject| {
            subject.prints(&before, &command)
        });
    });
}

#[test]
fn a_death_with_the_parent_reaches_the_command() {
    sandbox::run(|| {
        measure("dies with its parent (`setpriv --pdeathsig KILL`)", "COMMAND too", |subject| {
            let words = subject.words(&["setpriv", "--pdeathsig", "KILL"], &["sleep", "60"]);
            let file = sandbox::scratch().join(format!("sleeper-{}", subject.name()));
            let script = r#"file=$1; shift; "$@" & wait"#;
            let mut parent = Command::new("sh");
            parent.args(["-c", script, "sh", file.to_str().unwrap()]).args(&words);
            let mut parent = Process::spawn(&mut parent);
            let is_sleep = |pid: &i32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
            };
            let mut sleep = None;
            wait_until("COMMAND runs", LIMIT, || {
                sleep = processes::descendants(parent.pid()).into_iter().find(is_sleep);
                sleep.is_some()
            });
            parent.signal(nix::sys::signal::Signal::SIGKILL);
            parent.wait(LIMIT);
            let died = happens_within(patience() / 5, || !processes::lives(sleep.unwrap()));
            processes::kill(sleep.unwrap(), nix::sys::signal::Signal::SIGKILL);
            if died { "COMMAND too" } else { "the launcher alone" }.to_owned()
        });
    });
}

#[test]
fn a_subreaper_stays_one() {
    sandbox::run(|| {
        let before = script("syscall($nr{prctl}, 36, 1, 0, 0, 0); exec @ARGV");
        let command = script(
            "my $n = pack('l', 9); syscall($nr{prctl}, 37, $n, 0, 0, 0); print unpack('l', $n)",
        );
        measure("is a subreaper", "1", |subject| {
            subject.prints(&["perl", "-e", &before], &["perl", "-e", &command])
        });
    });
}

#[test]
fn the_pid_of_the_main_process_is_the_launchers() {
    sandbox::run(|| {
        let title = "COMMAND has the pid that was started";
        measure_both(title, "yes", "no", |subject| {
            let mut command = subject.command(&[], &["sh", "-c", "echo $$"]);
            let mut process = Process::spawn(command.stdout(std::process::Stdio::piped()));
            let pid = process.pid().to_string();
            let mut said = String::new();
            let mut output = process.child().stdout.take().unwrap();
            std::io::Read::read_to_string(&mut output, &mut said).unwrap();
            process.wait(LIMIT);
            if said.trim() == pid { "yes" } else { "no" }.to_owned()
        });
    });
}

#[test]
fn a_command_no_longer_leads_its_session_or_group() {
    sandbox::run(|| {
        let title = "COMMAND leads the session that was begun for it (`setsid`)";
        measure_both(title, "yes", "no", |subject| {
            let stat = subject.prints(&["setsid", "--wait"], &["cat", "/proc/self/stat"]);
            let pid = stat.split(' ').next().unwrap_or_default();
            if fields(&stat, &[6]) == pid { "yes" } else { "no" }.to_owned()
        });
    });
}

#[test]
fn a_record_lock_is_lost() {
    sandbox::run(|| {
        let file = sandbox::scratch().join("locked");
        fs::write(&file, "").unwrap();
        let lock = r#"
            use Fcntl;
            $^F = 9;
            open my $file, "+<", shift @ARGV or die;
            fcntl($file, F_SETLK, pack("s s l! l! i", F_WRLCK, SEEK_SET, 0, 0, 0)) or die;
            exec @ARGV;
        "#;
        let look = r#"
            use Fcntl;
            open my $file, "+<", shift @ARGV or die;
            my $lock = pack("s s l! l! i x4", F_WRLCK, SEEK_SET, 0, 0, 0);
            if (fork == 0) {
                fcntl($file, F_GETLK, $lock) or die;
                my ($kind) = unpack("s", $lock);
                print $kind == F_UNLCK ? "lost" : "kept";
            } else { wait }
        "#;
        let path = file.to_str().unwrap();
        measure_both("a record lock (`fcntl`) held at entry", "kept", "lost", |subject| {
            subject.prints(&["perl", "-e", lock, path], &["perl", "-e", look, path])
        });
    });
}
