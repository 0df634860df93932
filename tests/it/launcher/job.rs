//! A launcher at a terminal: what its keys send, job control, its window, its end.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::page::measure;
use super::perl::RECORDER;
use super::subject::{A_WHILE, LIMIT, Subject, patience};
use super::terminal::Terminal;
use crate::support::processes;
use crate::support::sandbox;
use crate::support::skip::skip_without_strace;
use crate::support::waiting::{happens_within, wait_until};

/// A recorder behind a launcher, in a terminal.
struct Recorder {
    terminal: Terminal,
    log: PathBuf,
    pid: i32,
}

impl Recorder {
    /// As a shell's job in the foreground.
    fn as_job(subject: Subject) -> Self {
        let mut terminal = Terminal::shell();
        let (log, words) = Recorder::words(subject);
        terminal.runs(&words, "");
        Recorder::with(terminal, log)
    }

    /// With the launcher as the leader of the session.
    fn as_leader(subject: Subject) -> Self {
        let (log, words) = Recorder::words(subject);
        Recorder::with(Terminal::of(&words), log)
    }

    fn words(subject: Subject) -> (PathBuf, Vec<String>) {
        let log = sandbox::scratch().join(format!("signals-{}", subject.name()));
        let words = subject.words(&[], &["perl", "-e", RECORDER, log.to_str().unwrap()]);
        (log, words)
    }

    fn with(terminal: Terminal, log: PathBuf) -> Self {
        let text = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("COMMAND records", LIMIT, || text().ends_with(' '));
        let pid = text().trim().parse().unwrap();
        Recorder { terminal, log, pid }
    }

    fn is_stopped(&self) -> bool {
        processes::state(self.pid) == Some('T')
    }

    /// Whether the keys' signals are for it: `bg` continues a job before `fg` has done that.
    fn is_in_foreground(&self) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // proc_pid_stat(5): pgrp is the third field after the name, tpgid the sixth.
        let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
        fields.len() > 5 && fields[2] == fields[5]
    }

    fn count(&self, name: &str) -> usize {
        fs::read_to_string(&self.log).unwrap().matches(name).count()
    }

    /// How often a signal has come, once it has come and nothing more does.
    fn times(&self, name: &str) -> String {
        happens_within(patience(), || self.count(name) > 0);
        happens_within(A_WHILE, || false);
        match self.count(name) {
            0 => "never".to_owned(),
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            more => format!("{more} times"),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        processes::kill(self.pid, Signal::SIGKILL);
        if let Some(launcher) = processes::parent(self.pid).filter(|&pid| pid > 2) {
            processes::kill(launcher, Signal::SIGCONT);
        }
    }
}

#[test]
fn an_interrupt_from_the_keyboard_arrives_once() {
    sandbox::run(|| {
        measure("^C", "once", |subject| {
            let mut recorder = Recorder::as_job(subject);
            recorder.terminal.types("\x03");
            recorder.times("INT")
        });
    });
}

#[test]
fn a_change_of_the_window_arrives_once() {
    sandbox::run(|| {
        measure("the window changes its size", "once", |subject| {
            let recorder = Recorder::as_job(subject);
            recorder.terminal.resize(111);
            recorder.times("WINCH")
        });
    });
}

#[test]
fn a_stop_from_the_keyboard_stops_the_job_and_fg_continues_it() {
    sandbox::run(|| {
        measure("^Z, then `fg`", "stops, and SIGCONT comes once", |subject| {
            let mut recorder = Recorder::as_job(subject);
            recorder.terminal.types("\x1a");
            if !recorder.terminal.shows("Stopped") {
                let stopped = if recorder.is_stopped() { "COMMAND alone" } else { "nothing" };
                return format!("the shell waits on: {stopped} stops");
            }
            if !happens_within(patience(), || recorder.is_stopped()) {
                return "COMMAND runs on".to_owned();
            }
            recorder.terminal.types("fg\n");
            format!("stops, and SIGCONT comes {}", recorder.times("CONT"))
        });
    });
}

#[test]
fn a_job_stops_and_continues_as_often_as_it_is_told_to() {
    sandbox::run(|| {
        let mut recorder = Recorder::as_job(Subject::Ours);
        for round in 1..=5 {
            recorder.terminal.types("\x1a");
            assert!(recorder.terminal.shows("Stopped"));
            wait_until("COMMAND is stopped", LIMIT, || recorder.is_stopped());
            recorder.terminal.types(if round % 2 == 0 { "fg\n" } else { "bg; fg\n" });
            wait_until("COMMAND runs", LIMIT, || !recorder.is_stopped());
            wait_until("the job is in the foreground", LIMIT, || recorder.is_in_foreground());
            // The next stop would discard a SIGCONT that is still pending (signal(7)).
            wait_until("SIGCONT is handled", LIMIT, || recorder.count("CONT") >= round);
        }
        recorder.terminal.types("\x03");
        assert_eq!(recorder.times("INT"), "once");
        assert_eq!(recorder.times("CONT"), "5 times");
    });
}

#[test]
fn a_stop_of_the_server_alone_stops_the_job() {
    sandbox::run(|| {
        measure("`kill -STOP` of COMMAND in a shell's job", "the job stops", |subject| {
            let mut recorder = Recorder::as_job(subject);
            processes::kill(recorder.pid, Signal::SIGSTOP);
            let stops = recorder.terminal.shows("Stopped");
            if stops { "the job stops" } else { "the shell waits on" }.to_owned()
        });
    });
}

#[test]
fn a_server_that_is_continued_alone_continues_its_launcher() {
    sandbox::run(|| {
        let title = "then `kill -CONT` of COMMAND, and SIGTERM to the job's pid";
        measure(title, "both arrive once", |subject| {
            let mut recorder = Recorder::as_job(subject);
            let started = match subject {
                Subject::Without => recorder.pid,
                _ => processes::parent(recorder.pid).unwrap(),
            };
            processes::kill(recorder.pid, Signal::SIGSTOP);
            recorder.terminal.shows("Stopped");
            processes::kill(recorder.pid, Signal::SIGCONT);
            let cont = recorder.times("CONT");
            processes::kill(started, Signal::SIGTERM);
            match (cont.as_str(), recorder.times("TERM").as_str()) {
                ("once", "once") => "both arrive once".to_owned(),
                (cont, term) => format!("SIGCONT {cont}, SIGTERM {term}"),
            }
        });
    });
}

#[test]
fn a_stopped_job_that_is_killed_is_noticed() {
    sandbox::run(|| {
        let title = "`kill -KILL` of COMMAND in a stopped job";
        measure(title, "the shell says Killed", |subject| {
            let mut recorder = Recorder::as_job(subject);
            recorder.terminal.types("\x1a");
            if !recorder.terminal.shows("Stopped") {
                return "the job does not stop".to_owned();
            }
            processes::kill(recorder.pid, Signal::SIGKILL);
            let told = happens_within(patience() / 2, || {
                recorder.terminal.types("\n");
                recorder.terminal.shows_within("Killed", A_WHILE)
            });
            if told { "the shell says Killed" } else { "the job stays" }.to_owned()
        });
    });
}

#[test]
fn the_leader_of_a_session_does_not_stop_with_its_server() {
    sandbox::run(|| {
        let recorder = Recorder::as_leader(Subject::Ours);
        let launcher = processes::parent(recorder.pid).unwrap();
        processes::kill(recorder.pid, Signal::SIGSTOP);
        wait_until("COMMAND is stopped", LIMIT, || recorder.is_stopped());
        happens_within(A_WHILE, || false);
        assert_ne!(processes::state(launcher), Some('T'), "nobody would continue it");
        processes::kill(launcher, Signal::SIGCONT);
        wait_until("COMMAND runs", LIMIT, || !recorder.is_stopped());
        assert_eq!(recorder.times("CONT"), "once");
    });
}

#[test]
fn a_service_does_not_stop_with_its_server() {
    sandbox::run(|| {
        let (log, words) = Recorder::words(Subject::Ours);
        let mut command = std::process::Command::new("setsid");
        let mut service = processes::Process::spawn(command.args(&words));
        let text = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("COMMAND records", LIMIT, || text().ends_with(' '));
        let server: i32 = text().trim().parse().unwrap();
        let launcher = service.pid();
        processes::kill(server, Signal::SIGSTOP);
        wait_until("COMMAND is stopped", LIMIT, || processes::state(server) == Some('T'));
        happens_within(A_WHILE, || false);
        assert_ne!(processes::state(launcher), Some('T'));
        processes::kill(server, Signal::SIGKILL);
        service.wait(LIMIT);
    });
}

/// `timeout` puts itself and what it starts into a group of its own, which without a launcher is
/// the job's already.
#[test]
fn keys_reach_a_command_that_has_made_a_group_of_its_own() {
    sandbox::run(|| {
        let mut terminal = Terminal::shell();
        let log = sandbox::scratch().join("signals");
        let command = ["timeout", "60", "perl", "-e", RECORDER, log.to_str().unwrap()];
        terminal.runs(&Subject::Ours.words(&[], &command), "");
        let mut recorder = Recorder::with(terminal, log);
        recorder.terminal.types("\x03");
        assert_ne!(recorder.times("INT"), "never");
        recorder.terminal.types("\x1a");
        assert!(recorder.terminal.shows("Stopped"));
        wait_until("COMMAND is stopped", LIMIT, || recorder.is_stopped());
        recorder.terminal.types("fg\n");
        assert_ne!(recorder.times("CONT"), "never");
    });
}

/// A child of the launcher's other than the server, in a group of its own.
fn helper_of(launcher: i32, server: i32) -> Option<i32> {
    let group = |pid: i32| nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid)));
    let own = |pid: &i32| group(*pid).is_ok_and(|group| group.as_raw() == *pid);
    processes::descendants(launcher).into_iter().find(|pid| *pid != server && own(pid))
}

/// The helper's SIGCONT is for the launcher, which is held up here before it reads it.
#[test]
fn a_server_that_is_continued_and_stopped_again_stays_stopped() {
    sandbox::run(|| {
        skip_without_strace();
        let slow = ["strace", "-o", "/dev/null", "-e", "inject=wait4:delay_enter=1500000"];
        let (log, words) = Recorder::words(Subject::Ours);
        let mut terminal = Terminal::shell();
        terminal.runs(&[slow.map(str::to_owned).to_vec(), words].concat(), "");
        let recorder = Recorder::with(terminal, log);
        let launcher = processes::parent(recorder.pid).unwrap();
        processes::kill(recorder.pid, Signal::SIGSTOP);
        assert!(happens_within(patience(), || helper_of(launcher, recorder.pid).is_some()));
        wait_until("the launcher has stopped", LIMIT, || {
            recorder.is_stopped() && matches!(processes::state(launcher), Some('T' | 't'))
        });
        let helper = helper_of(launcher, recorder.pid).unwrap();
        processes::kill(recorder.pid, Signal::SIGCONT);
        // The launcher ends its helper, and is then held up before it reads signals.
        wait_until("the launcher goes on", LIMIT, || processes::state(helper) == Some('Z'));
        processes::kill(recorder.pid, Signal::SIGSTOP);
        wait_until("the server is stopped", LIMIT, || recorder.is_stopped());
        assert!(!happens_within(LIMIT, || !recorder.is_stopped()), "nobody has continued it");
    });
}

/// Reads a line from the terminal, and says it.
const READER: &str = r#"open my $t, "<", "/dev/tty" or die; my $line = <$t>; print "got $line";"#;

#[test]
fn a_command_in_the_foreground_reads_from_the_terminal() {
    sandbox::run(|| {
        measure("COMMAND reads from the terminal", "it reads", |subject| {
            let mut terminal = Terminal::shell();
            terminal.runs(&subject.words(&[], &["perl", "-e", READER]), "");
            happens_within(A_WHILE, || false);
            terminal.types("words\n");
            if terminal.shows("got words") { "it reads" } else { "it does not" }.to_owned()
        });
    });
}

#[test]
fn a_command_in_the_background_stops_when_it_reads() {
    sandbox::run(|| {
        let title = "COMMAND in the background reads from the terminal";
        measure(title, "stops, and reads after `fg`", |subject| {
            let mut terminal = Terminal::shell();
            terminal.runs(&subject.words(&[], &["perl", "-e", READER]), " &");
            let mut says_stopped = || {
                terminal.types("jobs\n");
                terminal.shows_within("Stopped", A_WHILE)
            };
            if !happens_within(patience() / 2, &mut says_stopped) {
                return "the job does not stop".to_owned();
            }
            terminal.types("fg\n");
            happens_within(A_WHILE, || false);
            terminal.types("words\n");
            let reads = terminal.shows("got words");
            if reads { "stops, and reads after `fg`" } else { "stops for good" }.to_owned()
        });
    });
}

/// `stty tostop`: the kernel sends SIGTTOU to who writes from the background.
#[test]
fn a_command_in_the_background_stops_when_it_writes() {
    sandbox::run(|| {
        let title = "COMMAND in the background writes to a terminal with `tostop`";
        measure(title, "stops, and writes after `fg`", |subject| {
            let mut terminal = Terminal::shell();
            terminal.types("stty tostop\n");
            terminal
                .runs(&subject.words(&[], &["perl", "-e", r#"print "got ", "through\n""#]), " &");
            let mut says_stopped = || {
                terminal.types("jobs\n");
                terminal.shows_within("Stopped", A_WHILE)
            };
            if !happens_within(patience() / 2, &mut says_stopped) {
                return "the job does not stop".to_owned();
            }
            terminal.types("fg\n");
            let writes = terminal.shows("got through");
            if writes { "stops, and writes after `fg`" } else { "stops for good" }.to_owned()
        });
    });
}

#[test]
fn a_hang_up_of_the_terminal_reaches_the_server() {
    sandbox::run(|| {
        measure("the terminal of a launcher that leads its session hangs up", "once", |subject| {
            let mut recorder = Recorder::as_leader(subject);
            recorder.terminal.hang_up();
            recorder.times("HUP")
        });
    });
}
