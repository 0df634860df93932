//! Signals that a process sends to the launcher's pid, as a service manager does.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use nix::libc;
use nix::sys::signal::Signal;
use shmwarden::sys::signals::send;

use super::page::{measure, measure_both};
use super::perl::{LISTENER, RECORDER, Talker, script};
use super::subject::{A_WHILE, Subject, kill_all, patience};
use crate::scene::instance::{SOON, need_root};
use crate::support::waiting::{happens_within, wait_until};
use crate::support::{processes, sandbox};

fn listener(subject: Subject) -> Talker {
    let script = script(LISTENER);
    Talker::start(subject.command(&[], &["perl", "-e", &script]).process_group(0))
}

/// Numbers as `1-3 7`.
pub fn numbers(all: &[u32]) -> String {
    let mut words: Vec<(u32, u32)> = Vec::new();
    for &number in all {
        match words.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => words.push((number, number)),
        }
    }
    let word = |(first, last): (u32, u32)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_signal_that_can_be_caught_arrives_once() {
    sandbox::run(|| {
        measure("each signal 1-64 but KILL and STOP, sent by `kill`", "each once", |subject| {
            let (mut lost, mut ended, mut twice) = (Vec::new(), Vec::new(), Vec::new());
            let mut talker = listener(subject);
            for signal in (1..=64).filter(|&n| n != libc::SIGKILL && n != libc::SIGSTOP) {
                send(talker.process.pid(), signal).unwrap();
                // The next signal shows that nothing of this one is left.
                if signal != libc::SIGUSR2 {
                    send(talker.process.pid(), libc::SIGUSR2).unwrap();
                }
                let told = |talker: &mut Talker, next_is_there: bool| {
                    // Ours loses nothing, and so never waits in vain.
                    let may_be_lost = next_is_there && subject != Subject::Ours;
                    let longest = if may_be_lost { A_WHILE } else { patience() };
                    let line = talker.line_within(longest)?;
                    line.split(' ').next()?.parse::<i32>().ok()
                };
                let mut found = Vec::new();
                let mut count = if signal == libc::SIGUSR2 { 1 } else { 2 };
                while found.len() < count {
                    // What has not come long before the next one, and one more, is lost.
                    let next_is_there = found.contains(&libc::SIGUSR2);
                    match told(&mut talker, next_is_there) {
                        Some(number) => found.push(number),
                        None if next_is_there && count == 2 => {
                            count = 3;
                            let _ = send(talker.process.pid(), libc::SIGUSR2);
                        }
                        None => break,
                    }
                }
                let own = found.iter().filter(|&&number| number == signal).count();
                if found.len() == count && own == 1 {
                    continue;
                }
                println!("{}: after signal {signal} came {found:?}", subject.name());
                if !talker.process.is_running() {
                    ended.push(signal.unsigned_abs());
                } else if own == 0 {
                    lost.push(signal.unsigned_abs());
                } else {
                    twice.push(signal.unsigned_abs());
                }
                kill_all(&mut talker.process);
                talker = listener(subject);
            }
            let all = [("dies of", ended), ("loses", lost), ("twice", twice)];
            let all = all.iter().filter(|(_, signals)| !signals.is_empty());
            let words: Vec<String> =
                all.map(|(word, signals)| format!("{word} {}", numbers(signals))).collect();
            if words.is_empty() { "each once".to_owned() } else { words.join("; ") }
        });
    });
}

#[test]
fn two_signals_in_a_row_arrive_both() {
    sandbox::run(|| {
        measure("two different ones in a row", "both", |subject| {
            let mut talker = listener(subject);
            for signal in [libc::SIGUSR1, libc::SIGHUP] {
                send(talker.process.pid(), signal).unwrap();
            }
            let mut lines = [talker.line(), talker.line()].map(Option::unwrap_or_default);
            lines.sort();
            let both = lines[0].starts_with("1 ") && lines[1].starts_with("10 ");
            if both { "both".to_owned() } else { format!("{lines:?}") }
        });
    });
}

fn queue(talker: &Talker, signal: i32, value: i32) {
    let mut kill = Command::new("/usr/bin/kill");
    kill.args(["-q", &value.to_string(), &format!("-{signal}"), &talker.process.pid().to_string()]);
    assert!(kill.status().unwrap().success(), "{kill:?}");
}

#[test]
fn a_queued_signal_keeps_its_value() {
    sandbox::run(|| {
        measure("the value of `sigqueue`", "kept", |subject| {
            let mut talker = listener(subject);
            queue(&talker, libc::SIGUSR1, 42);
            let kept = format!("{} {}", libc::SIGUSR1, libc::SI_QUEUE);
            let line = talker.line().unwrap_or_default();
            // kill(1) of procps fills the int of the union, and nothing beside it.
            let value = |word: &str| word.parse::<u64>().map(|value| value & 0xffff_ffff);
            let is_kept = line
                .rsplit_once(' ')
                .is_some_and(|(head, last)| head == kept && value(last) == Ok(42));
            if is_kept { "kept" } else { "lost" }.to_owned()
        });
    });
}

#[test]
fn real_time_signals_arrive_as_often_as_they_were_sent() {
    sandbox::run(|| {
        measure("a real-time signal three times in a row", "three times", |subject| {
            let mut talker = listener(subject);
            (0..3).for_each(|_| send(talker.process.pid(), 40).unwrap());
            send(talker.process.pid(), libc::SIGRTMAX()).unwrap();
            let mut count = 0;
            while talker.line().is_some_and(|line| line.starts_with("40 ")) {
                count += 1;
            }
            if count == 3 { "three times".to_owned() } else { format!("{count}") }
        });
    });
}

#[test]
fn a_signal_to_the_whole_group_arrives_twice() {
    sandbox::run(|| {
        let title = "a signal sent to the whole process group or control group";
        measure_both(title, "once", "twice", |subject| {
            let mut talker = listener(subject);
            send(-talker.process.pid(), 40).unwrap();
            // The first is the group's own; who passes one on too does that before the higher one.
            let mut line = talker.line();
            send(talker.process.pid(), libc::SIGRTMAX()).unwrap();
            let mut count = 0;
            while line.is_some_and(|line| line.starts_with("40 ")) {
                count += 1;
                line = talker.line();
            }
            ["never", "once", "twice"][count].to_owned()
        });
    });
}

/// Sends its whole group a signal, and says how often it got it.
const TO_OWN_GROUP: &str = r#"
    my $count = 0;
    $SIG{RTMIN} = sub { $count++ }; # two of them are two, however close
    kill "RTMIN", -getpgrp();
    select(undef, undef, undef, 0.02) for 1 .. 20;
    print "$count";
"#;

#[test]
fn what_the_server_sends_to_its_own_group_does_not_come_back() {
    sandbox::run(|| {
        measure("a signal that COMMAND sends to its own group", "1", |subject| {
            let mut command = subject.command(&[], &["perl", "-e", TO_OWN_GROUP]);
            let ended = super::subject::finish(command.process_group(0));
            ended.map_or("hangs".to_owned(), |ended| ended.stdout)
        });
    });
}

#[test]
fn what_the_server_sends_to_its_parent_ends_there() {
    sandbox::run(|| {
        let script = TO_OWN_GROUP.replace("-getpgrp()", "getppid()");
        assert_eq!(Subject::Ours.prints(&[], &["perl", "-e", &script]), "0");
    });
}

#[test]
fn the_continuation_that_follows_a_stop_signal_arrives_once() {
    sandbox::run(|| {
        let title = "SIGTERM and SIGCONT, as a service manager stops";
        measure(title, "each once", |subject| {
            let log = sandbox::scratch().join(format!("log-{}", subject.name()));
            let words = ["perl", "-e", RECORDER, log.to_str().unwrap()];
            let process = &mut crate::support::processes::Process::spawn(
                subject.command(&[], &words).process_group(0),
            );
            let text = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(happens_within(patience(), || text().ends_with(' ')));
            send(process.pid(), libc::SIGTERM).unwrap();
            send(process.pid(), libc::SIGCONT).unwrap();
            happens_within(patience(), || text().contains("TERM") && text().contains("CONT"));
            happens_within(A_WHILE, || false);
            let text = text();
            let count = |name: &str| text.matches(name).count();
            kill_all(process);
            match (count("TERM"), count("CONT")) {
                (1, 1) => "each once".to_owned(),
                (term, cont) => format!("SIGTERM {term}, SIGCONT {cont}"),
            }
        });
    });
}

/// Root without CAP_KILL, as the launcher of a server that becomes another user, may not signal it.
#[test]
fn signals_that_may_not_be_passed_on_are_told_once() {
    sandbox::run(|| {
        need_root("to have the server become another user");
        let log = sandbox::scratch().join("log");
        let script = script(LISTENER);
        let logs = format!("exec setpriv --bounding-set=-kill \"$@\" 2>{}", log.display());
        let may_not_kill = ["sh", "-c", &logs, "sh"];
        let other = ["setpriv", "--reuid=65534", "--clear-groups", "perl", "-e", &script];
        let mut command = Subject::Ours.command(&may_not_kill, &other);
        let mut talker = Talker::start(&mut command);
        let told = || fs::read_to_string(&log).unwrap();
        let child = processes::descendants(talker.process.pid())[0];
        send(talker.process.pid(), libc::SIGTERM).unwrap();
        wait_until("it is told", SOON, || told().contains("could not pass SIGTERM on"));
        assert!(told().contains(&format!("kill {child})")), "{}", told());
        send(talker.process.pid(), libc::SIGHUP).unwrap();
        // The end of the server shows that the launcher has come to what arrived before.
        processes::kill(child, Signal::SIGKILL);
        assert_eq!(talker.process.wait(SOON).signal(), Some(libc::SIGKILL));
        assert_eq!(told().matches("could not pass").count(), 1, "{}", told());
    });
}
