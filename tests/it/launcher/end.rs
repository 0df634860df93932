//! How COMMAND ends, and what the launcher makes of it.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use super::page::{NONE, measure, measure_both};
use super::subject::{LIMIT, Subject, finish, in_words, kill_all, patience};
use crate::support::processes::{self, Process};
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::waiting::happens_within;

/// `as expected`, or what came instead; the first few of it.
fn summary(as_expected: &str, wrong: &[String]) -> String {
    match wrong {
        [] => as_expected.to_owned(),
        [one] => one.clone(),
        [one, ..] => format!("{one} and {} more", wrong.len() - 1),
    }
}

#[test]
fn each_exit_status_is_passed_on() {
    sandbox::run(|| {
        measure("the 256 exit statuses", "each the same", |subject| {
            let wrong: Vec<String> = (0..256)
                .filter_map(|status| {
                    let ended = subject.answer(&[], &["sh", "-c", &format!("exit {status}")])?;
                    let found = in_words(ended.status);
                    (found != format!("status {status}")).then(|| format!("{status}: {found}"))
                })
                .collect();
            summary("each the same", &wrong)
        });
    });
}

/// The signals that end a process which does nothing about them; without 32 and 33, which glibc's
/// `posix_spawn` hands on ignored.
fn fatal() -> impl Iterator<Item = i32> {
    use nix::libc::{SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
    let others = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH];
    (1..=64).filter(move |signal| !others.contains(signal) && ![32, 33].contains(signal))
}

#[test]
fn each_death_by_a_signal_is_passed_on() {
    sandbox::run(|| {
        measure("COMMAND dies of a signal", "the same signal", |subject| {
            let (mut wrong, mut plus) = (Vec::new(), 0);
            for signal in fatal() {
                let command = format!("kill -{signal} $$");
                let ended = subject.answer(&["prlimit", "--core=0"], &["sh", "-c", &command]);
                let found = ended.map_or("hangs".to_owned(), |ended| in_words(ended.status));
                if found != format!("signal {signal}") {
                    plus += usize::from(found == format!("status {}", 128 + signal));
                    wrong.push(format!("{signal}: {found}"));
                }
            }
            let all = plus == fatal().count();
            if all { "status 128 + n".to_owned() } else { summary("the same signal", &wrong) }
        });
    });
}

/// Dies of SIGSEGV where core files may be written, in a directory of its own: how many there are,
/// and whether the wait status tells of one.
fn crash(subject: Subject) -> (usize, bool) {
    use std::os::unix::process::ExitStatusExt;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with('|') || pattern.contains('/') {
        skip(format!("core files do not go to the working directory here: {}", pattern.trim()));
    }
    let directory = sandbox::scratch().join(format!("cores-{}", subject.name()));
    fs::create_dir_all(&directory).unwrap();
    let mut command =
        subject.command(&["prlimit", "--core=unlimited"], &["sh", "-c", "kill -SEGV $$"]);
    let ended = finish(command.current_dir(&directory)).expect("an end");
    let is_core = |name: String| name.starts_with("core");
    let count = |path: &str| {
        let names = fs::read_dir(path).unwrap();
        names
            .filter(|name| is_core(name.as_ref().unwrap().file_name().into_string().unwrap()))
            .count()
    };
    (count(directory.to_str().unwrap()) + count("/"), ended.status.core_dumped())
}

#[test]
fn there_is_no_second_core_file() {
    sandbox::run(|| {
        measure("core files after a SIGSEGV in COMMAND", "1", |subject| {
            crash(subject).0.to_string()
        });
    });
}

#[test]
fn that_a_core_was_dumped_is_not_told() {
    sandbox::run(|| {
        let title = "the wait status tells of a core file";
        measure_both(title, "yes", "no", |subject| {
            if crash(subject).1 { "yes" } else { "no" }.to_owned()
        });
    });
}

#[test]
fn an_end_is_seen_though_sigchld_was_ignored() {
    sandbox::run(|| {
        measure("COMMAND ends, SIGCHLD was ignored at entry", "status 3", |subject| {
            // An end before the launcher waits for it is a matter of luck for the peers.
            let command = ["sh", "-c", "sleep 0.5; exit 3"];
            let ended = subject.answer(&["env", "--ignore-signal=CHLD"], &command);
            ended.map_or("hangs".to_owned(), |ended| in_words(ended.status))
        });
    });
}

#[test]
fn orphans_become_the_launchers_children_and_are_reaped() {
    sandbox::run(|| {
        measure("an orphan of COMMAND", "adopted and reaped", |subject| {
            if subject == Subject::Without {
                return NONE.to_owned();
            }
            let file = sandbox::scratch().join(format!("orphan-{}", subject.name()));
            let script = format!(
                "(sleep 3 & echo $! >{}.new); mv {0}.new {0}; exec sleep 60",
                file.display()
            );
            let mut launcher = Process::spawn(&mut subject.command(&[], &["sh", "-c", &script]));
            assert!(happens_within(patience(), || file.exists()));
            let orphan: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            let adopted = happens_within(patience() / 20, || {
                processes::parent(orphan) == Some(launcher.pid())
            });
            let reaped = happens_within(patience(), || processes::state(orphan).is_none());
            kill_all(&mut launcher);
            match (adopted, reaped) {
                (true, true) => "adopted and reaped",
                (true, false) => "a zombie",
                (false, _) => "left to another process",
            }
            .to_owned()
        });
    });
}

/// `before`, to make what comes next PID 1 of a PID namespace.
const FIRST: [&str; 6] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount"];

#[test]
fn the_first_process_of_a_pid_namespace_ends_with_128_and_the_signal() {
    sandbox::run(|| {
        let title = "PID 1: COMMAND sends itself SIGTERM";
        measure_both(title, "status 0", "status 143", |subject| {
            let ended = subject.answer(&FIRST, &["sh", "-c", "kill -TERM $$"]);
            ended.map_or("hangs".to_owned(), |ended| in_words(ended.status))
        });
    });
}

#[test]
fn the_first_process_of_a_pid_namespace_passes_an_exit_status_on() {
    sandbox::run(|| {
        measure("PID 1: COMMAND ends with 42", "status 42", |subject| {
            let ended = subject.answer(&FIRST, &["sh", "-c", "exit 42"]);
            ended.map_or("hangs".to_owned(), |ended| in_words(ended.status))
        });
    });
}

/// Leaves an orphan that ends, and counts the zombies after that; perl waits for nobody unasked.
const ZOMBIES: &str = r#"
    if (fork == 0) { exit if fork; select(undef, undef, undef, 0.1); exit }
    wait;
    my $count;
    for (1 .. 20) {
        select(undef, undef, undef, 0.1);
        $count = 0;
        for (glob "/proc/[0-9]*/stat") { open my $f, "<", $_ or next; $count++ if <$f> =~ /\) Z / }
        # Not before the orphan has ended.
        last if $_ > 5 && !$count;
    }
    print $count;
"#;

#[test]
fn the_first_process_of_a_pid_namespace_reaps_everything() {
    sandbox::run(|| {
        let title = "PID 1: zombies after an orphan has ended";
        measure_both(title, "1", "0", |subject| subject.prints(&FIRST, &["perl", "-e", ZOMBIES]));
    });
}

#[test]
fn the_first_process_of_a_pid_namespace_passes_signals_on() {
    sandbox::run(|| {
        let title = "PID 1: SIGTERM ends a COMMAND that does nothing about it";
        measure_both(title, "no", "yes", |subject| {
            let mut command = subject.command(&FIRST, &["sleep", "60"]);
            let mut outside = Process::spawn(&mut command);
            let is_sleep = |pid: &i32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
            };
            let all = || processes::descendants(outside.pid());
            assert!(happens_within(patience(), || all().iter().any(is_sleep)));
            let first = all()[0];
            processes::kill(first, Signal::SIGTERM);
            let longest = if subject == Subject::Without { LIMIT } else { patience() } / 5;
            let ended = happens_within(longest, || !outside.is_running());
            kill_all(&mut outside);
            if ended { "yes" } else { "no" }.to_owned()
        });
    });
}

#[test]
fn a_server_can_be_stopped_and_started_again_at_once() {
    sandbox::run(|| {
        let title = "COMMAND is gone when its parent is told";
        measure(title, "yes", |subject| {
            let file = sandbox::scratch().join(format!("pid-{}", subject.name()));
            let script = format!("echo $$ >{}", file.display());
            let mut command: Command = subject.command(&[], &["sh", "-c", &script]);
            finish(&mut command).expect("an end");
            let pid: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            if processes::state(pid).is_none() { "yes" } else { "no" }.to_owned()
        });
    });
}
